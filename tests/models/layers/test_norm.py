"""Norm layers by name, and a convolution with what follows it."""

import pytest
import torch
from torch import nn

from hrdet.models.layers import GN, SyncBatchNorm, build_norm, conv_module
from hrdet.registry import ConfigError


def test_kinds():
    norm = build_norm(dict(type='BN', momentum=0.01, eps=1e-3), 6)
    assert (type(norm), norm.num_features) == (nn.BatchNorm2d, 6)
    assert (norm.momentum, norm.eps) == (0.01, 1e-3)
    norm = build_norm(dict(type='SyncBN', requires_grad=False), 6)
    assert type(norm) is SyncBatchNorm
    assert not any(p.requires_grad for p in norm.parameters())
    norm = build_norm(GN(num_groups=3), 6)
    assert (norm.num_groups, norm.num_channels, norm.eps) == (3, 6, 1e-5)


def test_errors():
    with pytest.raises(ConfigError, match="did you mean 'SyncBN'"):
        build_norm(dict(type='SyncBn'), 6)
    with pytest.raises(
        ConfigError, match=r"norm_cfg\.momentun: there is no such key here; did you mean 'momentum'"
    ):
        build_norm(dict(type='BN', momentun=0.1), 6)
    with pytest.raises(ValueError, match=r'18 channels into num_groups=32 .* 18 would do'):
        build_norm(dict(type='GN', num_groups=32), 18)


def test_conv_module_names_and_order():
    torch.manual_seed(0)
    plain = conv_module(3, 4, 3)
    assert list(plain.state_dict()) == ['conv.weight', 'conv.bias']
    normed = conv_module(3, 4, 3, stride=2, norm_cfg=dict(type='GN', num_groups=2))
    assert list(normed.state_dict()) == ['conv.weight', 'gn.weight', 'gn.bias']
    x = torch.randn(2, 3, 7, 8)
    assert torch.equal(normed(x), normed.gn(normed.conv(x)).relu())
    assert normed(x).shape == (2, 4, 4, 4)
    assert conv_module(3, 4, 1, activation=False)(x).min() < 0
