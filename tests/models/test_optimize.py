"""A detector made ready for inference finds what the detector finds."""

import copy
import functools

import pytest
import torch
from torch import nn

from hrdet.models import optimize, optimize_graphs
from hrdet.models.backbones import HRNet
from hrdet.models.layers.norm import SyncBN
from hrdet.models.optimize_graphs import GraphCache
from hrdet.models.optimize_layers import FastConv2d, WinogradConv2d
from hrdet.structures import Views
from tests.models import small_batches as batches
from tests.models import small_detectors as small
from tests.models import test_fcos as fcos


def settled(model, batch):
    """Norms as after a training: with the statistics of their input, uneven scales and shifts."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.3)
        norm.momentum = 1.0
        norm.train()
    with torch.no_grad():
        model.extract(batch)
    return model.eval()


class Branches(nn.Module):
    """An HRNet whose maps have the channels that the small detectors take."""

    def __init__(self, norm_cfg):
        super().__init__()
        self.trunk = HRNet(width='18-small', norm_cfg=norm_cfg)
        self.convs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, small.WIDTH, 1, bias=False), nn.BatchNorm2d(small.WIDTH))
            for c in self.trunk.out_channels
        )

    def forward(self, images):
        return [conv(x) for conv, x in zip(self.convs, self.trunk(images))]


def detector(kind, norm_cfg=None):
    model = small.detector(kind)
    model.backbone = Branches(norm_cfg or dict(type='BN'))
    return settled(model, batches.batch())


def assert_same(found, expected, score=1e-3, pixels=1e-3):
    for got, wanted in zip(found, expected, strict=True):
        assert len(wanted) > 3
        assert got.labels.tolist() == wanted.labels.tolist()
        torch.testing.assert_close(got.scores, wanted.scores, rtol=0, atol=score)
        # Coordinates of hundreds of pixels have fewer digits left: rounding grows with them.
        torch.testing.assert_close(got.boxes, wanted.boxes, rtol=2e-5, atol=pixels)
        if wanted.masks is not None:
            assert [m['size'] for m in got.masks] == [m['size'] for m in wanted.masks]


@pytest.mark.parametrize('kind', small.KINDS)
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


@pytest.mark.parametrize('kind', small.KINDS)
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
        torch.randn(5, small.WIDTH, small.BOX, small.BOX).bfloat16()
    )
    for values in (logits, deltas):
        assert (values != values.bfloat16().float()).float().mean() > 0.9
    assert fast.roi_head.bbox_head.shared_fcs[0].weight.dtype == torch.bfloat16


def test_matrix_units_for_bfloat16_are_used(monkeypatch):
    """A processor with AMX multiplies bfloat16 faster than Winograd saves."""
    kinds = {type(m) for m in optimize(detector('faster'), torch.bfloat16).modules()}
    assert {WinogradConv2d, FastConv2d} <= kinds
    monkeypatch.setattr(torch.cpu, 'get_capabilities', lambda: {'amx_bf16': True})
    kinds = {type(m) for m in optimize(detector('faster'), torch.bfloat16).modules()}
    assert WinogradConv2d not in kinds
    assert WinogradConv2d in {type(m) for m in optimize(detector('faster')).modules()}


@pytest.mark.parametrize('norm_cfg', [dict(type='BN'), SyncBN()], ids=['BN', 'SyncBN'])
def test_every_norm_is_folded(norm_cfg):
    fast = optimize(detector('faster', norm_cfg))
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in fast.modules())


def test_training_is_refused():
    model = detector('faster')
    model.backbone.trunk.stage3.train()
    with pytest.raises(ValueError, match=r'backbone.trunk.stage3 is in training mode.*eval'):
        optimize(model)


def test_what_does_not_fit_is_refused():
    model = detector('faster')
    with pytest.raises(ValueError, match='a detector, not a HRNet'):
        optimize(model.backbone.trunk)
    with pytest.raises(ValueError, match=r'float16 is for GPUs.*bfloat16'):
        optimize(model, torch.float16)
    with pytest.raises(ValueError, match=r'dtype must be one of.*not torch.float64'):
        optimize(model, torch.float64)
    with pytest.raises(ValueError, match='CUDA graphs need a model on a GPU'):
        optimize(model, graph=True)


def test_a_norm_elsewhere_is_found_out():
    model = detector('faster')

    class Crossed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(small.WIDTH, small.WIDTH, 1)
            self.bn = nn.BatchNorm2d(small.WIDTH)
            nn.init.uniform_(self.bn.bias)

        def forward(self, features):
            return [self.conv(self.bn(x)) for x in features]

    model.neck = Crossed().eval()
    with pytest.raises(ValueError, match='does not follow the convolution'):
        optimize(model)


def test_graphs_replay_a_detector(monkeypatch):
    """What is recorded where, with plain calls in the place of graphs and streams."""
    recorded = []

    def record(function, inputs):
        recorded.append(function)
        return function

    def in_turn(functions, inputs):
        return [function(value) for function, value in zip(functions, inputs)]

    monkeypatch.setattr(optimize_graphs, '_record', record)
    monkeypatch.setattr(optimize_graphs, '_side_by_side', in_turn)
    model, batch = detector('mask'), batches.batch(with_truth=False)
    fast = optimize(model)
    optimize_graphs.graphed(fast)
    for _ in range(2):
        assert_same(fast.predict(batch), model.predict(batch))
    assert len(recorded) == 2  # the trunk and the first head


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('kind', small.KINDS)
@pytest.mark.parametrize('graph', [False, True])
def test_on_a_gpu(kind, graph):
    model = detector(kind).cuda()
    fast = optimize(model, graph=graph)
    for seed in (1, 2, 3):
        batch = batches.batch(with_truth=False, seed=seed).to('cuda')
        assert_same(fast.predict(batch), model.predict(batch))


def test_compiled(monkeypatch):
    """Without the compiler behind it, which takes a minute."""
    traced = functools.partialmethod(nn.Module.compile, backend='eager')
    monkeypatch.setattr(nn.Module, 'compile', traced)
    model, batch = detector('faster'), batches.batch(with_truth=False)
    assert_same(optimize(model, compile=True).predict(batch), model.predict(batch))


def test_graphs_are_kept_for_the_last_shapes():
    recorded = []

    def record(function, inputs):
        recorded.append(tuple(inputs.shape))
        kept = function(inputs)

        def replay(new):  # a graph writes into the memory of its first run
            kept.copy_(function(new))
            return kept

        return replay

    cache = GraphCache(lambda x: x + 1, limit=2, record=record)
    first = cache(torch.zeros(2))
    assert cache(torch.ones(2)).tolist() == [2, 2]
    assert first.tolist() == [1, 1]  # not overwritten by the second call
    for size in (3, 2, 4, 2, 3):  # 4 drives out 3, the last 3 drives out 4
        assert cache(torch.full((size,), float(size))).tolist() == [size + 1] * size
    assert recorded == [(2,), (3,), (4,), (3,)]
