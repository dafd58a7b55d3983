"""Moves of one image that its boxes, masks, maps and proposals must follow.

Every transform is called as ``transform(sample, rng)`` with numpy's random generator and returns
a new Sample; images stay (h, w, 3) uint8 BGR, drawn and resized by OpenCV.
"""

from dataclasses import replace

import cv2
import numpy as np

from hrdet.boxes import BoxConvention, clip_boxes, flip_boxes, scale_boxes
from hrdet.ops import resize_window
from hrdet.structures import GroundTruth, Sample

SEMANTIC_IGNORE = 255  # pixels of a semantic map that belong to no class


class Transform:
    """One step of the data pipeline."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        raise NotImplementedError

    def largest_sizes(self, sizes: np.ndarray) -> np.ndarray:
        """Upper bounds (F, n, 2) of what images of these sizes (F, n, 2), as (h, w), can become.

        F counts the forms in which each image is followed: crops may differ in their proportions.
        """
        return sizes


def resize(
    sample: Sample,
    size: tuple[int, int],
    scale: tuple[float, float],
    convention: BoxConvention,
) -> Sample:
    """Bring a sample to ``size`` (h, w); boxes are multiplied by ``scale`` (x, y) and clipped.

    The scale is passed because the 2019 releases use the ratio that was asked for, not the one
    that whole pixels allow.  Masks and semantic maps take the nearest pixel.
    """
    image = cv2.resize(sample.image, size[::-1], interpolation=cv2.INTER_LINEAR)
    return replace(_resized(sample, size, scale, convention, size), image=image)


def crop(
    sample: Sample, left: int, top: int, size: tuple[int, int], convention: BoxConvention
) -> Sample:
    """Cut the window of ``size`` (h, w) out of a sample.

    A box stays while its centre lies in the window; an ignored region or a proposal stays while
    any of it is visible.  The offset is not recorded in the meta: crops belong to training, where
    nothing goes back to the original image.
    """
    image = sample.image[top : top + size[0], left : left + size[1]]
    return replace(_cropped(sample, left, top, size, convention), image=image)


def resize_crop(
    sample: Sample,
    size: tuple[int, int],
    scale: tuple[float, float],
    convention: BoxConvention,
    left: int,
    top: int,
    window: tuple[int, int],
) -> Sample:
    """``resize``, then ``crop`` of ``window`` (h, w): the same, but no pixel around it is made."""
    part = (top + window[0], left + window[1])
    image = resize_window(sample.image, size, (top, left, *window))
    sample = _resized(sample, size, scale, convention, part)
    return replace(_cropped(sample, left, top, window, convention), image=image)


def flip(sample: Sample) -> Sample:
    """Mirror a sample left to right."""
    h, w = sample.meta.input_size

    def boxes(rows):
        return flip_boxes(rows, w)

    def mirror(image):
        return image[:, ::-1]

    meta = replace(sample.meta, flipped=not sample.meta.flipped)
    image = cv2.flip(sample.image, 1)
    return replace(_moved(sample, boxes, mirror, (h, w)), image=image, meta=meta)


def box_centres(boxes: np.ndarray, convention: BoxConvention) -> np.ndarray:
    """Centres (n, 2) as (x, y); of inclusive boxes they are means of the corner pixels."""
    return (boxes[:, :2] + boxes[:, 2:4] - convention.offset) / 2


def centres_inside(
    boxes: np.ndarray, left: int, top: int, size: tuple[int, int], convention: BoxConvention
) -> np.ndarray:
    """(n,) bool: the boxes whose centre lies in the window of ``size`` (h, w)."""
    centres = box_centres(boxes, convention) - (left, top)
    return ((centres > 0) & (centres < (size[1], size[0]))).all(axis=1)


def resize_part(image: np.ndarray, size: tuple[int, int], part: tuple[int, int]) -> np.ndarray:
    """The upper left ``part`` (h, w) of a map resized to ``size`` by the nearest pixel, sooner."""
    edges = image.shape[:2]
    scale = [new / old for new, old in zip(size, edges)]
    rows, columns = (min(int(n / s) + 2, e) for n, s, e in zip(part, scale, edges))
    if (round(rows * scale[0]), round(columns * scale[1])) == (rows, columns):
        rows, columns = edges  # OpenCV would copy what keeps its size
    image = cv2.resize(
        image[:rows, :columns], None, fx=scale[1], fy=scale[0], interpolation=cv2.INTER_NEAREST
    )
    return image[: part[0], : part[1]]


def _resized(
    sample: Sample,
    size: tuple[int, int],
    scale: tuple[float, float],
    convention: BoxConvention,
    part: tuple[int, int],
) -> Sample:
    """All of a sample but its image; of masks and maps the upper left ``part`` (h, w)."""

    def nearest(image):
        return resize_part(image, size, part)

    def boxes(rows):
        return clip_boxes(scale_boxes(rows, scale, convention), size, convention)

    old = sample.meta.scale
    meta = replace(
        sample.meta,
        input_size=part,
        padded_size=part,
        scale=(old[0] * scale[0], old[1] * scale[1]),
    )
    return replace(_moved(sample, boxes, nearest, part), meta=meta)


def _cropped(
    sample: Sample, left: int, top: int, size: tuple[int, int], convention: BoxConvention
) -> Sample:
    """All of a sample but its image."""
    h, w = size

    def window(image):
        return image[top : top + h, left : left + w]

    def boxes(rows):
        shift = np.array([left, top, left, top], rows.dtype)
        return clip_boxes(rows - shift, size, convention)

    truth = sample.truth
    if truth is not None:
        inside = centres_inside(truth.boxes, left, top, size, convention)
        visible = _overlap(truth.ignored, left, top, size)
        sample = replace(sample, truth=_rows(truth, inside, visible))
    if sample.proposals is not None:
        visible = _overlap(sample.proposals, left, top, size)
        sample = replace(sample, proposals=sample.proposals[visible])
    meta = replace(sample.meta, input_size=size, padded_size=size)
    return replace(_moved(sample, boxes, window, size), meta=meta)


def _overlap(boxes: np.ndarray, left: int, top: int, size: tuple[int, int]) -> np.ndarray:
    h, w = size
    x1, y1, x2, y2 = boxes[:, :4].T
    return (x2 > left) & (y2 > top) & (x1 < left + w) & (y1 < top + h)


def _rows(truth: GroundTruth, boxes: np.ndarray, ignored: np.ndarray) -> GroundTruth:
    return replace(
        truth,
        boxes=truth.boxes[boxes],
        labels=truth.labels[boxes],
        masks=None if truth.masks is None else truth.masks[boxes],
        ignored=truth.ignored[ignored],
    )


def _moved(sample: Sample, boxes, pixels, size: tuple[int, int]) -> Sample:
    """The sample with ``boxes`` applied to rows of boxes and ``pixels`` to masks and maps."""
    truth, proposals = sample.truth, sample.proposals
    if truth is not None:
        masks, semantic = truth.masks, truth.semantic
        if masks is not None:
            moved = np.empty((len(masks), *size), np.uint8)
            for target, mask in zip(moved, masks):
                target[:] = pixels(mask)
            masks = moved
        if semantic is not None:
            semantic = np.ascontiguousarray(pixels(semantic))
        truth = replace(
            truth,
            boxes=boxes(truth.boxes),
            ignored=boxes(truth.ignored) if len(truth.ignored) else truth.ignored,
            masks=masks,
            semantic=semantic,
        )
    if proposals is not None:
        proposals = np.concatenate([boxes(proposals[:, :4]), proposals[:, 4:]], axis=1)
    return replace(sample, truth=truth, proposals=proposals)
