"""A detector made ready for inference finds what the detector finds."""

import copy

import pytest
import torch
from torch import nn

from hrdet.models import optimize
from hrdet.models.backbones import HRNet
from hrdet.models.layers.norm import SyncBN
from hrdet.models.optimize_graphs import GraphCache
from tests.models import small_batches as batches
from tests.models import small_detectors as small


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
        torch.testing.assert_close(got.boxes, wanted.boxes, rtol=0, atol=pixels)
        if wanted.masks is not None:
            assert [m['size'] for m in got.masks] == [m['size'] for m in wanted.masks]


@pytest.mark.parametrize('kind', ['faster', 'mask'])
@pytest.mark.parametrize('memory_format', [torch.channels_last, torch.contiguous_format])
def test_detections_are_those_of_the_detector(kind, memory_format):
    model, batch = detector(kind), batches.batch(with_truth=False)
    before = copy.deepcopy(model.state_dict())
    fast = optimize(model, memory_format=memory_format)
    assert_same(fast.predict(batch), model.predict(batch))
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


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
