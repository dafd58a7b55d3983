"""What a two-stage detector costs: parameters, and multiply-accumulates by part.

Only convolutions and matrix products count, without biases, as in the tables of HRNet's README.
On the device ``'meta'`` nothing is computed, and a detector is counted in a second.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from hrdet.models.detectors import TwoStageDetector


@dataclass(frozen=True, slots=True)
class Cost:
    """Parameters of a detector, and multiply-accumulates of its parts for one image."""

    parameters: int
    macs: dict[str, int]

    @property
    def total_macs(self) -> int:
        return sum(self.macs.values())


def detector_cost(
    detector: TwoStageDetector,
    size: tuple[int, int] = (800, 1216),
    rois: int = 500,
    whole_levels: bool = False,
) -> Cost:
    """Count one image through all parts.

    The neck counts as HRNetV2p is defined: branches upsampled and concatenated, then reduced.
    hrdet reduces first, which gives the same maps for less (``HRFPN``).

    Args:
        detector: on any device; ``'meta'`` is fastest.
        size: (h, w) of the network input in pixels.
        rois: regions through the box head.
        whole_levels: a level of stride s has ceil(h / s) rows.  The neck drops an odd last row when
            it pools, so that 800 rows leave 12 at stride 64; the release's table comes out
            with 13 (159.1 for W18; with 12 it is 159.089, which it would print as 159.0).
    """
    device = next(detector.parameters()).device
    neck, extractor = detector.neck, detector.roi_head.bbox_roi_extractor

    def maps(channels: int, height: int, width: int, count: int = 1) -> Tensor:
        return torch.zeros(count, channels, height, width, device=device)

    backbone, features = _count(detector.backbone, maps(3, *size))
    height, width = features[0].shape[-2:]
    merging, level = _count(neck.reduction_conv, maps(sum(neck.in_channels), height, width))
    levels = []
    for i in range(neck.num_outs):
        conv = neck.fpn_convs[i % len(neck.fpn_convs)]
        macs, level = _count(conv, maps(neck.out_channels, height, width))
        merging += macs
        levels.append(level)
        height, width = ((n + whole_levels) // 2 or 1 for n in (height, width))
    proposing, _ = _count(detector.rpn_head, levels)
    regions = maps(extractor.out_channels, extractor.out_size, extractor.out_size, rois)
    classifying, _ = _count(detector.roi_head.bbox_head, regions)
    return Cost(
        sum(p.numel() for p in detector.parameters()),
        dict(backbone=backbone, neck=merging, rpn_head=proposing, bbox_head=classifying),
    )


@torch.no_grad()
def _count(part: Callable, inputs):
    with FlopCounterMode(display=False) as counter:
        outputs = part(inputs)
    return counter.get_total_flops() // 2, outputs
