"""A detector made ready for inference finds what the detector finds."""

import copy
import functools
import pickle
import sys
import types

import pytest
import torch
from torch import nn

from hrdet.models.heads import FCNMaskHead
from hrdet.models.layers.norm import SyncBN
from hrdet.optimize import optimize
from hrdet.registry import ConfigError
from hrdet.structures import Batch, Views
from tests.models import test_fcos as fcos
from tests.models import toy_batches as batches
from tests.models import toy_detectors as toys
from tests.models.trained_detectors import assert_same, detector


@pytest.mark.parametrize('kind', toys.KINDS)
def test_detections_are_those_of_the_detector(kind):
    model, batch = detector(kind), batches.batch(with_truth=False)
    before = copy.deepcopy(model.state_dict())
    assert_same(optimize(model).predict(batch), model.predict(batch))
    assert list(model.state_dict()) == list(before)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_fcos():
    model, batch = fcos.make_detector('inclusive').eval(), fcos.make_batch()
    assert_same(optimize(model).predict(batch), model.predict(batch))


@pytest.mark.parametrize('threads', [1, 2])
def test_on_a_cpu_an_image_a_thread(monkeypatch, threads):
    """Also of several views; the images of a group, or a last one alone, keep their order."""
    monkeypatch.setattr(torch, 'get_num_threads', lambda: threads)
    model, pair = detector('faster'), batches.batch(with_truth=False)
    three = Batch(
        torch.cat([pair.images, pair.images[:1]]),
        pair.metas + pair.metas[:1],
        torch.cat([pair.input_sizes, pair.input_sizes[:1]]),
        torch.cat([pair.padded_sizes, pair.padded_sizes[:1]]),
    )
    fast, seen = optimize(model), []
    fast.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    for images, forms in ((three, 1), (Views([three, three]), 2)):
        assert_same(fast.predict(images), model.predict(images))
        sizes = [1, 1, 1] if threads == 1 else [2, 1]
        assert seen == [size for size in sizes for _ in range(forms)]
        seen.clear()


def test_row_major_maps():
    model, batch = detector('mask'), batches.batch(with_truth=False)
    fast = optimize(model, memory_format=torch.contiguous_format)
    assert_same(fast.predict(batch), model.predict(batch))


def test_bfloat16_is_as_close_as_it_can_be():
    """Features are no further off than those of the network itself in bfloat16.

    But for chance: a level of few pixels has few rounding errors to average, 1.04 was seen.
    """
    model, batch = detector('mask'), batches.batch(with_truth=False)
    fast, plain = optimize(model, torch.bfloat16), copy.deepcopy(model)
    plain.backbone.bfloat16()
    with torch.no_grad():
        wanted, images = model.extract(batch), model.preprocess(batch)
        for one, other, exact in zip(
            fast.extract(batch), plain.backbone(images.bfloat16()), wanted
        ):
            assert one.dtype == torch.bfloat16
            assert (one - exact).abs().mean() <= 1.5 * (other - exact).abs().mean()


@pytest.mark.parametrize('kind', toys.KINDS)
def test_bfloat16_predicts(kind):
    """Also where the heads get regions of bfloat16, and with several views."""
    batch, mirrored = (batches.batch(with_truth=False, flipped=f) for f in (False, True))
    fast = optimize(detector(kind), torch.bfloat16)
    for found in fast.predict(batch) + fast.predict(Views([batch, mirrored])):
        assert len(found) > 3
        assert found.scores.dtype == found.boxes.dtype == torch.float32


def test_last_layers_stay_float32():
    fast = optimize(detector('faster'), torch.bfloat16)
    logits, deltas = fast.roi_head.bbox_head(
        torch.randn(5, toys.WIDTH, toys.BOX, toys.BOX).bfloat16()
    )
    for values in (logits, deltas):
        assert (values != values.bfloat16().float()).float().mean() > 0.9
    assert fast.roi_head.bbox_head.shared_fcs[0].weight.dtype == torch.bfloat16


@pytest.mark.parametrize('norm_cfg', [dict(type='BN'), SyncBN()], ids=['BN', 'SyncBN'])
def test_every_norm_is_folded(norm_cfg):
    fast = optimize(detector('faster', norm_cfg))
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in fast.modules())


def test_chance_stays():
    model = detector('faster')
    before = torch.get_rng_state()
    optimize(model)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_copies_of_an_optimized_detector(dtype):
    """Through a file, and beside it: the copy has its own weights."""
    fast, batch = optimize(detector('mask'), dtype), batches.batch(with_truth=False)
    expected = fast.predict(batch)
    copies = [copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))]
    for parameter in fast.parameters():
        parameter.zero_()
    for other in copies:
        assert_same(other.predict(batch), expected, score=0, pixels=0)


