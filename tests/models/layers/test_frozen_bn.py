"""Frozen batch norm folded into convolutions: same results and gradients, fewer maps kept."""

import copy
import io
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from hrdet.models.backbones import HRNet, ResNet
from hrdet.models.layers import (
    BasicBlock,
    Bottleneck,
    ConvNorm,
    SyncBatchNorm,
    conv_bn,
)


def layers(norm=nn.BatchNorm2d, stride=2):
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 6, 3, stride, 1, bias=False), norm(6)
    for value in (norm.weight, norm.running_var):
        nn.init.uniform_(value, 0.3, 3)
    for value in (norm.bias, norm.running_mean):
        nn.init.normal_(value)
    return conv.double(), norm.double()


@pytest.mark.parametrize('kind', [nn.BatchNorm2d, SyncBatchNorm])
@pytest.mark.parametrize('stride', [1, 2])
def test_a_frozen_norm_is_folded(kind, stride):
    """Results and all gradients agree to float64 rounding; the statistics stay."""
    x, found = torch.randn(2, 3, 9, 8, dtype=torch.float64), []
    for function in (conv_bn, lambda conv, norm, x: norm(conv(x))):
        conv, norm = layers(kind, stride)
        norm.eval()
        state = copy.deepcopy(norm.state_dict())
        taken = x.clone().requires_grad_()
        y = function(conv, norm, taken)
        y.sin().sum().backward()
        found.append([y, taken.grad, conv.weight.grad, norm.weight.grad, norm.bias.grad])
        assert all(map(torch.equal, state.values(), norm.state_dict().values()))
    for one, other in zip(*found):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize('norm', [nn.BatchNorm2d(6), nn.GroupNorm(2, 6), nn.Identity()])
def test_other_norms_follow(norm):
    conv, _ = layers()
    norm, x = norm.double().train(), torch.randn(2, 3, 9, 8, dtype=torch.float64)
    expected = copy.deepcopy(norm)(conv(x))
    assert torch.equal(conv_bn(conv, norm, x), expected)
    assert torch.equal(ConvNorm(conv, norm, nn.ReLU())(x), expected.relu())
    if isinstance(norm, nn.BatchNorm2d):
        assert norm.num_batches_tracked == 2


@pytest.mark.parametrize('change', [dict(bias=True), dict(padding_mode='reflect')])
def test_convolutions_of_another_kind_keep_their_norm(change):
    norm = layers()[1].eval()
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 6, 3, padding=1, **{'bias': False} | change).double()
    x = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    torch.testing.assert_close(conv_bn(conv, norm, x), norm(conv(x)), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize('change', [dict(affine=False), dict(track_running_stats=False)])
@pytest.mark.parametrize('kind', [nn.BatchNorm2d, SyncBatchNorm])
def test_norms_without_scale_or_statistics_follow(kind, change):
    conv, norm = layers()[0], kind(6, **change).double().eval()
    x = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    assert torch.equal(conv_bn(conv, norm, x), norm(conv(x)))


def test_a_norm_of_more_digits_follows():
    """As where all but the norms is made bfloat16 by hand."""
    conv, norm = layers()
    conv, norm = conv.bfloat16(), norm.float().eval()
    x = torch.randn(2, 3, 9, 8, dtype=torch.bfloat16)
    assert torch.equal(conv_bn(conv, norm, x), norm(conv(x)))


def test_hooks_are_called():
    conv, norm = layers()
    seen, x = [], torch.randn(2, 3, 9, 8, dtype=torch.float64, requires_grad=True)
    norm.eval()
    handles = [
        conv.register_forward_hook(lambda *_: seen.append('conv')),
        norm.register_forward_pre_hook(lambda *_: seen.append('norm')),
        conv.register_full_backward_hook(lambda *_: seen.append('back')),
    ]
    conv_bn(conv, norm, x).sum().backward()
    assert seen == ['conv', 'norm', 'back']
    for handle in handles:
        handle.remove()
    conv_bn(conv, norm, x)
    assert len(seen) == 3


def test_pruned_weights_are_trained():
    """Pruning makes the weight anew in a hook."""
    conv, norm = layers()
    prune.l1_unstructured(conv, 'weight', amount=0.5)
    norm.eval()
    x = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    for _ in range(2):
        conv.zero_grad()
        conv_bn(conv, norm, x).square().sum().backward()
        assert (conv.weight_orig.grad != 0).equal(conv.weight_mask != 0)
        with torch.no_grad():
            conv.weight_orig -= 0.01 * conv.weight_orig.grad
    torch.testing.assert_close(conv_bn(conv, norm, x), norm(conv(x)))


@pytest.mark.parametrize('make', [BasicBlock, Bottleneck])
def test_a_block_keeps_one_map_for_each_convolution(make):
    def kept(training):
        block = make(8, 8 // make.expansion, nn.BatchNorm2d)
        for module in block.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train(training)
        maps = set()
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: maps.add(t.data_ptr() if t.dim() == 4 and t.shape[0] == 5 else 0) or t,
            lambda t: t,
        ):
            block(torch.randn(5, 8, 16, 16, requires_grad=True))
        return len(maps - {0})

    convs = 2 if make is BasicBlock else 3
    assert kept(training=False) == convs + 1  # inputs, and the block's result
    assert kept(training=True) == 2 * convs + 1


def test_gradients_through_a_backbone_in_bfloat16_are_near():
    """Folded weights are rounded to eight bits, where otherwise weights and maps are."""
    torch.manual_seed(0)
    net, x, found = ResNet(18).train(), torch.rand(2, 3, 64, 64), []
    for enabled in (False, True):
        net.zero_grad()
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            loss = sum(f.float().square().mean() for f in net(x))
        loss.backward()
        found.append([loss.item(), net.layer1[0].conv1.weight.grad.clone()])
    (exact, expected), (loss, gradient) = found
    assert loss == pytest.approx(exact, rel=0.02)
    assert torch.cosine_similarity(expected.flatten(), gradient.flatten(), dim=0) > 0.99


@pytest.mark.parametrize('options', [{}, dict(with_cp=True), dict(frozen_stages=2)])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_a_network_learns_as_with_norms_of_their_own(options, memory_format):
    """A hook on a norm keeps it apart from its convolution."""
    x, found = torch.rand(2, 3, 64, 96, dtype=torch.float64), []
    for apart in (False, True):
        torch.manual_seed(0)
        net = HRNet(width='18-small', **options).double().to(memory_format=memory_format).train()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_var, 0.5, 2)
                nn.init.normal_(module.running_mean, std=0.1)
                if apart:
                    module.register_forward_hook(lambda *_: None)
        maps = net(x)
        sum(f.square().sum() for f in maps).backward()
        found.append(maps + [p.grad for p in net.parameters() if p.requires_grad])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 * other.abs().max().item())
        assert one.is_contiguous(memory_format=memory_format) or one.dim() != 4


