"""Detectors with an HRNet and norms as after a training, to be made ready for inference."""

import torch
from torch import nn

from hrdet.models.backbones import HRNet
from tests.models import toy_batches as batches
from tests.models import toy_detectors as toys


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
            nn.Sequential(nn.Conv2d(c, toys.WIDTH, 1, bias=False), nn.BatchNorm2d(toys.WIDTH))
            for c in self.trunk.out_channels
        )

    def forward(self, images):
        return [conv(x) for conv, x in zip(self.convs, self.trunk(images))]


def detector(kind, norm_cfg=None):
    model = toys.detector(kind)
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


def kinds_of(model):
    return {type(m) for m in model.modules()}
