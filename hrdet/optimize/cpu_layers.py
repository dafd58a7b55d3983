"""Faster implementations of layers for inference on a CPU."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hrdet import ops
from hrdet.models.layers import BasicBlock, Bottleneck
from hrdet.models.necks import HRFPN
from hrdet.ops import cpu

_LEAST_CHANNELS = 16  # one AVX-512 vector; with fewer channels a direct convolution is faster
_HALF_CHANNELS = 128  # from here on products are bfloat16 too: long sums average the rounding


class FastConv2d(nn.Conv2d):
    """A convolution by oneDNN, then + ``summand``, then ReLU.

    With one thread and one image torch does not use oneDNN for 1x1 convolutions, and copies a
    channels_last map to rows and back: 1.5 to 3 times the time.
    """

    def forward(self, x: Tensor, summand: Tensor | None = None, relu: bool = False) -> Tensor:
        return self.with_weight(x, self.weight, self.bias, summand, relu)

    def with_weight(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        summand: Tensor | None = None,
        relu: bool = False,
        in_place: bool = False,
    ) -> Tensor:
        """The same with another weight, such as the input channels of it that belong to ``x``.

        ``in_place`` writes the result into ``summand``.
        """
        # oneDNN applies ``then`` to the result before it writes it: ReLU, or a sum and ReLU.
        convolve, inputs = torch.ops.mkldnn._convolution_pointwise, (x,)
        then = ('relu' if relu else 'none',)
        if summand is not None:
            inputs, then = (x, summand), ('add', 1.0, 'relu' if relu else None)
            if in_place:
                convolve, inputs = torch.ops.mkldnn._convolution_pointwise_, (summand, x)
        shape = self.padding, self.stride, self.dilation, self.groups
        return convolve(*inputs, weight, bias, *shape, *then, [], '')


class WinogradConv2d(nn.Conv2d):
    """A 3x3 convolution of stride 1, then + ``summand``, then ReLU.

    ``weight`` and ``bias`` are in the layout of ``ops.winograd_conv``.
    """

    def forward(self, x: Tensor, summand: Tensor | None = None, relu: bool = False) -> Tensor:
        return ops.winograd_conv(x, self.weight, self.bias, summand, relu)


class FastBasicBlock(BasicBlock):
    """Convolutions add the shortcut and apply ReLU as they write: three passes over a map less."""

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x, relu=True), self.downsample(x), relu=True)


class FastBottleneck(Bottleneck):
    """As ``FastBasicBlock``."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(self.conv1(x, relu=True), relu=True)
        return self.conv3(out, self.downsample(x), relu=True)


class FastHRFPN(HRFPN):
    """Branches are summed in one map; the convolution of the finest adds to it as it writes."""

    def _merge(self, features: Sequence[Tensor]) -> Tensor:
        reduction = self.reduction_conv.conv
        first, *rest = reduction.weight.split(self.in_channels, dim=1)
        # Coarser maps (N, out_channels, h, w) enlarged and summed; the finest is added last.
        total = None
        for feature, weight in zip(features[1:], rest):
            reduced = reduction.with_weight(feature, weight.contiguous())
            grown = F.interpolate(reduced, size=features[0].shape[-2:], mode='bilinear')
            total = grown if total is None else total.add_(grown)
        total = reduction.with_weight(
            features[0], first.contiguous(), reduction.bias, total, in_place=True
        )
        return self.reduction_conv[1:](total)


_FAST_BLOCKS = {BasicBlock: FastBasicBlock, Bottleneck: FastBottleneck}


def fast_layers(model: nn.Module, dtype: torch.dtype) -> None:
    """Replace convolutions and blocks by faster implementations in this type, in place.

    Winograd's algorithm is used in float32, and in bfloat16 unless the processor has matrix units
    for it (AMX), with which direct convolutions are faster.  ``hrdet.ops.cpu`` limits the choice.
    """
    # 1. Which algorithms and types pay on this processor.
    capability = cpu.capability()
    direct = _onednn_convolves(dtype)
    winograd = dtype is torch.float32 or capability != 'amx'
    pairs = dtype is torch.bfloat16 and capability == 'avx512_bf16'
    for module in model.modules():
        # 2. Each convolution by itself.
        if type(module) is not nn.Conv2d or module.padding_mode != 'zeros':
            continue
        if winograd and _suits_winograd(module):
            module.__class__ = WinogradConv2d
            half = pairs and min(module.in_channels, module.out_channels) >= _HALF_CHANNELS
            weight = ops.winograd_weight(module.weight, torch.bfloat16 if half else torch.float32)
            module.weight = nn.Parameter(weight, requires_grad=False)
            if module.bias is None:
                module.bias = nn.Parameter(torch.zeros(module.out_channels), requires_grad=False)
        elif direct:
            module.__class__ = FastConv2d
    # 3. Blocks whose convolutions are all fast: they add and apply ReLU as they write.
    for module in model.modules():
        if type(module) in _FAST_BLOCKS and _only_convs(module):
            module.__class__ = _FAST_BLOCKS[type(module)]
        elif type(module) is HRFPN and type(module.reduction_conv.conv) is FastConv2d:
            module.__class__ = FastHRFPN


def _onednn_convolves(dtype: torch.dtype) -> bool:
    """Whether ``FastConv2d`` runs here in this type; otherwise torch's own layer stays.

    Its operators are private to torch, and for bfloat16 they need a processor with AVX-512.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        conv, x = FastConv2d(1, 1, 1).to(dtype), torch.zeros(1, 1, 1, 1, dtype=dtype)
        try:
            conv(x, relu=True)
            conv(x, x)
            conv.with_weight(x, conv.weight, conv.bias, x, in_place=True)
        except (
            AttributeError,
            RuntimeError,
            TypeError,
        ):  # missing, or changed
            return False
    return True


def _only_convs(block: nn.Module) -> bool:
    """Whether all norms of the block are folded and all its convolutions fast."""
    fast = FastConv2d, WinogradConv2d, nn.Identity
    return all(isinstance(m, fast) for name, m in block.named_children() if name != 'downsample')


def _suits_winograd(conv: nn.Conv2d) -> bool:
    shape = conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups
    wide = min(conv.in_channels, conv.out_channels) >= _LEAST_CHANNELS
    return wide and shape == ((3, 3), (1, 1), (1, 1), (1, 1), 1)
