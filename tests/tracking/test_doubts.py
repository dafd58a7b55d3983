"""Doubts about a run."""

from torch import nn

from hrdet.models.backbones import HRNet
from hrdet.tracking.doubts import has_unfilled_norms


def test_frozen_norms_of_random_weights_are_noticed():
    small = dict(width='18-small')
    assert has_unfilled_norms(HRNet(**small))
    assert not has_unfilled_norms(HRNet(**small, norm_eval=False))
    filled = HRNet(**small)
    next(m for m in filled.modules() if isinstance(m, nn.BatchNorm2d)).running_var.mul_(2)
    assert not has_unfilled_norms(filled)
    groups = HRNet(**small, norm_cfg=dict(type='GN', num_groups=2))
    assert not has_unfilled_norms(groups)
