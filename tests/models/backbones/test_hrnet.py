"""HRNet against a functional float64 double, the releases' key lists and its own promises."""

import json

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hrdet.models.backbones import HRNet, SyncHighResolutionNet
from hrdet.models.layers import SyncBatchNorm
from hrdet.registry import ConfigError, build
from tests.models import release_weights
from tests.models.backbones import hrnet_by_keys

IMAGENET_ONLY = ('incre_modules', 'downsamp_modules', 'final_layer', 'classifier')


def tiny_extra(block='BASIC', widths=(4, 8, 16, 32)):
    """Few blocks and channels; ``block`` in all stages but the first."""
    stages = dict(
        stage1=dict(block='BOTTLENECK', num_modules=1, num_blocks=(1,), num_channels=(8,))
    )
    for n in (2, 3, 4):
        stages[f'stage{n}'] = dict(
            block=block, num_modules=1, num_blocks=[1] * n, num_channels=widths[:n]
        )
    return {
        name: dict(stage, num_branches=len(stage['num_blocks']), fuse_method='SUM')
        for name, stage in stages.items()
    }


def tiny(**options):
    torch.manual_seed(0)
    net = HRNet(extra=options.pop('extra', tiny_extra()), **options)
    release_weights.fill(net)
    return net


def check_features(net, images):
    """Largest difference to the float64 double, as a share of the largest value: float32 noise."""
    expected = hrnet_by_keys.hrnet(net.state_dict(), images)
    with torch.no_grad():
        features = net.eval()(images)
    assert [f.shape for f in features] == [e.shape for e in expected]
    for feature, value in zip(features, expected):
        assert (feature.double() - value).abs().max() <= 2e-5 * value.abs().max()


@pytest.mark.parametrize('width', [18, 30, 32, 40, 44, 48, 64, '18-small', '18-small-v1'])
def test_keys_are_those_of_the_classification_release(reference_dir, width):
    name = {'18-small': '18_small_v2', '18-small-v1': '18_small_v1'}.get(width, width)
    file = reference_dir / 'manifests/hrnet_release' / f'cls_hrnet_w{name}.json'
    released = json.loads(file.read_text())['state_dict']
    with torch.device('meta'):
        state = HRNet(width=width).state_dict()
    assert [[key, list(value.shape)] for key, value in state.items()] == [
        entry for entry in released if not entry[0].startswith(IMAGENET_ONLY)
    ]


