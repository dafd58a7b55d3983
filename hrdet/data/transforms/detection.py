"""Transforms of detection that depend on boxes or on the semantic map."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hrdet.boxes import BoxConvention
from hrdet.data.transforms.geometry import Transform, crop, resize_crop, size_ratio
from hrdet.data.transforms.standard import Scale, as_scales
from hrdet.ranges import Pixels, PositiveShare, Scales, Share
from hrdet.registry import register
from hrdet.structures import Sample
from hrdet.structures.truth import box_centres, centres_inside


@register()
class RandResizeCrop(Transform):
    """Resize to one of several scales, then cut a window of at most ``size`` around a box.

    The *ResizeCrop* multi-scale training of the HRNet detection release: the window's centre is
    the centre of a random box, moved by up to 30 pixels sideways and 10 up or down.  Boxes whose
    centre is outside are dropped.  Unlike there every scale is drawn, masks, ignored boxes, maps
    and proposals move with the image, and a square image takes the upright window, which is the
    orientation that batches pad it to.

    Args:
        scales: (long, short) pairs: the short edge is brought to ``short`` unless the long one
            would exceed ``long``.
        size: (long, short) edge of the window, laid along the image.
        exact_scale: see ``Resize``.
    """

    def __init__(self, scales: Scales, size: tuple[Pixels, Pixels], exact_scale: bool = False):
        self.scales = as_scales(scales)
        self.size = as_scales(size)[0]
        self.exact_scale = exact_scale

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        scale = self.scales[rng.integers(len(self.scales))]
        h, w = sample.meta.input_size
        # 1. A random box (1, 4); on an image without boxes the image itself.
        boxes, convention = np.array([[0, 0, w, h]], np.float32), BoxConvention.INCLUSIVE
        if sample.truth is not None:
            convention = sample.truth.convention
            boxes = sample.truth.boxes if len(sample.truth.boxes) else boxes
        box = rng.integers(len(boxes))
        noise_y, noise_x = rng.integers(-10, 10), rng.integers(-30, 30)

        # 2. Its centre (x, y) in the resized image.
        size = new_h, new_w = self._resized(h, w, scale)
        ratio = min(size) / min(h, w)
        factors = size_ratio(sample, size) if self.exact_scale else (ratio, ratio)
        centre = box_centres(boxes[box : box + 1], convention)[0] * factors

        # 3. A window around the centre, moved a little and into the image.
        window_h, window_w = self._window(new_h, new_w)
        left = _clamp(round(centre[0] + noise_x - window_w / 2), new_w - window_w)
        top = _clamp(round(centre[1] + noise_y - window_h / 2), new_h - window_h)
        window = (min(window_h, new_h), min(window_w, new_w))
        return resize_crop(sample, size, factors, left, top, window)

    def largest_sizes(self, sizes: np.ndarray) -> np.ndarray:
        # Every scale is tried for every size, the largest result counts: (F, n, 2).
        def cut(h, w, scale):
            h, w = self._resized(h, w, scale)
            window_h, window_w = self._window(h, w)
            return min(h, window_h), min(w, window_w)

        rows = sizes.reshape(-1, 2).tolist()
        bounds = [[cut(h, w, scale) for scale in self.scales] for h, w in rows]
        return np.array(bounds, np.int64).reshape(*sizes.shape[:-1], -1, 2).max(axis=-2)

    def _resized(self, h: int, w: int, scale: Scale) -> tuple[int, int]:
        long, short = max(scale), min(scale)
        if max(h, w) / min(h, w) * short > long:
            short = max(round(long * min(h, w) / max(h, w)), 1)
        return (short, int(short * w / h)) if h <= w else (int(short * h / w), short)

    def _window(self, h: int, w: int) -> tuple[int, int]:
        long, short = max(self.size), min(self.size)
        return (short, long) if w > h else (long, short)


@register()
class RandomCrop(Transform):
    """Cut a random patch whose IoU with every box reaches a random minimum (SSD, section 2.2).

    Args:
        min_ious: the minima to draw from, besides "any patch" and "the whole image".
        min_crop_size: smallest edge of the patch over the edge of the image.
        keep_orientation: a patch is wider than high exactly if the image is, as batches of one
            ``pad_size`` require.
    """

    def __init__(
        self,
        min_ious: Sequence[Share] = (0.1, 0.3, 0.5, 0.7, 0.9),
        min_crop_size: PositiveShare = 0.3,
        keep_orientation: bool = False,
    ):
        self.min_ious = tuple(min_ious)
        self.min_crop_size = min_crop_size
        self.keep_orientation = keep_orientation

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if sample.truth is None or len(sample.truth.boxes) == 0:
            return sample
        h, w = sample.meta.input_size
        boxes = sample.truth.boxes
        landscape = _is_landscape(*sample.meta.original_size)
        while True:  # ends, because one of the modes is "the whole image"
            # 1. A mode: the whole image, any patch, or a minimum IoU.
            mode = rng.integers(len(self.min_ious) + 2)
            if mode == 0:
                return sample
            min_iou = (0.0, *self.min_ious)[mode - 1]
            # 2. Up to 50 patches of random size and place; the first that fits is cut.
            for _ in range(50):
                patch_h = int(h * rng.uniform(self.min_crop_size, 1))
                patch_w = int(w * rng.uniform(self.min_crop_size, 1))
                top, left = rng.integers(h - patch_h + 1), rng.integers(w - patch_w + 1)
                if not 0.5 <= patch_h / max(patch_w, 1) <= 2:
                    continue
                if self.keep_orientation and _is_landscape(patch_h, patch_w) != landscape:
                    continue
                patch = np.array([left, top, left + patch_w, top + patch_h], np.float32)
                if _iou(patch, boxes).min() < min_iou:
                    continue
                size = (patch_h, patch_w)
                if centres_inside(boxes, left, top, size, sample.truth.convention).any():
                    return crop(sample, left, top, size)

    def largest_sizes(self, sizes: np.ndarray) -> np.ndarray:
        """The images, and their squarest and slimmest patches: all others resize to less."""
        # Between the two extreme proportions, 1:1 and 1:2, every patch resizes to less.
        landscape = _is_landscape(sizes[..., 0], sizes[..., 1])
        short, long = sizes.min(axis=-1), sizes.max(axis=-1)
        half = np.minimum(short, long // 2)
        pairs = (short, short + landscape), (half, 2 * half)  # a portrait may be square
        patches = [np.stack(pair, axis=-1) for pair in pairs]
        patches = [np.where(landscape[..., None], p, p[..., ::-1]) for p in patches]
        if not self.keep_orientation:
            patches += [patch[..., ::-1] for patch in patches]
        return np.concatenate([sizes, *patches])


@register()
class SegRescale(Transform):
    """Take every 1/scale_factor-th pixel of the semantic map, to match the stride of its head.

    Belongs at the end of the list.  An h x w map becomes ceil(h/s) x ceil(w/s).
    """

    def __init__(self, scale_factor: PositiveShare = 1.0):
        self.stride = round(1 / scale_factor)
        if self.stride < 1 or abs(self.stride * scale_factor - 1) > 1e-6:
            raise ValueError(f'scale_factor must be 1 over a whole number, not {scale_factor}')

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        truth = sample.truth
        if truth is None or truth.semantic is None:
            return sample
        # (h, w) -> (ceil(h / s), ceil(w / s))
        semantic = np.ascontiguousarray(truth.semantic[:: self.stride, :: self.stride])
        return replace(sample, truth=replace(truth, semantic=semantic))


def _is_landscape(h, w):
    return w > h


def _clamp(start: int, last: int) -> int:
    return max(min(start, last), 0)


def _iou(patch: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    # Sides (G, 2) of the overlaps, below 0 where disjoint.
    edges = np.minimum(patch[2:], boxes[:, 2:]) - np.maximum(patch[:2], boxes[:, :2])
    shared = edges.clip(0).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (patch[2:] - patch[:2]).prod()
    return shared / np.maximum(areas - shared, 1e-6)
