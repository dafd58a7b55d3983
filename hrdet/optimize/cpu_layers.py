"""Faster implementations of layers for inference on a CPU."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from hrdet import ops
from hrdet.models.backbones import HRNet, SyncHighResolutionNet
from hrdet.models.backbones.hrnet import HRModule
from hrdet.models.heads import FCNHead
from hrdet.models.layers import BasicBlock, Bottleneck, ConvNorm
from hrdet.models.necks import HRFPN
from hrdet.ops import cpu

_LEAST_CHANNELS = 16  # one AVX-512 vector; with fewer channels a direct convolution is faster
# From here on packing weights for oneDNN takes as long as convolving one small image; matrix units
# convolve so fast that it is soon so in bfloat16.
_PACKED_WEIGHTS = {torch.float32: 1 << 20, torch.bfloat16: 1 << 12}
_BFLOAT16_CHANNELS = 128  # from here on products are bfloat16 too: long sums average the rounding


class FastConv2d(nn.Conv2d):
    """A convolution by oneDNN, then + ``residual``, then ReLU.

    With one thread and one image torch does not use oneDNN for 1x1 convolutions, and copies a
    channels_last map to rows and back: 1.5 to 3 times the time.

    Large weights are packed into oneDNN's layout once, at the first call, and are held twice then.
    """

    _packed: Tensor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the packed weight, which cannot be copied."""
        return {name: value for name, value in self.__dict__.items() if name != '_packed'}

    def forward(
        self,
        x: Tensor,
        residual: Tensor | None = None,
        relu: bool = False,
        in_place: bool = False,
    ) -> Tensor:
        """``in_place`` writes the result into ``residual``."""
        weight = self.weight
        if weight.numel() >= _PACKED_WEIGHTS.get(weight.dtype, math.inf):
            if self._packed is None:
                self._packed = self._pack(x)
            weight = self._packed
        return self.with_weight(x, weight, self.bias, residual, relu, in_place)

    def _pack(self, x: Tensor) -> Tensor:
        """The weight in oneDNN's layout for inputs of the shape of ``x``.

        For another shape oneDNN packs it again where the layout does not fit.
        """
        shape = self.padding, self.stride, self.dilation, self.groups, x.shape
        return torch.ops.mkldnn._reorder_convolution_weight(self.weight, *shape)

    def with_weight(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        residual: Tensor | None = None,
        relu: bool = False,
        in_place: bool = False,
    ) -> Tensor:
        """``forward`` with another weight, such as its part for some of the input channels."""
        # oneDNN applies post-ops to the result before it writes it: ReLU, or a sum and ReLU.
        convolve, inputs = torch.ops.mkldnn._convolution_pointwise, (x,)
        post_ops = ('relu' if relu else 'none',)
        if residual is not None:
            inputs, post_ops = (x, residual), ('add', 1.0, 'relu' if relu else None)
            if in_place:
                convolve, inputs = torch.ops.mkldnn._convolution_pointwise_, (residual, x)
        shape = self.padding, self.stride, self.dilation, self.groups
        return convolve(*inputs, weight, bias, *shape, *post_ops, [], '')


class WinogradConv2d(nn.Conv2d):
    """A 3x3 convolution of stride 1, then + ``residual``, then ReLU.

    ``weight`` and ``bias`` are in the layout of ``ops.winograd_conv``.
    """

    def forward(self, x: Tensor, residual: Tensor | None = None, relu: bool = False) -> Tensor:
        return ops.winograd_conv(x, self.weight, self.bias, residual, relu)


class FastBasicBlock(BasicBlock):
    """Convolutions add the shortcut and apply ReLU as they write: three passes over a map less."""

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x, relu=True), self.downsample(x), relu=True)


class FastBottleneck(Bottleneck):
    """As ``FastBasicBlock``; the result replaces the shortcut where nothing else reads that."""

    owns_input = False  # whether it is the first to read its input, and the last

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(self.conv1(x, relu=True), relu=True)
        shortcut = self.downsample(x)
        return self.conv3(out, shortcut, relu=True, in_place=self.owns_input or shortcut is not x)


