"""HRFPN against the release's formulation in float64: concatenate, reduce, pool by 2^i."""

import json
import weakref

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hrdet.models.necks import HRFPN
from hrdet.registry import ConfigError, build
from tests.models import release_weights
from tests.models.backbones import hrnet_by_keys

CHANNELS = [3, 5, 7, 9]


def maps(height, width, channels=CHANNELS):
    out = []
    for c in channels:
        out.append(torch.randn(2, c, height, width))
        height, width = (height + 1) // 2, (width + 1) // 2
    return out


def neck(**options):
    net = HRFPN(CHANNELS, 8, **options)
    release_weights.fill(net, 'neck.')
    return net.eval()


def check(net, features, **options):
    """float32 against float64: noise of a sum of 24 and of 72 products."""
    expected = hrnet_by_keys.hrfpn(net.state_dict(), [f.double() for f in features], **options)
    levels = net(features)
    assert [level.shape for level in levels] == [value.shape for value in expected]
    for level, value in zip(levels, expected):
        assert (level.double() - value).abs().max() <= 1e-5 * value.abs().max()


@given(height=st.integers(16, 70), width=st.integers(16, 70), share=st.booleans())
@settings(max_examples=25, deadline=None)
def test_any_size(height, width, share):
    check(neck(share_conv=share), maps(height, width))


@pytest.mark.parametrize('num_outs', [1, 2, 4, 6])
def test_number_of_levels(num_outs):
    check(neck(num_outs=num_outs), maps(40, 64), num_outs=num_outs)


def test_max_pooling_and_stride():
    check(neck(pooling='MAX'), maps(41, 33), pool=F.max_pool2d)
    check(neck(stride=2), maps(41, 33), stride=2)


def test_levels_of_a_tiny_image_do_not_vanish():
    for size in ((1, 1), (2, 9), (5, 1)):
        assert all(min(level.shape) > 0 for level in neck()(maps(*size)))
    # A row of one pixel is pooled along the other side only.
    net = neck(num_outs=2).requires_grad_(False)
    features = [torch.rand(1, c, 1, 4) for c in CHANNELS]
    merged = net._merge(features)
    assert torch.allclose(net._halve(merged), F.avg_pool2d(merged, (1, 2)))


def test_keys_are_those_of_mmdetection_3(reference_dir):
    manifest = reference_dir / 'manifests/mmdet3/faster-rcnn_hrnetv2p-w18-1x_coco.json'
    released = json.loads(manifest.read_text())['keys']
    with torch.device('meta'):
        net = HRFPN([18, 36, 72, 144])
    assert {f'neck.{key}': list(value.shape) for key, value in net.state_dict().items()} == {
        key: shape for key, shape in released if key.startswith('neck.')
    }


def test_norms_replace_biases():
    for kind, options in (('bn', dict(type='BN')), ('gn', dict(type='GN', num_groups=4))):
        net = HRFPN(CHANNELS, 8, norm_cfg=options)
        keys = set(net.state_dict())
        assert {f'reduction_conv.{kind}.weight', f'fpn_convs.4.{kind}.bias'} <= keys
        assert not any(key.endswith('conv.bias') for key in keys)
    # The norm stands after the sum of all branches.
    features = maps(16, 16)
    merged = net._merge(features)
    assert torch.allclose(merged.mean((2, 3)).mean(1), torch.zeros(2), atol=1e-5)


def test_levels_go_when_they_are_used():
    """Of the finest one nothing is left when the next one is convolved."""
    net, alive = neck(), []
    net.fpn_convs[0].register_forward_pre_hook(lambda _, x: alive.append(weakref.ref(x[0])))
    net.fpn_convs[1].register_forward_pre_hook(lambda *_: alive.append(alive[0]()))
    with torch.no_grad():
        net(maps(16, 16))
    assert alive[1] is None


def test_shared_convolution():
    net = HRFPN(CHANNELS, 8, share_conv=True)
    assert len(net.fpn_convs) == 1
    assert len(net(maps(32, 32))) == 5


@pytest.mark.parametrize('norm_cfg', [None, dict(type='BN')])
def test_checkpointing_changes_nothing(norm_cfg):
    features = maps(20, 24)
    runs = []
    for with_checkpoint in (False, True):
        torch.manual_seed(0)
        net = HRFPN(CHANNELS, 8, with_checkpoint=with_checkpoint, norm_cfg=norm_cfg).train()
        inputs = [f.clone().requires_grad_() for f in features]
        sum(level.square().sum() for level in net(inputs)).backward()
        runs.append(
            [*(p.grad for p in net.parameters()), *(i.grad for i in inputs), *net.buffers()]
        )
    assert all(torch.equal(a, b) for a, b in zip(*runs))


def test_initial_weights_are_xavier_uniform():
    net = HRFPN([18, 36, 72, 144])
    bound = (3 / (256 * 9)) ** 0.5  # fan-in only, as Caffe2 does
    assert net.fpn_convs[0].conv.weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
    assert net.fpn_convs[0].conv.bias.eq(0).all()


def test_errors():
    with pytest.raises(
        ConfigError, match=r"model\.neck .*pooling must be 'AVG' or 'MAX', not 'avg'"
    ):
        build(dict(type='HRFPN', in_channels=CHANNELS, pooling='avg'), 'model.neck')
    with pytest.raises(ValueError, match='num_outs must be at least 1, not 0'):
        HRFPN(CHANNELS, num_outs=0)
    with pytest.raises(ValueError, match=r'in_channels is \[3, 5, 7, 9\], .* \[4, 8\] channels'):
        HRFPN(CHANNELS)(maps(8, 8, [4, 8]))