@pytest.mark.parametrize('with_cp', [False, True])
def test_gradients_of_a_stage_do_not_wait_for_the_stages_before(with_cp):
    """So DDP sends them while backward computes the others."""
    net, seen = HRNet(width='18-small', with_cp=with_cp).train(), []
    for name, value in net.named_parameters():
        value.register_post_accumulate_grad_hook(lambda _, name=name: seen.append(name))

    def note(_, inputs):
        inputs[0][0].register_hook(lambda _: seen.append('before stage 3'))

    before = net.stage3[0].register_forward_pre_hook(note)
    maps = net(torch.rand(1, 3, 64, 64))
    before.remove()  # with_cp runs the forward again
    sum(f.sum() for f in maps).backward()
    early = seen[: seen.index('before stage 3')]
    assert set(early) >= {f'stage4.{name}' for name, _ in net.stage4.named_parameters()}
    assert set(early) >= {f'stage3.{name}' for name, _ in net.stage3.named_parameters()}
    assert not any(name.startswith(('conv', 'bn', 'layer1')) for name in early)


def test_folded_weights_follow_the_parameters():
    net, x = ResNet(18).train(), torch.rand(1, 64, 8, 8)
    block = net.layer1[0]
    before = block(x)
    with torch.no_grad():
        block.conv2.weight *= 2
    assert not torch.equal(block(x), before)


def test_a_part_may_have_another_precision_or_learn_where_others_do_not():
    """Autocast and gradients are switched on and off inside a block."""

    def gradients(apart, around, inside):
        torch.manual_seed(0)
        net = ResNet(18).train()
        for module in net.modules():
            if apart and isinstance(module, nn.BatchNorm2d):
                module.register_forward_hook(lambda *_: None)
        block, forward = net.layer4[1], net.layer4[1].forward

        def other(x):
            with inside():
                return forward(x.float())

        block.forward = other
        with around():
            deepest = net(torch.ones(1, 3, 64, 64))[3]
        deepest.float().square().sum().backward()
        return block.conv1.weight.grad, block.bn2.bias.grad

    rounded = partial(torch.autocast, 'cpu', torch.bfloat16)
    exact = partial(torch.autocast, 'cpu', enabled=False)
    for around, inside in [(rounded, exact), (exact, rounded), (torch.no_grad, torch.enable_grad)]:
        found = [gradients(apart, around, inside) for apart in (False, True)]
        for one, other in zip(*found):
            assert torch.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.99


def test_autocast_leaves_float64_as_it_is():
    net, x = ResNet(18).double().train(), torch.rand(1, 3, 64, 64, dtype=torch.float64)
    expected = net(x)
    with torch.autocast('cpu', torch.bfloat16):
        assert all(map(torch.equal, net(x), expected))


def test_transforms_of_functions():
    """Gradients, and several images at once, by torch.func; traces that can be saved."""
    net, x = ResNet(18).double().eval(), torch.rand(2, 1, 3, 64, 64, dtype=torch.float64)
    weights = dict(net.named_parameters())

    def loss(weights, x):
        return torch.func.functional_call(net, weights, (x,))[3].square().sum()

    found = torch.func.grad(loss)(weights, x[0])
    loss(weights, x[0]).backward()
    for name, value in weights.items():
        torch.testing.assert_close(found[name], value.grad)
    one, other = (torch.func.grad(loss)(weights, part)['conv1.weight'] for part in x)
    several = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, x)['conv1.weight']
    torch.testing.assert_close(several, torch.stack([one, other]))


@pytest.mark.filterwarnings('ignore')  # torch has none but deprecated traces
def test_traces_can_be_saved():
    net, x = nn.Sequential(ResNet(18).layer1, nn.ReLU()).eval(), torch.rand(1, 64, 16, 16)
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(net, x), file)
    file.seek(0)
    torch.testing.assert_close(torch.jit.load(file)(x), net(x))