class FastConvNorm(ConvNorm):
    """A folded norm and ReLU cost no pass over the map."""

    def forward(self, x: Tensor, residual: Tensor | None = None, relu: bool = False) -> Tensor:
        return self[0](x, residual, relu or len(self) > 2)


class FastHRNet(HRNet):
    """The stem's ReLUs cost no pass over its maps."""

    def _stem(self, images: Tensor) -> Tensor:
        return self.conv2(self.conv1(images, relu=True), relu=True)


class FastHRModule(HRModule):
    """Each sum is computed in one map, where convolutions write or in one pass over it.

    Finer terms are added by their last convolution as it writes; coarser ones are upsampled
    and added at once, and the last of either applies ReLU.
    """

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        features = [branch(x) for branch, x in zip(self.branches, features)]
        # The finest last: its sum overwrites its branch, which the coarser sums read.
        targets = reversed(range(len(features)))
        return [self._fuse(features, target) for target in targets][::-1]

    def _fuse(self, features: list[Tensor], target: int) -> Tensor:
        layers, total = self.fuse_layers[target], features[target]
        coarser = range(target + 1, len(features))
        # 1. Finer terms: (N, C, H, W) of the target.
        for source in range(target):
            *halvings, last = layers[source]
            x = features[source]
            for halve in halvings:
                x = halve(x)
            done = source == target - 1 and not coarser
            total = last[0](x, total, relu=done, in_place=source > 0)
        # 2. Coarser terms, each from its own resolution.
        if coarser:
            terms = [layers[source](features[source]) for source in coarser]
            sizes = [features[source].shape[-2:] for source in range(target, len(features))]
            taps = [self._taps([size[side] for size in sizes]) for side in (0, 1)]
            total = ops.add_upsampled(total, terms, *taps, relu=True)
        return total

    def _taps(self, edges: Sequence[int]) -> list[ops.Taps]:
        """Of each coarser branch, whose edges are ``edges[1:]``; the finest is the target's."""
        if self.fuse_mode == 'nearest':
            return [ops.nearest_taps(*edges[i::-1]) for i in range(1, len(edges))]
        return [  # the two steps of ``upsample_fuse``
            ops.bilinear_taps(edge, edge * 2**i, edges[0]) for i, edge in enumerate(edges) if i
        ]


class FastHRFPN(HRFPN):
    """Branches are summed in one map, in two passes over it."""

    def _merge(self, features: Sequence[Tensor]) -> Tensor:
        return self.reduction_conv[1:](_resize_concat_conv(features, self.reduction_conv.conv))


class FastFCNHead(FCNHead):
    """As ``FastHRFPN``, with ReLU."""

    def _merge(self, features: Sequence[Tensor]) -> Tensor:
        return _resize_concat_conv(features, self.convs[0].conv, relu=True)


def _resize_concat_conv(features: Sequence[Tensor], conv: FastConv2d, relu: bool = False) -> Tensor:
    """As ``hrdet.models.layers.resize.resize_concat_conv``, then ReLU."""
    # The weight by the input channels of each map; the finest map gets the bias.
    first, *rest = conv.weight.split([feature.shape[1] for feature in features], dim=1)
    total = conv.with_weight(features[0], first.contiguous(), conv.bias, relu=relu and not rest)
    if not rest:
        return total
    # Coarser maps (N, out_channels, h, w), upsampled as they are added.
    terms = [conv.with_weight(x, weight.contiguous()) for x, weight in zip(features[1:], rest)]
    rows, columns = (
        [ops.bilinear_taps(term.shape[side], total.shape[side]) for term in terms]
        for side in (2, 3)
    )
    return ops.add_upsampled(total, terms, rows, columns, relu)


