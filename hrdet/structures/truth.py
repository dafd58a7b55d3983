"""The ground truth of detection: boxes, labels, masks, semantic map; and loaded proposals.

G boxes and I ignored boxes of one image; in a batch of N images G and I are the largest counts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from torch import Tensor

from hrdet.boxes import BoxConvention, clip_boxes, flip_boxes, scale_boxes
from hrdet.structures.arrays import pad_maps, pad_masks, pad_rows
from hrdet.structures.sample import Annotation, ImageMeta

SEMANTIC_IGNORE = 255  # pixels of a semantic map that belong to no class

Size = tuple[int, int]  # (h, w)
Move = Callable[[np.ndarray], np.ndarray]


@dataclass(slots=True)
class GroundTruth(Annotation):
    """The objects on one image, or on a padded batch of images.

    For one image: ``boxes`` (G, 4), ``labels`` (G,) in 0..K-1, ``ignored`` (I, 4) crowd regions,
    ``masks`` (G, h, w) uint8 of 0 and 1, ``semantic`` (h, w) uint8; numpy arrays.
    For a batch: tensors with a leading N, the rows padded with zeros, and ``valid`` (N, G),
    ``ignored_valid`` (N, I), which mark the real rows.
    """

    boxes: np.ndarray | Tensor
    labels: np.ndarray | Tensor
    ignored: np.ndarray | Tensor
    masks: np.ndarray | Tensor | None = None
    semantic: np.ndarray | Tensor | None = None
    valid: Tensor | None = None
    ignored_valid: Tensor | None = None
    convention: BoxConvention = BoxConvention.INCLUSIVE  # how boxes are scaled and clipped

    def flip(self, size: Size) -> 'GroundTruth':
        return self._move(
            lambda rows: flip_boxes(rows, size[1]), lambda image: image[:, ::-1], size
        )

    def resize(self, size: Size, scale: tuple[float, float], part: Size) -> 'GroundTruth':
        """Boxes are multiplied by ``scale`` and clipped; masks and map take the nearest pixel."""
        return self._move(
            lambda rows: scale_and_clip(rows, scale, size, self.convention),
            lambda image: resize_nearest(image, size, part),
            part,
        )

    def crop(self, left: int, top: int, size: Size) -> 'GroundTruth':
        """A box stays while its centre lies in the window, an ignored one while any of it shows."""
        h, w = size
        # 1. Which rows stay.
        inside = centres_inside(self.boxes, left, top, size, self.convention)
        shown = overlaps(self.ignored, left, top, size)
        cropped = replace(
            self,
            boxes=self.boxes[inside],
            labels=self.labels[inside],
            masks=None if self.masks is None else self.masks[inside],
            ignored=self.ignored[shown],
        )
        # 2. Boxes in pixels of the window, and cut to it.
        return cropped._move(
            lambda rows: shift_and_clip(rows, left, top, size, self.convention),
            lambda image: image[top : top + h, left : left + w],
            size,
        )

    def expand(self, left: int, top: int, size: Size) -> 'GroundTruth':
        shift = np.array([left, top, left, top], np.float32)
        semantic = self.semantic
        if semantic is not None:
            semantic = paste(semantic, left, top, size, SEMANTIC_IGNORE)
        moved = replace(self, semantic=None)._move(
            lambda rows: rows + shift, lambda image: paste(image, left, top, size, 0), size
        )
        return replace(moved, semantic=semantic)

    @classmethod
    def collate(
        cls, annotations: Sequence['GroundTruth'], metas: Sequence[ImageMeta], size: Size
    ) -> 'GroundTruth':
        boxes, valid = pad_rows([truth.boxes for truth in annotations])
        labels, _ = pad_rows([truth.labels for truth in annotations])
        ignored, ignored_valid = pad_rows([truth.ignored for truth in annotations])
        # Masks (N, G, H, W); a semantic map may have a stride: (N, H / stride, W / stride).
        masks = semantic = None
        if all(truth.masks is not None for truth in annotations):
            most = boxes.shape[1]
            masks = pad_masks([truth.masks for truth in annotations], (most, *size))
        if all(truth.semantic is not None for truth in annotations):
            maps = [truth.semantic for truth in annotations]
            stride = max(_stride(image, meta) for image, meta in zip(maps, metas))
            semantic = pad_maps(maps, [-(-edge // stride) for edge in size], SEMANTIC_IGNORE)
        convention = annotations[0].convention
        return cls(boxes, labels, ignored, masks, semantic, valid, ignored_valid, convention)

    def _move(self, rows: Move, pixels: Move, size: Size) -> 'GroundTruth':
        """``rows`` applied to the boxes; ``pixels`` to masks and map, which get ``size``."""
        masks, semantic = self.masks, self.semantic
        if masks is not None:
            # One mask at a time into an array of the new size (G, h, w).
            masks = np.empty((len(masks), *size), np.uint8)
            for target, mask in zip(masks, self.masks):
                target[:] = pixels(mask)
        if semantic is not None:
            semantic = np.ascontiguousarray(pixels(semantic))
        ignored = rows(self.ignored) if len(self.ignored) else self.ignored
        return replace(
            self, boxes=rows(self.boxes), ignored=ignored, masks=masks, semantic=semantic
        )


@dataclass(slots=True)
class LoadedProposals(Annotation):
    """Proposals of one image, computed beforehand: ``rows`` (P, 5) are boxes and scores."""

    rows: np.ndarray
    convention: BoxConvention = BoxConvention.INCLUSIVE  # how boxes are scaled and clipped

    def flip(self, size: Size) -> 'LoadedProposals':
        return self._move(lambda boxes: flip_boxes(boxes, size[1]))

    def resize(self, size: Size, scale: tuple[float, float], part: Size) -> 'LoadedProposals':
        return self._move(lambda boxes: scale_and_clip(boxes, scale, size, self.convention))

    def crop(self, left: int, top: int, size: Size) -> 'LoadedProposals':
        """A proposal stays while any of it shows."""
        shown = replace(self, rows=self.rows[overlaps(self.rows, left, top, size)])
        return shown._move(lambda boxes: shift_and_clip(boxes, left, top, size, self.convention))

    def expand(self, left: int, top: int, size: Size) -> 'LoadedProposals':
        return self._move(lambda boxes: boxes + np.array([left, top, left, top], np.float32))

    @classmethod
    def collate(
        cls, annotations: Sequence['LoadedProposals'], metas: Sequence[ImageMeta], size: Size
    ) -> Tensor:
        """Rows (N, P, 5); rows of score -1 are padding."""
        return pad_rows([proposals.rows for proposals in annotations], fill=-1)[0]

    def _move(self, move: Move) -> 'LoadedProposals':
        return replace(self, rows=np.concatenate([move(self.rows[:, :4]), self.rows[:, 4:]], 1))


def box_centres(boxes: np.ndarray, convention: BoxConvention) -> np.ndarray:
    """Centres (n, 2) as (x, y); of inclusive boxes they are means of the corner pixels."""
    return (boxes[:, :2] + boxes[:, 2:4] - convention.offset) / 2


def centres_inside(
    boxes: np.ndarray, left: int, top: int, size: Size, convention: BoxConvention
) -> np.ndarray:
    """(n,) bool: the boxes whose centre lies in the window of ``size`` (h, w)."""
    centres = box_centres(boxes, convention) - (left, top)
    return ((centres > 0) & (centres < (size[1], size[0]))).all(axis=1)


def overlaps(boxes: np.ndarray, left: int, top: int, size: Size) -> np.ndarray:
    """(n,) bool: the boxes of which any part lies in the window of ``size`` (h, w)."""
    h, w = size
    x1, y1, x2, y2 = boxes[:, :4].T
    return (x2 > left) & (y2 > top) & (x1 < left + w) & (y1 < top + h)


def scale_and_clip(
    boxes: np.ndarray, scale: tuple[float, float], size: Size, convention: BoxConvention
) -> np.ndarray:
    """Boxes (n, 4) times ``scale`` (x, y), clipped to an image of ``size`` (h, w)."""
    return clip_boxes(scale_boxes(boxes, scale, convention), size, convention)


def shift_and_clip(
    boxes: np.ndarray, left: int, top: int, size: Size, convention: BoxConvention
) -> np.ndarray:
    """Boxes (n, 4) in coordinates of a window of ``size`` (h, w), clipped to it."""
    shift = np.array([left, top, left, top], boxes.dtype)
    return clip_boxes(boxes - shift, size, convention)


def resize_nearest(image: np.ndarray, size: Size, part: Size) -> np.ndarray:
    """The upper left ``part`` (h, w) of a map resized to ``size`` (h, w) by the nearest pixel.

    The result equals OpenCV's for the whole map; only the pixels of the part are computed.
    """
    # A few rows and columns more than the part needs are read, then cut.
    edges = image.shape[:2]
    scale = [new / old for new, old in zip(size, edges)]
    rows, columns = (min(int(n / s) + 2, e) for n, s, e in zip(part, scale, edges))
    if (round(rows * scale[0]), round(columns * scale[1])) == (rows, columns):
        rows, columns = edges  # OpenCV would copy a map that keeps its size
    image = cv2.resize(
        image[:rows, :columns], None, fx=scale[1], fy=scale[0], interpolation=cv2.INTER_NEAREST
    )
    return image[: part[0], : part[1]]


def paste(image: np.ndarray, left: int, top: int, size: Size, fill) -> np.ndarray:
    """An image (h, w, ...) uint8 on a canvas of ``size`` (h, w) of the colour ``fill``."""
    h, w = image.shape[:2]
    canvas = np.empty((*size, *image.shape[2:]), np.uint8)
    canvas[:] = fill
    canvas[top : top + h, left : left + w] = image
    return canvas


def _stride(image: np.ndarray, meta: ImageMeta) -> int:
    """Input pixels per pixel of a semantic map (SegRescale), which has ceil(edge / stride)."""
    return max(-(-edge // pixels) for edge, pixels in zip(meta.input_size, image.shape))
