"""Augmentations of the 2019 config language: ``extra_aug``, on uint8 BGR images."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from hrdet.boxes import BoxConvention
from hrdet.data.transforms.geometry import (
    SEMANTIC_IGNORE,
    Transform,
    box_centres,
    centres_inside,
    crop,
    resize_crop,
)
from hrdet.data.transforms.standard import Scale, as_scales
from hrdet.registry import register
from hrdet.structures import Sample


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
        convention: see ``Resize``.
    """

    def __init__(
        self,
        scales: Sequence[Scale],
        size: Scale,
        convention: BoxConvention | str = BoxConvention.INCLUSIVE,
    ):
        self.scales = as_scales(scales)
        self.size = as_scales(size)[0]
        self.convention = BoxConvention(convention)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        scale = self.scales[rng.integers(len(self.scales))]
        h, w = sample.meta.input_size
        boxes = np.empty((0, 4)) if sample.truth is None else sample.truth.boxes
        if len(boxes) == 0:
            boxes = np.array([[0, 0, w, h]], np.float32)
        box = rng.integers(len(boxes))
        noise_y, noise_x = rng.integers(-10, 10), rng.integers(-30, 30)

        new_h, new_w = self._resized(h, w, scale)
        ratio = min(new_h, new_w) / min(h, w)
        inclusive = self.convention is BoxConvention.INCLUSIVE
        factors = (ratio, ratio) if inclusive else (new_w / w, new_h / h)
        centre = box_centres(boxes[box : box + 1], self.convention)[0] * factors
        window_h, window_w = self._window(new_h, new_w)
        left = _clamp(round(centre[0] + noise_x - window_w / 2), new_w - window_w)
        top = _clamp(round(centre[1] + noise_y - window_h / 2), new_h - window_h)
        size = (min(window_h, new_h), min(window_w, new_w))
        return resize_crop(sample, (new_h, new_w), factors, self.convention, left, top, size)

    def largest_sizes(self, sizes: np.ndarray) -> np.ndarray:
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
class PhotoMetricDistortion(Transform):
    """Change brightness, contrast, saturation, hue and channel order, each in half of the images.

    Order and distributions follow SSD (Liu et al. 2016, section 2.2) as the 2019 releases have
    them.  Arithmetic is by 256-entry tables, so a value is rounded and clipped to 0..255 after
    each of the (at most three) steps.

    Args:
        brightness_delta: grey levels added, up to this much either way.
        contrast_range: factor of all channels.
        saturation_range: factor of the saturation.
        hue_delta: degrees on the colour circle, up to this much either way.
    """

    def __init__(
        self,
        brightness_delta: float = 32,
        contrast_range: tuple[float, float] = (0.5, 1.5),
        saturation_range: tuple[float, float] = (0.5, 1.5),
        hue_delta: float = 18,
    ):
        self.brightness_delta = brightness_delta
        self.contrast_range = contrast_range
        self.saturation_range = saturation_range
        self.hue_delta = hue_delta

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        def draw(low, high, neutral):
            value, chosen = rng.uniform(low, high), rng.random() < 0.5
            return value if chosen else neutral

        brightness = draw(-self.brightness_delta, self.brightness_delta, 0.0)
        contrast_first = rng.random() < 0.5
        contrast = draw(*self.contrast_range, 1.0)
        saturation = draw(*self.saturation_range, 1.0)
        hue = draw(-self.hue_delta, self.hue_delta, 0.0)
        order = rng.permutation(3) if rng.random() < 0.5 else None

        image = _levels(sample.image, brightness, contrast if contrast_first else 1.0)
        if saturation != 1 or hue != 0:
            image = _hue_saturation(image, hue, saturation)
        if not contrast_first:
            image = _levels(image, 0.0, contrast)
        if order is not None:
            image = np.ascontiguousarray(image[:, :, order])
        return replace(sample, image=image)


