"""Layers that do what their originals do, faster on a CPU."""

import torch
from torch import Tensor, nn


class FastConv2d(nn.Conv2d):
    """A convolution that always uses oneDNN.

    With one thread and one image torch computes 1x1 convolutions by its oldest method, which copies
    a channels_last map to rows and back: 1.5 to 3 times the time.
    """

    def forward(self, x: Tensor) -> Tensor:
        return torch.mkldnn_convolution(
            x, self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups
        )


def fast_layers(model: nn.Module) -> None:
    """Exchange the layers that have a faster form, in place."""
    if not torch.backends.mkldnn.is_available():
        return
    for module in model.modules():
        if type(module) is nn.Conv2d and module.padding_mode == 'zeros':
            module.__class__ = FastConv2d
