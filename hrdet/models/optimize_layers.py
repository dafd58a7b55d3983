"""Layers that do what their originals do, faster on a CPU."""

import torch
from torch import Tensor, nn

from hrdet import ops

_LEAST_CHANNELS = 16  # a vector of float32; with fewer of them a direct convolution is faster


class FastConv2d(nn.Conv2d):
    """A convolution that always uses oneDNN.

    With one thread and one image torch computes 1x1 convolutions by its oldest method, which copies
    a channels_last map to rows and back: 1.5 to 3 times the time.
    """

    def forward(self, x: Tensor) -> Tensor:
        return torch.mkldnn_convolution(
            x, self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups
        )


class WinogradConv2d(nn.Conv2d):
    """A 3x3 convolution of stride 1; ``weight`` and ``bias`` are those of ``ops.winograd_conv``."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.winograd_conv(x, self.weight, self.bias)


def fast_convs(model: nn.Module, dtype: torch.dtype) -> None:
    """Exchange the convolutions that have a faster form in this type, in place.

    Matrix units for bfloat16 (AMX) are faster still than Winograd's way, which does without them.
    """
    winograd = dtype is torch.float32 or not torch.cpu.get_capabilities().get('amx_bf16')
    for module in model.modules():
        if type(module) is not nn.Conv2d or module.padding_mode != 'zeros':
            continue
        if winograd and _suits_winograd(module):
            module.__class__ = WinogradConv2d
            module.weight = nn.Parameter(ops.winograd_weight(module.weight), requires_grad=False)
            if module.bias is None:
                module.bias = nn.Parameter(torch.zeros(module.out_channels), requires_grad=False)
        elif torch.backends.mkldnn.is_available():
            module.__class__ = FastConv2d


def _suits_winograd(conv: nn.Conv2d) -> bool:
    shape = conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups
    wide = min(conv.in_channels, conv.out_channels) >= _LEAST_CHANNELS
    return wide and shape == ((3, 3), (1, 1), (1, 1), (1, 1), 1)
