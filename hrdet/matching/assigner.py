"""Assignment of objects to boxes by overlap (Ren et al., Faster R-CNN, 2015, section 3.1.2).

N images, A boxes of each (anchors or proposals), I crowd regions; G is the largest number of
objects per image in the batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hrdet.boxes import pairwise_iof, pairwise_iou
from hrdet.ranges import Share, UpToOne
from hrdet.registry import register
from hrdet.structures import GroundTruth

NEGATIVE, IGNORED = -1, -2

# Elements in one chunk of an overlap matrix.  On a GPU the working set of a chunk, about five such
# float32 matrices, stays below 256 MB; on a CPU a chunk should fit in the cache (5x the speed).
CHUNK_ELEMENTS = {'cpu': 1 << 18, 'other': 12 << 20}


@dataclass(slots=True)
class Assignment:
    """The object that each box of a batch is trained on."""

    gt_index: Tensor  # (N, A) int64: the row of its object, -1 background, -2 ignored
    max_iou: Tensor  # (N, A): largest overlap with any object; -1 for boxes that are not valid


@register()
class MaxIoUAssigner:
    """Positive above one overlap, negative below another, and the best boxes of every object.

    A box gets the object it overlaps most.  Then every object gets the boxes that overlap it most,
    even if these overlap others more; where several objects claim a box the last one gets it.  With
    ``min_pos_iou`` 0 an object that no box touches thereby takes every box that touches none of its
    kind, as in the releases.  In an image without objects every box is negative.

    Args:
        pos_iou_thr: positive from this overlap on.
        neg_iou_thr: negative below this overlap, or in ``[low, high)``; ignored between the two
            thresholds.
        min_pos_iou: an object takes its best boxes only if they overlap it at least this much.
        gt_max_assign_all: it takes all that share the largest overlap, not the first of them only.
        ignore_iof_thr: boxes of which a larger part lies in a crowd region are ignored; off if not
            above 0.
        ignore_wrt_candidates: the part is measured on the box, otherwise on the crowd region.
        match_low_quality: False leaves out the second step.
    """

    def __init__(
        self,
        pos_iou_thr: Share,
        neg_iou_thr: Share | Sequence[Share],
        min_pos_iou: Share = 0.0,
        gt_max_assign_all: bool = True,
        ignore_iof_thr: UpToOne = -1,
        ignore_wrt_candidates: bool = True,
        match_low_quality: bool = True,
    ) -> None:
        if not 0 < pos_iou_thr <= 1:
            raise ValueError(f'pos_iou_thr must be in (0, 1], not {pos_iou_thr}')
        self.pos_iou_thr = pos_iou_thr
        self.neg_iou_range = (
            (0.0, neg_iou_thr) if isinstance(neg_iou_thr, int | float) else tuple(neg_iou_thr)
        )
        if len(self.neg_iou_range) != 2:
            raise ValueError(f'neg_iou_thr must be a number or (low, high), not {neg_iou_thr}')
        self.min_pos_iou = min_pos_iou
        self.gt_max_assign_all = gt_max_assign_all
        self.ignore_iof_thr = ignore_iof_thr
        self.ignore_wrt_candidates = ignore_wrt_candidates
        self.match_low_quality = match_low_quality

    @torch.no_grad()
    def __call__(self, boxes: Tensor, boxes_valid: Tensor | None, truth: GroundTruth) -> Assignment:
        """Assign boxes (N, A, 4), or (A, 4) shared by all images, to the objects of a batch.

        Boxes outside ``boxes_valid`` (N, A) get -2 and, like padded objects, influence nothing.
        """
        # 1. Overlaps of valid boxes with objects, padded objects as empty boxes: each box's best
        #    object (N, A), and each object's best box (N, G).
        objects = torch.where(truth.valid[..., None], truth.boxes, 0)
        if objects.shape[1] == 0:
            # Without any object one empty box keeps the maxima defined; no threshold is reached.
            objects = F.pad(objects, (0, 0, 0, 1))
        valid = self._valid(boxes, boxes_valid, truth)
        if boxes.shape[-2] == 0:
            return Assignment(valid.long(), valid.to(boxes.dtype))
        overlaps = Overlaps(objects, boxes, valid)
        max_iou, row, object_max, object_best = overlaps.maxima()

        # 2. Negative or positive by the thresholds; in between a box is ignored.
        low, high = self.neg_iou_range
        no_objects = ~truth.valid.any(1, keepdim=True)
        negative = (max_iou >= low) & (max_iou < high) | no_objects
        gt_index = torch.where(negative, NEGATIVE, IGNORED)
        gt_index = torch.where(max_iou >= self.pos_iou_thr, row, gt_index)

        # 3. Low-quality matches: each object claims its best boxes; the last claim counts.
        if self.match_low_quality and truth.valid.shape[1] > 0:
            claims = truth.valid & (object_max >= self.min_pos_iou)  # (N, G)
            if self.gt_max_assign_all:
                claimed = overlaps.last_equal(torch.where(claims, object_max, torch.inf))  # (N, A)
            else:
                rows = torch.arange(claims.shape[1], device=row.device)
                # Every object writes its row at its best box; 'amax' keeps the last object.
                claimed = torch.full_like(row, NEGATIVE).scatter_reduce(
                    1, object_best, torch.where(claims, rows, NEGATIVE), 'amax'
                )
            gt_index = torch.where(claimed >= 0, claimed, gt_index)
        # 4. Boxes that are not valid are ignored, whatever they overlap.
        return Assignment(torch.where(valid, gt_index, IGNORED), max_iou)

    def _valid(self, boxes: Tensor, boxes_valid: Tensor | None, truth: GroundTruth) -> Tensor:
        """(N, A) bool: boxes of ``boxes_valid`` that do not lie in a crowd region."""
        shape = (truth.valid.shape[0], boxes.shape[-2])
        if boxes_valid is None:
            boxes_valid = torch.ones(shape, dtype=torch.bool, device=boxes.device)
        if self.ignore_iof_thr <= 0 or truth.ignored.shape[1] == 0:
            return boxes_valid
        # The largest share of each box that lies in a crowd region (or of a crowd region that lies
        # in the box), a chunk of boxes at a time: (N, chunk).
        crowds = torch.where(truth.ignored_valid[..., None], truth.ignored, 0)
        covered = []
        for part in chunk_slices(boxes, crowds):
            chunk = boxes[..., part, :]
            if self.ignore_wrt_candidates:
                covered.append(pairwise_iof(chunk, crowds).amax(-1))
            else:
                covered.append(pairwise_iof(crowds, chunk).amax(-2))
        return boxes_valid & (torch.cat(covered, 1) <= self.ignore_iof_thr)


class Overlaps:
    """IoU of objects (N, G, 4) with boxes (N, A, 4) or (A, 4), in chunks of boxes to fit in memory.

    -1 for boxes that are not ``valid`` (N, A).  Results do not depend on the number of chunks: each
    element is computed by itself, and computing a chunk again gives the same bits.
    """

    def __init__(self, objects: Tensor, boxes: Tensor, valid: Tensor) -> None:
        self.objects, self.boxes, self.valid = objects, boxes, valid
        self.slices = chunk_slices(boxes, objects)
        self._only_chunk: Tensor | None = None

    def maxima(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Largest overlap of each box and its object's row (N, A); largest overlap of each object
        and its box's index (N, G).  Of equal overlaps the first counts."""
        of_boxes = []
        best = torch.full(self.objects.shape[:2], -torch.inf, device=self.objects.device)
        best_box = torch.zeros(best.shape, dtype=torch.int64, device=best.device)
        for part, iou in self._chunks():  # iou: (N, G, chunk)
            of_boxes.append(iou.max(1))
            # The best box of each object so far (N, G); ``>`` keeps the first of equal ones, as max
            # does within a chunk.
            value, box = iou.max(2)
            best_box = torch.where(value > best, box + part.start, best_box)
            best = torch.maximum(best, value)
        values, rows = zip(*of_boxes)
        return torch.cat(values, 1), torch.cat(rows, 1), best, best_box

    def last_equal(self, values: Tensor) -> Tensor:
        """For each box (N, A) the last object whose overlap equals its value (N, G), or -1."""
        rows = torch.arange(values.shape[1], device=values.device, dtype=torch.int32)[:, None]
        last = [
            torch.where(iou == values[..., None], rows, -1).amax(1) for _, iou in self._chunks()
        ]
        return torch.cat(last, 1).long()

    def _chunks(self) -> Iterator[tuple[slice, Tensor]]:
        if self._only_chunk is not None:
            yield self.slices[0], self._only_chunk
            return
        for part in self.slices:
            iou = pairwise_iou(self.objects, self.boxes[..., part, :])
            iou.masked_fill_(~self.valid[:, None, part], -1)
            # In the usual case of a single chunk the second pass reuses the matrix of the first.
            if len(self.slices) == 1:
                self._only_chunk = iou
            yield part, iou


def chunk_slices(boxes: Tensor, objects: Tensor) -> list[slice]:
    """Slices of boxes (..., A, 4), such that a chunk times all objects (N, G, 4) fits in memory.

    At least one box each, and at least one slice.
    """
    limit = CHUNK_ELEMENTS.get(boxes.device.type, CHUNK_ELEMENTS['other'])
    step = max(1, limit // max(1, objects.shape[0] * objects.shape[1]))
    return [slice(start, start + step) for start in range(0, max(1, boxes.shape[-2]), step)]
