"""Geometric transforms of an image together with its truth and proposals, of any task.

Every transform is called as ``transform(sample, rng)`` with numpy's random generator and returns
a new Sample; images stay (h, w, 3) uint8 BGR, drawn and resized by OpenCV.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from hrdet.ops import resize_window
from hrdet.structures import Annotation, Sample
from hrdet.structures.truth import paste


class Transform(ABC):
    """One step of the data pipeline."""

    @abstractmethod
    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample after this step; every random number comes from ``rng``."""

    def largest_sizes(self, sizes: np.ndarray) -> np.ndarray:
        """Upper bounds (F, n, 2) of what images of these sizes (F, n, 2), as (h, w), can become.

        F counts the shapes in which each image is followed: crops may differ in their proportions.
        """
        return sizes


def follow(
    sample: Sample,
    image: np.ndarray,
    move: Callable[[Annotation], Annotation],
    **meta: Any,
) -> Sample:
    """The sample with another image: ``move`` is applied to its truth and its proposals.

    Args:
        sample: left as it is.
        image: the new pixels.
        move: from an annotation of the old image to one of the new image.
        meta: the fields of ``sample.meta`` that change.
    """
    truth, proposals = sample.truth, sample.proposals
    return replace(
        sample,
        image=image,
        meta=replace(sample.meta, **meta),
        truth=None if truth is None else move(truth),
        proposals=None if proposals is None else move(proposals),
    )


def resize(
    sample: Sample, size: tuple[int, int], scale: tuple[float, float] | None = None
) -> Sample:
    """Bring a sample to ``size`` (h, w); coordinates are multiplied by ``scale`` (x, y).

    The scale is passed where it is not the ratio of the sizes: the 2019 releases use the ratio
    that was asked for, which whole pixels allow only nearly.  Label maps take the nearest pixel.
    """
    scale = scale or size_ratio(sample, size)
    image = cv2.resize(sample.image, size[::-1], interpolation=cv2.INTER_LINEAR)
    return follow(
        sample,
        image,
        lambda annotation: annotation.resize(size, scale, size),
        input_size=size,
        padded_size=size,
        scale=_times(sample.meta.scale, scale),
    )


def crop(sample: Sample, left: int, top: int, size: tuple[int, int]) -> Sample:
    """Cut the window of ``size`` (h, w) out of a sample.

    The offset is not recorded in the meta: crops belong to training, where nothing goes back to
    the original image.
    """
    image = sample.image[top : top + size[0], left : left + size[1]]
    return follow(
        sample,
        image,
        lambda annotation: annotation.crop(left, top, size),
        input_size=size,
        padded_size=size,
    )


def resize_crop(
    sample: Sample,
    size: tuple[int, int],
    scale: tuple[float, float],
    left: int,
    top: int,
    window: tuple[int, int],
) -> Sample:
    """``resize``, then ``crop`` of ``window`` (h, w), which computes no pixel around the window."""
    # Annotations are resized up to the window's far corner, then cropped.
    part = (top + window[0], left + window[1])
    return follow(
        sample,
        resize_window(sample.image, size, (top, left, *window)),
        lambda annotation: annotation.resize(size, scale, part).crop(left, top, window),
        input_size=window,
        padded_size=window,
        scale=_times(sample.meta.scale, scale),
    )


def flip(sample: Sample) -> Sample:
    """Mirror a sample left to right."""
    size = sample.meta.input_size
    return follow(
        sample,
        cv2.flip(sample.image, 1),
        lambda annotation: annotation.flip(size),
        flipped=not sample.meta.flipped,
    )


def expand(
    sample: Sample, left: int, top: int, size: tuple[int, int], colour: np.ndarray
) -> Sample:
    """Put a sample on a canvas of ``size`` (h, w) and ``colour`` (3,), its corner at left, top."""
    return follow(
        sample,
        paste(sample.image, left, top, size, colour),
        lambda annotation: annotation.expand(left, top, size),
        input_size=size,
        padded_size=size,
    )


def size_ratio(sample: Sample, size: tuple[int, int]) -> tuple[float, float]:
    """The scale (x, y) from a sample's whole-pixel size to ``size`` (h, w)."""
    h, w = sample.meta.input_size
    return size[1] / w, size[0] / h


def _times(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    return a[0] * b[0], a[1] * b[1]