# The faster class for each class, and the parts of it whose convolutions must be fast.
_FAST_CLASSES: dict[type[nn.Module], tuple[type[nn.Module], Callable]] = {
    ConvNorm: (FastConvNorm, lambda conv: [conv]),
    BasicBlock: (FastBasicBlock, lambda block: [block]),
    Bottleneck: (FastBottleneck, lambda block: [block]),
    HRModule: (FastHRModule, lambda module: [module.fuse_layers]),
    HRNet: (FastHRNet, lambda net: [net.conv1, net.bn1, net.conv2, net.bn2]),
    SyncHighResolutionNet: (FastHRNet, lambda net: [net.conv1, net.bn1, net.conv2, net.bn2]),
    HRFPN: (FastHRFPN, lambda neck: [neck.reduction_conv.conv]),
    FCNHead: (FastFCNHead, lambda head: [head.convs[0]]),
}


def fast_layers(model: nn.Module, dtype: torch.dtype) -> None:
    """Replace convolutions and blocks by faster implementations in this type, in place.

    Winograd's algorithm is used in float32, and in bfloat16 unless the processor has matrix units
    for it (AMX), with which direct convolutions are faster.  ``hrdet.ops.cpu`` limits the choice.
    """
    # 1. Which algorithms and types pay on this processor.
    capability = cpu.capability()
    onednn = _onednn_convolves(dtype)
    winograd = dtype is torch.float32 or capability != 'amx'
    bfloat16_products = dtype is torch.bfloat16 and capability == 'avx512_bf16'
    for module in model.modules():
        # 2. Convolutions, each by itself.
        if type(module) is not nn.Conv2d or module.padding_mode != 'zeros':
            continue
        if winograd and suits_winograd(module):
            module.__class__ = WinogradConv2d
            wide = min(module.in_channels, module.out_channels) >= _BFLOAT16_CHANNELS
            factors = torch.bfloat16 if bfloat16_products and wide else torch.float32
            weight = ops.winograd_weight(module.weight, factors)
            module.weight = nn.Parameter(weight, requires_grad=False)
            if module.bias is None:
                module.bias = nn.Parameter(torch.zeros(module.out_channels), requires_grad=False)
        elif onednn:
            module.__class__ = FastConv2d
    # 3. Blocks of fast convolutions and folded norms: sums and ReLUs where convolutions write.
    for module in model.modules():
        if type(module) in _FAST_CLASSES:
            fast_class, parts = _FAST_CLASSES[type(module)]
            if all(map(_only_fast_convs, parts(module))):
                module.__class__ = fast_class
    # 4. A bottleneck after another one writes into its input, which nothing else reads.
    for module in model.modules():
        if type(module) is nn.Sequential:
            for before, block in pairwise(module):
                if type(before) is type(block) is FastBottleneck:
                    block.owns_input = True


def _onednn_convolves(dtype: torch.dtype) -> bool:
    """Whether ``FastConv2d`` runs here in this type; otherwise torch's own layer stays.

    Its operators are private to torch, and for bfloat16 they need a processor with AVX-512.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        conv, x = FastConv2d(1, 1, 1).to(dtype), torch.zeros(1, 1, 1, 1, dtype=dtype)
        # Every call that the layers below make, with the smallest tensors.
        try:
            conv(x, relu=True)
            conv(x, x)
            conv.with_weight(x, conv._pack(x))
            conv.with_weight(x, conv.weight, conv.bias, x, in_place=True)
        except (
            AttributeError,
            RuntimeError,
            TypeError,
        ):  # missing, or changed
            return False
    return True


def _only_fast_convs(part: nn.Module) -> bool:
    """Whether all norms of a part are folded and all its convolutions fast."""
    fast = FastConv2d, WinogradConv2d, nn.Identity, nn.ReLU
    return all(isinstance(m, fast) for m in part.modules() if not list(m.children()))


def suits_winograd(conv: nn.Conv2d) -> bool:
    """Whether Winograd's algorithm convolves the same, and faster."""
    shape = conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups
    wide = min(conv.in_channels, conv.out_channels) >= _LEAST_CHANNELS
    return wide and shape == ((3, 3), (1, 1), (1, 1), (1, 1), 1) and conv.padding_mode == 'zeros'