@register()
class Expand(Transform):
    """Put half of the images somewhere on a larger canvas of the mean colour (SSD's zoom out).

    Args:
        mean: the colour, in the channel order of ``img_norm_cfg.mean``.
        to_rgb: that order is RGB, so it is turned round for the BGR image.
        ratio_range: edge of the canvas over edge of the image.
    """

    def __init__(
        self,
        mean: Sequence[float] = (0, 0, 0),
        to_rgb: bool = True,
        ratio_range: tuple[float, float] = (1, 4),
    ):
        self.colour = np.rint(mean[::-1] if to_rgb else mean).astype(np.uint8)
        self.ratio_range = ratio_range

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() < 0.5:
            return sample
        h, w = sample.meta.input_size
        ratio = rng.uniform(*self.ratio_range)
        size = (int(h * ratio), int(w * ratio))
        top, left = rng.integers(size[0] - h + 1), rng.integers(size[1] - w + 1)

        def put(image, fill):
            canvas = np.empty((*size, *image.shape[2:]), np.uint8)
            canvas[:] = fill
            canvas[top : top + h, left : left + w] = image
            return canvas

        shift = np.array([left, top, left, top], np.float32)
        truth, proposals = sample.truth, sample.proposals
        if truth is not None:
            masks, semantic = truth.masks, truth.semantic
            if masks is not None:
                masks = np.array([put(m, 0) for m in masks], np.uint8).reshape(-1, *size)
            if semantic is not None:
                semantic = put(semantic, SEMANTIC_IGNORE)
            truth = replace(
                truth,
                boxes=truth.boxes + shift,
                ignored=truth.ignored + shift,
                masks=masks,
                semantic=semantic,
            )
        if proposals is not None:
            proposals = np.concatenate([proposals[:, :4] + shift, proposals[:, 4:]], axis=1)
        return replace(
            sample,
            image=put(sample.image, self.colour),
            meta=replace(sample.meta, input_size=size, padded_size=size),
            truth=truth,
            proposals=proposals,
        )

    def largest_sizes(self, sizes: np.ndarray) -> np.ndarray:
        return (sizes * max(self.ratio_range)).astype(np.int64)


@register()
class RandomCrop(Transform):
    """Cut a random patch that overlaps every box by a random minimum IoU (SSD, section 2.2).

    Args:
        min_ious: the minima to draw from, beside "anything" and "leave the image whole".
        min_crop_size: least edge of the patch over that of the image.
        keep_orientation: cut only patches that are wider than high out of images that are, and
            others out of others, as batches of one ``pad_size`` need them.
        convention: see ``Resize``.
    """

    def __init__(
        self,
        min_ious: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9),
        min_crop_size: float = 0.3,
        keep_orientation: bool = False,
        convention: BoxConvention | str = BoxConvention.INCLUSIVE,
    ):
        self.min_ious = tuple(min_ious)
        self.min_crop_size = min_crop_size
        self.keep_orientation = keep_orientation
        self.convention = BoxConvention(convention)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if sample.truth is None or len(sample.truth.boxes) == 0:
            return sample
        h, w = sample.meta.input_size
        boxes = sample.truth.boxes
        landscape = _is_landscape(*sample.meta.original_size)
        while True:  # ends: one of the drawn modes is "whole"
            mode = rng.integers(len(self.min_ious) + 2)
            if mode == 0:
                return sample
            min_iou = (0.0, *self.min_ious)[mode - 1]
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
                if centres_inside(boxes, left, top, size, self.convention).any():
                    return crop(sample, left, top, size, self.convention)

    def largest_sizes(self, sizes: np.ndarray) -> np.ndarray:
        """Beside the images, the squarest and the slimmest patches: a resizing is between these."""
        landscape = _is_landscape(sizes[..., 0], sizes[..., 1])
        short, long = sizes.min(axis=-1), sizes.max(axis=-1)
        half = np.minimum(short, long // 2)
        pairs = (short, short + landscape), (half, 2 * half)  # a portrait may be square
        patches = [np.stack(pair, axis=-1) for pair in pairs]
        patches = [np.where(landscape[..., None], p, p[..., ::-1]) for p in patches]
        if not self.keep_orientation:
            patches += [patch[..., ::-1] for patch in patches]
        return np.concatenate([sizes, *patches])


def _is_landscape(h, w):
    return w > h


def _clamp(start: int, last: int) -> int:
    return max(min(start, last), 0)


def _levels(image: np.ndarray, offset: float, factor: float) -> np.ndarray:
    if offset == 0 and factor == 1:
        return image
    table = np.clip(np.rint((np.arange(256) + offset) * factor), 0, 255)
    return cv2.LUT(image, table.astype(np.uint8))


def _hue_saturation(image: np.ndarray, hue: float, saturation: float) -> np.ndarray:
    values = np.arange(256)
    table = np.empty((1, 256, 3), np.uint8)
    table[0, :, 0] = np.rint(values + hue * 256 / 360).astype(int) % 256
    table[0, :, 1] = np.clip(np.rint(values * saturation), 0, 255)
    table[0, :, 2] = values
    turned = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_BGR2HSV_FULL), table)
    return cv2.cvtColor(turned, cv2.COLOR_HSV2BGR_FULL)


def _iou(patch: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    edges = np.minimum(patch[2:], boxes[:, 2:]) - np.maximum(patch[:2], boxes[:, :2])
    shared = edges.clip(0).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (patch[2:] - patch[:2]).prod()
    return shared / np.maximum(areas - shared, 1e-6)
