"""An FCOS detector small enough for loops, and a batch for it."""

import math

import torch
from torch import nn

from hrdet.losses import CrossEntropyLoss, FocalLoss, IoULoss
from hrdet.models.detectors import FCOS
from hrdet.models.heads import FCOSHead
from hrdet.models.layers import GN
from hrdet.models.preprocess import Preprocess
from hrdet.structures import Batch, GroundTruth, ImageMeta

STRIDES = [4, 7, 16]
LIMITS = [(-1, 14), (14, 24.5), (24.5, 1e8)]
SIZES = [(60, 90), (64, 70)]  # of the two images in a 64 x 96 batch
CLASSES = 3


class Pyramid(nn.Module):
    """Backbone of random strided convolutions."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 8, s, stride=s) for s in STRIDES)

    def forward(self, images):
        return [conv(images) for conv in self.convs]


def make_detector(convention, **options):
    torch.manual_seed(0)
    losses = FocalLoss(), IoULoss(), CrossEntropyLoss(use_sigmoid=True)
    head = FCOSHead(
        CLASSES, 8, STRIDES, LIMITS, *losses, convention, GN(4), 2, feat_channels=8, **options
    )
    preprocess = Preprocess([0, 0, 0], [50, 50, 50], 'bgr', size_divisor=32)
    detector = FCOS(preprocess, Pyramid(), nn.Identity(), head, convention)
    # Spread the outputs, which near zero would make all points alike; boxes of about 10 pixels.
    for layer, std in ((head.conv_cls, 0.4), (head.conv_reg, 0.05), (head.conv_centerness, 0.2)):
        nn.init.normal_(layer.weight, std=std)
    nn.init.constant_(head.conv_cls.bias, -2)
    nn.init.constant_(head.conv_reg.bias, math.log(10))
    for scale, value in zip(head.scales, (0.8, 1.0, 1.3)):
        nn.init.constant_(scale.scale, value)
    return detector


def make_batch(flipped=False):
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 255, (2, 3, 64, 96), generator=generator, dtype=torch.uint8)
    boxes = torch.zeros(2, 3, 4)
    boxes[0] = torch.tensor([[4.0, 5, 30, 33], [2, 0.5, 80, 58], [10, 30.25, 26, 58]])
    boxes[1, :2] = torch.tensor([[0.0, 0, 20.5, 16], [30, 20, 66, 60]])
    valid = torch.tensor([[True] * 3, [True, True, False]])
    truth = GroundTruth(
        boxes,
        torch.tensor([[0, 2, 1], [1, 0, 0]]),
        torch.zeros(2, 0, 4),
        valid=valid,
        ignored_valid=torch.zeros(2, 0, dtype=torch.bool),
    )
    metas = [
        ImageMeta(f'{i}.jpg', i, (h * 2, w * 4), (h, w), (64, 96), (0.25, 0.5), flipped)
        for i, (h, w) in enumerate(SIZES)
    ]
    sizes = torch.tensor(SIZES, dtype=torch.float32)
    return Batch(images, metas, sizes, torch.tensor([[64.0, 96]] * 2), truth)