def test_a_detector_of_half_precision():
    model, batch = detector('mask').bfloat16(), batches.batch(with_truth=False)
    fast = optimize(model)
    assert {p.dtype for p in fast.parameters()} == {torch.float32}
    assert all(len(found) > 3 for found in fast.predict(batch))


def test_training_is_refused():
    model = detector('faster')
    model.backbone.trunk.stage3.train()
    with pytest.raises(ValueError, match=r'backbone.trunk.stage3 is in training mode.*eval'):
        optimize(model)


def test_what_does_not_fit_is_refused(monkeypatch):
    model = detector('faster')
    with pytest.raises(ValueError, match='a whole model, not a HRNet'):
        optimize(model.backbone.trunk)
    with pytest.raises(ValueError, match=r'float16 is for GPUs.*bfloat16'):
        optimize(model, torch.float16)
    for dtype, told in ((torch.float64, 'torch.float64'), ('bfloat16', "'bfloat16'")):
        with pytest.raises(ValueError, match=rf'dtype must be one of.*not {told}'):
            optimize(model, dtype)
    with pytest.raises(ValueError, match='CUDA graphs need a model on a GPU'):
        optimize(model, graph=True)
    on_a_gpu = types.SimpleNamespace(device=torch.device('cuda'))
    monkeypatch.setattr(model, 'parameters', lambda: iter([on_a_gpu]))
    for graph in (100, -32):
        with pytest.raises(ValueError, match=f'or a multiple of 32, not {graph}'):
            optimize(model, graph=graph)
    with pytest.raises(ValueError, match='graph and compile exclude each other'):
        optimize(model, graph=True, compile=True)


def test_a_norm_elsewhere_is_found_out():
    model = detector('faster')

    class Crossed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(toys.WIDTH, toys.WIDTH, 1)
            self.bn = nn.BatchNorm2d(toys.WIDTH)
            nn.init.uniform_(self.bn.bias)

        def forward(self, features):
            return [self.conv(self.bn(x)) for x in features]

    model.neck = Crossed().eval()
    with pytest.raises(ValueError, match='does not follow the convolution'):
        optimize(model)


def test_norms_of_heads_fold_where_their_order_is_that_of_use():
    """Not in a head that takes its layers in another order."""

    class Crossed(nn.Module):
        def __init__(self, head):
            super().__init__()
            self.conv = nn.Conv2d(toys.WIDTH, toys.WIDTH, 1)
            self.bn = nn.BatchNorm2d(toys.WIDTH)
            nn.init.uniform_(self.bn.weight, 0.2, 3)
            self.head, self.num_classes = head, head.num_classes
            self.coder = head.coder

        def forward(self, regions):
            return self.head(self.conv(self.bn(regions)))

        def decode(self, *args, **options):
            return self.head.decode(*args, **options)

    model, batch = detector('mask'), batches.batch(with_truth=False)
    norms = dict(num_convs=2, in_channels=toys.WIDTH, conv_out_channels=toys.WIDTH)
    loss = model.roi_head.mask_head.loss_mask
    head = FCNMaskHead(toys.CLASSES, loss, **norms, norm_cfg=dict(type='BN'))
    model.roi_head.mask_head = head
    model.roi_head.bbox_head = Crossed(model.roi_head.bbox_head)
    model.eval()
    fast = optimize(model)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fast.roi_head.mask_head.modules())
    assert_same(fast.predict(batch), model.predict(batch))


def test_an_optimized_detector_is_refused():
    with pytest.raises(ConfigError, match='optimized already'):
        optimize(optimize(detector('faster')))


def test_compiled(monkeypatch):
    """Without the compiler behind it, which takes a minute."""
    traced = functools.partialmethod(nn.Module.compile, backend='eager')
    monkeypatch.setattr(nn.Module, 'compile', traced)
    model, batch = detector('faster'), batches.batch(with_truth=False)
    assert_same(optimize(model, compile=True).predict(batch), model.predict(batch))


def test_padding_to_a_multiple_keeps_that_of_the_config(monkeypatch):
    module = sys.modules[optimize.__module__]  # hidden by the function of its name
    monkeypatch.setattr(module, '_check', lambda *_: None)
    monkeypatch.setattr(module, 'graphed', lambda _: None)
    model = detector('faster')
    model.preprocess.size_divisor = 24
    fast = optimize(model, graph=32)
    assert fast.preprocess.exact.size_divisor == 96
    assert model.preprocess.size_divisor == 24
