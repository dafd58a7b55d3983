"""Detection in large images: the detections of overlapping tiles, merged (Akyon et al. 2022)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from pycocotools import mask as coco_mask

from hrdet.boxes.windows import sliding_windows
from hrdet.ops import nms
from hrdet.registry import ConfigError
from hrdet.structures import Detections

_IOU = 0.5  # of two tiles' detections of one object
_EDGE = 2.0  # pixels from the cut of a tile within which a box counts as cut off

Window = tuple[int, int, int, int]  # y1, y2, x1, x2


class Tiling(NamedTuple):
    """Edge of the square tiles in pixels, and the share by which neighbours overlap."""

    size: int
    overlap: float = 0.2

    def windows(self, size: tuple[int, int]) -> list[Window]:
        """The whole image (h, w), and the tiles if there is more than one.

        Objects larger than an overlap may be cut off in every tile; in the whole image none is.

        Raises:
            ConfigError: a tile of less than 32 pixels, or an overlap outside [0, 0.9].
        """
        if self.size < 32 or not 0 <= self.overlap <= 0.9:
            raise ConfigError(
                f'tiles have edges of 32 pixels or more, not {self.size}, and overlap by 0 to 0.9 '
                f'of them, not {self.overlap:g}'
            )
        stride = max(1, round(self.size * (1 - self.overlap)))
        tiles = sliding_windows(size, (self.size, self.size), (stride, stride))
        whole = (0, size[0], 0, size[1])
        return [whole] if len(tiles) == 1 else [whole, *tiles]


def merge_windows(
    found: Sequence[Detections], windows: Sequence[Window], size: tuple[int, int]
) -> Detections:
    """The detections of the windows of an image (h, w), moved to its pixels, without duplicates.

    Boxes that end at the cut of a window are left out: another window has the whole object.  Of
    boxes of one class that overlap by more than ``_IOU`` the best stays.
    """
    parts = [_uncut(one.numpy(), window, size) for one, window in zip(found, windows)]
    corners = [np.array([x, y, x, y], np.float32) for y, _, x, _ in windows]
    boxes = np.concatenate([np.asarray(p.boxes) + corner for p, corner in zip(parts, corners)])
    scores = np.concatenate([part.scores for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    # 1. NMS of each class; rows of other classes are padding.
    classes = np.unique(labels)
    per_class = np.where(labels == classes[:, None], scores, -np.inf)  # (K, D)
    kept = np.zeros(0, np.int64)
    if len(classes):
        index, valid = nms(
            torch.from_numpy(boxes).expand(len(classes), -1, -1).contiguous(),
            torch.from_numpy(per_class),
            _IOU,
            len(scores),
        )
        kept = index[valid].numpy()
    # 2. Best first; masks are enlarged to the image for these alone.
    kept = kept[np.argsort(-scores[kept], kind='stable')]
    masks = None
    if any(part.masks is not None for part in parts):
        owned = [(mask, w) for part, w in zip(parts, windows) for mask in part.masks or ()]
        masks = [_in_image(mask, window, size) for mask, window in (owned[row] for row in kept)]
    return Detections(boxes[kept], scores[kept], labels[kept], masks)


def _uncut(found: Detections, window: Window, size: tuple[int, int]) -> Detections:
    """The detections that do not end at an edge of the window inside the image."""
    # An object at an inner edge of the window is cut off there; windows overlap, so that another
    # one has it whole.  An edge of the image cuts nothing off.
    y1, y2, x1, x2 = window
    boxes = np.asarray(found.boxes)
    cut = np.zeros(len(boxes), bool)
    if x1 > 0:
        cut |= boxes[:, 0] < _EDGE
    if y1 > 0:
        cut |= boxes[:, 1] < _EDGE
    if x2 < size[1]:
        cut |= boxes[:, 2] > x2 - x1 - _EDGE
    if y2 < size[0]:
        cut |= boxes[:, 3] > y2 - y1 - _EDGE
    return found[~cut]


def _in_image(mask: Any, window: Window, size: tuple[int, int]) -> Any:
    """An RLE of a window as an RLE of the image."""
    y1, y2, x1, x2 = window
    if (y2 - y1, x2 - x1) == size:
        return mask
    canvas = np.zeros(size, np.uint8, order='F')
    canvas[y1:y2, x1:x2] = coco_mask.decode(mask)
    return coco_mask.encode(canvas)