def test_every_released_detector_config_builds_with_its_keys(reference_dir):
    files = sorted((reference_dir / 'manifests/hrnet_release').glob('*_rcnn_hrnetv2p_*.json'))
    assert len(files) == 20
    for file in files:
        manifest = json.loads(file.read_text())
        with torch.device('meta'):
            net = build(manifest['config']['model']['backbone'], 'model.backbone')
        prefix = 'backbone.'
        assert [[prefix + key, list(value.shape)] for key, value in net.state_dict().items()] == [
            entry for entry in manifest['state_dict'] if entry[0].startswith(prefix)
        ]
        assert sum(p.numel() for p in net.parameters()) == manifest['params_per_child']['backbone']
        norms = [m for m in net.train().modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        assert len(norms) == manifest['num_bn_layers']
        in_train_mode = 'num_bn_layers_in_train_mode_after_train()'
        assert sum(norm.training for norm in norms) == manifest[in_train_mode]


def test_features_of_w18_equal_the_float64_double():
    net = HRNet(width=18)
    release_weights.fill(net, 'backbone.')
    torch.manual_seed(0)
    check_features(net, torch.randn(1, 3, 64, 96))


@pytest.mark.parametrize('block', ['BASIC', 'BOTTLENECK'])
@given(height=st.integers(1, 80), width=st.integers(1, 80))
@settings(max_examples=15, deadline=None)
def test_features_of_any_image_size(block, height, width):
    net = tiny(extra=tiny_extra(block))
    images = torch.randn(2, 3, height, width)
    check_features(net, images)
    check_features(net, images.contiguous(memory_format=torch.channels_last))


@pytest.mark.parametrize('size', [(64, 96), (75, 101)])
def test_bilinear_fusion_resizes_each_term_twice(size):
    """As mmsegmentation does: by its own power of two, and then to the size of the branch."""
    torch.manual_seed(0)
    model = HRNet(width='18-small', fuse_mode='bilinear').eval()
    module = model.stage4[0]
    edges = [tuple(-(-edge // stride) for edge in size) for stride in model.strides]
    features = [torch.randn(1, c, *edge) for c, edge in zip(model.channels, edges)]
    with torch.no_grad():
        found = module([x.clone() for x in features])
        branches = [branch(x) for branch, x in zip(module.branches, features)]
        for target, result in enumerate(found):
            total = 0
            for source, x in enumerate(branches):
                x = module.fuse_layers[target][source](x)
                if source > target:
                    x = F.interpolate(x, scale_factor=2 ** (source - target), mode='bilinear')
                    x = F.interpolate(x, size=edges[target], mode='bilinear')
                total = total + x
            torch.testing.assert_close(result, F.relu(total), rtol=1e-4, atol=1e-4)


def test_a_branch_that_changes_its_width_is_read_from_itself():
    # Stage 3 widens both known branches; the 2019 code would read the coarser one for each.
    extra = tiny_extra()
    extra['stage3']['num_channels'] = (6, 10, 16)
    extra['stage4']['num_channels'] = (6, 10, 16, 32)
    check_features(tiny(extra=extra), torch.randn(1, 3, 32, 32))


def test_frozen_stages():
    parts = [
        ('conv1', 'bn1', 'conv2', 'bn2'),
        ('layer1', 'transition1'),
        ('stage2', 'transition2'),
        ('stage3', 'transition3'),
        ('stage4',),
    ]
    for frozen in range(-1, 5):
        net = tiny(frozen_stages=frozen, norm_eval=False).train()
        before = {key: value.clone() for key, value in net.state_dict().items()}
        sum(f.sum() for f in net(torch.randn(2, 3, 32, 32))).backward() if frozen < 4 else None
        fixed = {name for group in parts[: frozen + 1] for name in group}
        for name, parameter in net.named_parameters():
            assert parameter.requires_grad == (name.split('.')[0] not in fixed)
            assert (parameter.grad is None) == (name.split('.')[0] in fixed)
        for name, value in net.state_dict().items():
            if name.endswith('running_mean') and frozen < 4:
                assert torch.equal(value, before[name]) == (name.split('.')[0] in fixed)


def test_norm_eval_concerns_batch_norm_only():
    def norms_in_training(**options):
        modules = tiny(**options).train().modules()
        kinds = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm)
        return {m.training for m in modules if isinstance(m, kinds)}

    assert norms_in_training() == {False}
    assert norms_in_training(norm_eval=False) == {True}
    assert norms_in_training(norm_cfg=dict(type='SyncBN')) == {True}
    assert norms_in_training(norm_cfg=dict(type='SyncBN'), frozen_stages=4) == {False}
    assert norms_in_training(norm_cfg=dict(type='GN', num_groups=2)) == {True}


@pytest.mark.parametrize('norm_eval', [False, True])
@pytest.mark.parametrize('kind', ['BN', 'SyncBN', 'GN'])
def test_checkpointing_changes_neither_gradients_nor_statistics(kind, norm_eval):
    norm_cfg = dict(type=kind, num_groups=2) if kind == 'GN' else dict(type=kind)
    images = torch.randn(2, 3, 40, 48)
    grads, states = [], []
    for with_cp in (False, True):
        net = tiny(norm_cfg=norm_cfg, norm_eval=norm_eval, with_cp=with_cp).train()
        sum(f.square().mean() for f in net(images)).backward()
        grads.append([p.grad for p in net.parameters()])
        states.append(net.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(*grads))
    assert all(torch.equal(a, b) for a, b in zip(*(s.values() for s in states)))
    if kind == 'SyncBN' or (kind == 'BN' and not norm_eval):
        assert states[1]['bn1.num_batches_tracked'] == 1


def test_checkpointing_keeps_less():
    def kept(with_cp):
        net, sizes = tiny(with_cp=with_cp).train(), []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: sizes.append(t.numel() if t.dim() == 4 and len(t) == 5 else 0) or t,
            lambda t: t,
        ):
            net(torch.randn(5, 3, 64, 64))
        return sum(sizes)

    assert kept(True) < 0.2 * kept(False)


def test_zero_init_residual_makes_blocks_the_identity():
    net = HRNet(extra=tiny_extra(), zero_init_residual=True).eval()
    x = torch.rand(1, 4, 8, 8)
    assert torch.equal(net.stage2[0].branches[0](x), x)
    assert net.layer1[0].bn3.weight.eq(0).all()
    assert HRNet(extra=tiny_extra()).layer1[0].bn3.weight.eq(1).all()


def test_initial_weights_are_he_normal_over_the_fan_out():
    torch.manual_seed(0)
    weight = HRNet(width='18-small').transition1[1][0][0].weight
    assert weight.shape == (36, 256, 3, 3)
    assert weight.std().item() == pytest.approx((2 / (36 * 9)) ** 0.5, rel=0.02)


def test_sync_high_resolution_net_is_hrnet_with_other_defaults():
    net = build(dict(type='SyncHighResolutionNet', extra=tiny_extra()))
    assert isinstance(net, HRNet)
    assert isinstance(net.bn1, SyncBatchNorm)
    assert net.with_cp
    net = SyncHighResolutionNet(extra=tiny_extra(), with_cp=False, norm_cfg=dict(type='BN'))
    assert type(net.bn1) is nn.BatchNorm2d
    assert not net.with_cp


def test_outside_description():
    net = HRNet(extra=tiny_extra('BOTTLENECK'))
    assert net.out_channels == [16, 32, 64, 128]
    assert net.strides == (4, 8, 16, 32)
    assert [f.shape[1] for f in net(torch.rand(1, 3, 32, 32))] == net.out_channels


@pytest.mark.parametrize(
    ('path', 'value', 'message'),
    [
        ('stage2.num_modulez', 1, r"stage2\.num_modulez: no such key; did you mean 'num_modules'"),
        ('stage5', {}, r"extra\.stage5: no such key; did you mean 'stage"),
        ('stage3.num_branches', 2, r'stage3\.num_branches: .* has 3, not 2'),
        ('stage3.block', 'Basic', r"stage3\.block must be 'BASIC' or 'BOTTLENECK', not 'Basic'"),
        ('stage3.fuse_method', 'CAT', r"stage3\.fuse_method: only 'SUM'"),
        ('stage4.num_channels', (4, 8), r'stage4\.num_channels needs 4 numbers'),
        ('stage4', 3, r'extra\.stage4 must be a dict, not 3'),
        ('stage2.num_blocks', 3, r'extra\.stage2\.num_blocks needs 2 numbers'),
        ('stage2.num_blocks', (1, float('nan')), r'extra\.stage2\.num_blocks: nan is not a whole'),
        ('stage2.num_channels', (4, -7), r'extra\.stage2\.num_channels: -7 is not a whole'),
        ('stage2.num_channels', ('4', 8), r"extra\.stage2\.num_channels: '4' is not a whole"),
        ('stage3.num_modules', 10**400, r'extra\.stage3\.num_modules: 1000'),
    ],
)
def test_a_wrong_extra_is_named(path, value, message):
    extra = tiny_extra()
    *parents, key = path.split('.')
    (extra[parents[0]] if parents else extra)[key] = value
    with pytest.raises(ConfigError, match=r'model\.backbone \(HRNet\): extra\.') as error:
        build(dict(type='HRNet', extra=extra), 'model.backbone')
    error.match(message)


def test_wrong_arguments_are_named():
    extra = tiny_extra()
    del extra['stage2']['block']
    with pytest.raises(ValueError, match=r'extra\.stage2\.block is missing'):
        HRNet(extra=extra)
    with pytest.raises(ValueError, match='give either width or extra'):
        HRNet()
    with pytest.raises(ValueError, match='give either width or extra'):
        HRNet(extra=tiny_extra(), width=18)
    with pytest.raises(ValueError, match=r"no HRNet of width 20; published are 18, .*'18-small'"):
        HRNet(width=20)
    with pytest.raises(ValueError, match=r'frozen_stages must be in -1\.\.4, not 5'):
        HRNet(width=18, frozen_stages=5)
    with pytest.raises(ConfigError, match="did you mean 'norm_eval'"):
        build(dict(type='SyncHighResolutionNet', width=18, normeval=True))


def test_export_without_data_dependent_python():
    net = tiny().eval()
    images = torch.randn(1, 3, 64, 96)
    free = torch.export.Dim.AUTO
    program = torch.export.export(net, (images,), dynamic_shapes={'images': {2: free, 3: free}})
    larger = torch.randn(1, 3, 96, 160)
    for feature, expected in zip(program.module()(larger), net(larger)):
        assert torch.equal(feature, expected)
