"""The overlaps of all objects with all boxes, worked through in pieces that fit in memory.

N images, A boxes of each, G objects of the fullest image.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from hrdet.boxes import pairwise_iou

# Numbers in one piece of an overlap matrix.  On a GPU the working set of a piece, some five such
# matrices of float32, stays below 256 MB; on a CPU a piece is to fit in the cache (5x the speed).
PIECE_NUMBERS = {'cpu': 1 << 18, 'other': 12 << 20}


def piece_slices(boxes: Tensor, objects: Tensor) -> list[slice]:
    """Slices that cut boxes (..., A, 4) so that a piece times all objects (N, G, 4) fits.

    At least one box each, and at least one slice.
    """
    limit = PIECE_NUMBERS.get(boxes.device.type, PIECE_NUMBERS['other'])
    step = max(1, limit // max(1, objects.shape[0] * objects.shape[1]))
    return [slice(start, start + step) for start in range(0, max(1, boxes.shape[-2]), step)]


class Overlaps:
    """IoU of objects (N, G, 4) and boxes (N, A, 4) or (A, 4); -1 for boxes not ``taking_part``.

    Exact however many pieces there are: each number is computed by itself, and the same numbers
    come out when a piece is computed again.
    """

    def __init__(self, objects: Tensor, boxes: Tensor, taking_part: Tensor) -> None:
        self.objects, self.boxes, self.taking_part = objects, boxes, taking_part
        self.slices = piece_slices(boxes, objects)
        self._only_piece: Tensor | None = None

    def maxima(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The best overlap of each box and with which object (N, A), the first of equals; the best
        overlap of each object and with which box (N, G), the first of equals."""
        of_boxes = []
        best = torch.full(self.objects.shape[:2], -torch.inf, device=self.objects.device)
        best_box = torch.zeros(best.shape, dtype=torch.int64, device=best.device)
        for part, iou in self._pieces():
            of_boxes.append(iou.max(1))
            value, box = iou.max(2)
            best_box = torch.where(value > best, box + part.start, best_box)
            best = torch.maximum(best, value)
        values, rows = zip(*of_boxes)
        return torch.cat(values, 1), torch.cat(rows, 1), best, best_box

    def last_equal(self, values: Tensor) -> Tensor:
        """For each box the last object whose overlap equals its value (N, G): (N, A), or -1."""
        rows = torch.arange(values.shape[1], device=values.device, dtype=torch.int32)[:, None]
        found = [
            torch.where(iou == values[..., None], rows, -1).amax(1) for _, iou in self._pieces()
        ]
        return torch.cat(found, 1).long()

    def _pieces(self) -> Iterator[tuple[slice, Tensor]]:
        if self._only_piece is not None:
            yield self.slices[0], self._only_piece
            return
        for part in self.slices:
            iou = pairwise_iou(self.objects, self.boxes[..., part, :])
            iou.masked_fill_(~self.taking_part[:, None, part], -1)
            if len(self.slices) == 1:
                self._only_piece = iou
            yield part, iou
