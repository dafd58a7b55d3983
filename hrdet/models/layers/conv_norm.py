"""Batch norms at rest as a part of the convolutions before them, in training too."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from itertools import pairwise
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

# What others hang on a module, such as pruning, which makes the weight anew for every call.
_HOOKS = ('_forward_pre_hooks', '_forward_hooks', '_backward_pre_hooks', '_backward_hooks')

Pair = tuple[nn.Conv2d, _BatchNorm]
Merged = Mapping[Pair, tuple[Tensor, Tensor]]
# Weights and shifts made for all layers of what is running, by layers and the mode they are for.
_merged: ContextVar[Mapping] = ContextVar('merged norms', default=MappingProxyType({}))


def conv_norm(conv: nn.Conv2d, norm: nn.Module, x: Tensor) -> Tensor:
    """``norm(conv(x))``; batch norms that use their running statistics go into the weights.

    The norm is then a scale and a shift, which are learnt through the scaled weights as well (You
    et al. 2023, arXiv 2305.11624).  It costs no pass over the maps, and of the two maps that a
    backward wants, conv's and norm's input, only the first is kept.
    """
    if not _merges(conv, norm):
        return norm(conv(x))
    made = {} if torch.compiler.is_compiling() else _merged.get()
    weight, shift = made.get((conv, norm, _mode(conv))) or _merge([(conv, norm)])[conv, norm]
    return F.conv2d(x, weight, shift, conv.stride, conv.padding, conv.dilation, conv.groups)


def run_merged(owner: nn.Module, function: Callable, *inputs):
    """``function(*inputs)``, where all ``conv_norm`` of ``owner`` find their weights made.

    In a few operations: one by one they are a dozen small ones a layer, more than the network
    itself has, and on a GPU each costs a launch.  Of those made together, layers that no loss
    comes from get gradients of 0 rather than none.
    """
    if torch.compiler.is_compiling():  # a compiler joins the small operations by itself
        return function(*inputs)
    merged = {(*pair, _mode(pair[0])): made for pair, made in _merge_all(owner).items()}
    token = _merged.set(merged)
    try:
        return function(*inputs)
    finally:
        _merged.reset(token)


def _mode(conv: nn.Conv2d) -> tuple[torch.dtype, bool]:
    """What weights made now have, and others must have: the type, and whether they can learn."""
    return _type(conv.weight), torch.is_grad_enabled()


def _merges(conv: nn.Module, norm: nn.Module) -> bool:
    """Whether the two are a scaled convolution and a shift, and nobody listens in between."""
    bare = type(conv) is nn.Conv2d and conv.bias is None and conv.padding_mode == 'zeros'
    resting = isinstance(norm, _BatchNorm) and not norm.training
    return (
        bare
        and resting
        and norm.affine
        and norm.running_var is not None
        and norm.weight.dtype == conv.weight.dtype
        and not any(getattr(module, hooks) for module in (conv, norm) for hooks in _HOOKS)
    )


def _merge_all(network: nn.Module) -> Merged:
    """For neighbours among the children of a module."""
    alike = defaultdict(list)
    for conv, norm in _neighbours(network):
        if _merges(conv, norm) and norm.num_features == conv.out_channels:
            values = conv.weight, norm.weight, norm.bias
            learnt = tuple(value.requires_grad for value in values)
            alike[learnt, norm.eps, conv.weight.dtype, conv.weight.device].append((conv, norm))
    return {pair: made for pairs in alike.values() for pair, made in _merge(pairs).items()}


def _neighbours(network: nn.Module) -> Iterator[tuple[nn.Module, nn.Module]]:
    """Of the children of every module.  ``modules()`` would take twice as long, every run."""
    children = list(network.children())
    yield from pairwise(children)
    for child in children:
        if child._modules:
            yield from _neighbours(child)


def _merge(pairs: Sequence[Pair]) -> Merged:
    """Weights and shifts of layers that are alike in all but shapes and numbers.

    Under autocast they have its type already: cast together, not one by one.
    """
    groups = defaultdict(list)  # weights of one form are scaled together
    for conv, norm in pairs:
        groups[conv.weight.shape, conv.weight.stride()].append((conv, norm))
    norms = [norm for group in groups.values() for _, norm in group]
    variances = torch.cat([norm.running_var for norm in norms])
    gains = torch.cat([norm.weight for norm in norms]) * torch.rsqrt(variances + norms[0].eps)
    means = torch.cat([norm.running_mean for norm in norms])
    shifts = _autocast(torch.cat([norm.bias for norm in norms]) - means * gains)
    counts = [len(group) * shape[0] for (shape, _), group in groups.items()]
    merged = {}
    for group, gain, shift in zip(groups.values(), gains.split(counts), shifts.split(counts)):
        weights = _scaled([conv.weight for conv, _ in group], gain.view(len(group), -1))
        merged |= zip(group, zip(weights, shift.view(len(group), -1)))
    return merged


def _scaled(weights: list[Tensor], gains: Tensor) -> list[Tensor]:
    """Weights (O, I, h, w) of L layers times gains (L, O), in the same memory format."""
    # By strides: of a 1x1 weight is_contiguous says yes to both formats, convolutions do not.
    order = [0, 1, 2, 3] if weights[0].stride(3) == 1 else [0, 2, 3, 1]
    scale = _Scaled.forward if torch.jit.is_tracing() else _Scaled.apply  # traces take operators
    scaled = _autocast(scale(gains, *(weight.permute(order) for weight in weights)))
    return [weight.permute([order.index(i) for i in range(4)]) for weight in scaled.unbind()]


def _autocast(x: Tensor) -> Tensor:
    return x.to(_type(x))


def _type(x: Tensor) -> torch.dtype:
    """In which convolutions take ``x``: under autocast, which leaves float64, another."""
    device = x.device.type
    if x.dtype is torch.float64 or not torch.amp.is_autocast_available(device):  # meta has none
        return x.dtype
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


class _Scaled(torch.autograd.Function):
    """Weights of L layers times gains (L, O): (L, O, ...); their stack is not kept for backward."""

    generate_vmap_rule = True

    @staticmethod
    def forward(gains: Tensor, *weights: Tensor) -> Tensor:
        return torch.stack(weights) * gains[:, :, None, None, None]

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad: Tensor):
        gains, *weights = ctx.saved_tensors
        on_gains = on_weights = None
        if ctx.needs_input_grad[0]:
            on_gains = (grad * torch.stack(weights)).sum((2, 3, 4))
        if any(ctx.needs_input_grad[1:]):
            on_weights = (grad * gains[:, :, None, None, None]).unbind()
        return on_gains, *(on_weights or [None] * len(weights))
