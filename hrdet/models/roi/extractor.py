"""Features of regions: RoIAlign on the pyramid level that fits each box.

R regions, L levels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hrdet import ops
from hrdet.boxes import BoxConvention
from hrdet.ranges import Count, Natural, Positive
from hrdet.registry import register

_MAX_LEVELS = 8  # of the kernel, kMaxLevels


@register()
class SingleRoIExtractor(nn.Module):
    """RoIAlign of each box on one level, chosen by its size (FPN, Lin et al. 2017, equation 1).

    Args:
        out_size: height and width of a region's features.
        sample_num: samples per bin and axis; 0 takes as many as the bin has feature pixels.
        finest_scale: boxes up to twice this size (pixels) go to the first level.
    """

    def __init__(
        self,
        out_size: Count,
        sample_num: Natural,
        out_channels: Count,
        featmap_strides: Sequence[Count],
        convention: str,
        finest_scale: Positive = 56,
    ) -> None:
        super().__init__()
        if not 1 <= len(featmap_strides) <= _MAX_LEVELS:
            raise ValueError(f'featmap_strides: 1 to {_MAX_LEVELS}, not {list(featmap_strides)}')
        self.out_size, self.sample_num = out_size, sample_num
        self.in_channels = self.out_channels = out_channels  # RoIAlign keeps them
        self.strides = list(featmap_strides)
        self.finest_scale = finest_scale
        self.half_pixel = BoxConvention(convention).half_pixel

    def forward(self, features: Sequence[Tensor], rois: Tensor) -> Tensor:
        """Features (R, C, out_size, out_size) of ``rois`` (R, 5): image, x1, y1, x2, y2."""
        # The kernel picks each box's level: floor(log2(sqrt(area) / finest_scale)), clamped.
        return ops.roi_align(
            features[: len(self.strides)],
            rois,
            self.out_size,
            self.strides,
            self.sample_num,
            self.half_pixel,
            finest_scale=self.finest_scale,
        )


def batch_rois(boxes: Tensor, valid: Tensor) -> Tensor:
    """Boxes (N, P, 4) as (N * P, 5) rois; rows that are not ``valid`` (N, P) get image -1."""
    image = torch.arange(boxes.shape[0], device=boxes.device, dtype=boxes.dtype)[:, None]
    image = torch.where(valid, image, -1.0)  # (N, P)
    return torch.cat([image[..., None], boxes], -1).flatten(0, 1)


def valid_rows(rois: Tensor) -> Tensor | slice:
    """Index of the rows of ``rois`` (R, 5) that hold a region; on an accelerator of all rows.

    On a CPU the heads need not compute the others: detections with masks are few, and a trained RPN
    leaves fewer than ``max_num`` proposals in most images.  Elsewhere shapes stay static: asking
    how many rows are valid would wait for the device.  Exported graphs have static shapes, too.
    """
    if rois.device.type != 'cpu' or torch.compiler.is_exporting():
        return slice(None)
    return (rois[:, 0] >= 0).nonzero().squeeze(1)
