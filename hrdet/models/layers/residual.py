"""The residual blocks of ResNet (He et al. 2015, arXiv 1512.03385), used by HRNet with stride 1.

Norms of every kind are called ``bn``, as in the published checkpoints.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from hrdet.models.layers.conv import ConvNorm
from hrdet.models.layers.frozen_bn import conv_bn

Norm = Callable[[int], nn.Module]


def _shortcut(in_channels: int, out_channels: int, norm: Norm, stride: int) -> nn.Module:
    if in_channels == out_channels and stride == 1:
        return nn.Identity()
    conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
    return ConvNorm(conv, norm(out_channels))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, norm: Norm, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = norm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = norm(channels)
        self.downsample = _shortcut(in_channels, channels, norm, stride)

    @property
    def last_norm(self) -> nn.Module:
        return self.bn2

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(conv_bn(self.conv1, self.bn1, x), inplace=True)
        out = conv_bn(self.conv2, self.bn2, out)
        out += self.downsample(x)
        return F.relu(out, inplace=True)


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1, beside a shortcut; gives ``4 * channels``."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int, norm: Norm, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = norm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = norm(channels)
        self.conv3 = nn.Conv2d(channels, channels * 4, 1, bias=False)
        self.bn3 = norm(channels * 4)
        self.downsample = _shortcut(in_channels, channels * 4, norm, stride)

    @property
    def last_norm(self) -> nn.Module:
        return self.bn3

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(conv_bn(self.conv1, self.bn1, x), inplace=True)
        out = F.relu(conv_bn(self.conv2, self.bn2, out), inplace=True)
        out = conv_bn(self.conv3, self.bn3, out)
        out += self.downsample(x)
        return F.relu(out, inplace=True)
