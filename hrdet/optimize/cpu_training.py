"""Faster convolutions for training on a CPU."""

import torch
from torch import Tensor, nn

from hrdet.ops import winograd_conv2d
from hrdet.ops.malloc import keep_memory
from hrdet.optimize.cpu_layers import suits_winograd

# From here on a convolution and its gradients outweigh the transforms of its filters: 0.95 to 1.6
# times as fast at 320 to 5,120 pixels with 18 to 256 channels, 0.2 at 20.
_LEAST_PIXELS = 512


class TrainedConv2d(nn.Conv2d):
    """A 3x3 convolution of stride 1 by Winograd's algorithm, forward and backward, in float32."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        large = input.dim() == 4 and input[:, 0].numel() >= _LEAST_PIXELS
        float32 = input.dtype == weight.dtype == torch.float32
        other = torch.is_autocast_enabled('cpu') or torch.compiler.is_compiling()
        if large and float32 and not other:
            return winograd_conv2d(input, weight, bias)
        return super()._conv_forward(input, weight, bias)


def fast_training(model: nn.Module) -> None:
    """Make a model on a CPU train faster, in place: the same losses and gradients to rounding.

    Its parameters and their names stay as they are.  Mixed precision and ``torch.compile`` use
    their own convolutions.  The process keeps freed memory from now on (``hrdet.ops.malloc``).
    """
    keep_memory()
    for module in model.modules():
        if type(module) is nn.Conv2d and suits_winograd(module):
            module.__class__ = TrainedConv2d


def plain_layers(model: nn.Module) -> None:
    """Undo ``fast_training`` but for the memory, in place."""
    for module in model.modules():
        if type(module) is TrainedConv2d:
            module.__class__ = nn.Conv2d
