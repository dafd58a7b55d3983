"""Build the transforms of segmentation pipelines, for both OpenMMLab languages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hrdet.config.lower.transforms import Pipeline, Scale, as_views
from hrdet.config.node import Node, check

_IGNORED = 255


@dataclass(slots=True)
class SegPipeline(Pipeline):
    """The lowered pipeline of a segmentor, and settings for the data set.

    Readers of steps call its methods, each of which appends one transform; ``path`` is the path of
    the step in the config.
    """

    reduce_zero_label: bool | None = None  # None: the pipeline does not say
    tta: Node | None = None  # see ``RunConfig``

    def load_labels(self, path: str, reduce_zero_label: bool | None) -> None:
        """Set ``reduce_zero_label``; data sets load the label maps themselves."""
        if reduce_zero_label is not None:
            self.reduce_zero_label = reduce_zero_label

    def resize(
        self,
        path: str,
        scales: list[Scale],
        keep_ratio: bool = True,
        mode: str = 'value',
        ratio_range: Sequence[float] | None = None,
    ) -> None:
        """Resize to a scale, to one of several, or to a scale times a random ratio."""
        random = ratio_range is not None or len(scales) > 1
        check(self.training or not random, path, 'a test resizes every image to one scale')
        if ratio_range is not None:
            check(len(scales) == 1, path, 'a range of ratios belongs to one scale')
            options = dict(ratio_range=tuple(ratio_range), keep_ratio=keep_ratio)
            self.add(path, type='RandomResize', scale=scales[0], **options)
        else:
            mode = 'value' if len(scales) == 1 else mode
            values = dict(multiscale_mode=mode, keep_ratio=keep_ratio)
            self.add(path, type='Resize', scales=scales, **values)

    def flip(self, path: str, ratio: float | None, direction: str = 'horizontal') -> None:
        """Mirror images left to right."""
        only = f'images are mirrored left to right only, not {direction!r}'
        check(direction == 'horizontal', f'{path}.direction', only)
        if ratio:
            self.add(path, type='RandomFlip', ratio=ratio)

    def crop(self, path: str, crop_size: Any, cat_max_ratio: float) -> None:
        """Cut a random window in which no class dominates."""
        check(self.training, path, 'a test takes whole images')
        self.add(path, type='SegRandomCrop', crop_size=crop_size, cat_max_ratio=cat_max_ratio)

    def distort(self, path: str, rest: dict[str, Any]) -> None:
        """Change colours at random."""
        check(self.training, path, 'a test takes images as they are')
        self.add(path, rest, type='SegPhotoMetricDistortion')

    def pad(self, path: str, size: Any, pad_val: Any, seg_pad_val: int) -> None:
        """Pad to ``size`` (h, w): with colours before normalising, with 0 after it."""
        check(self.training, path, 'a test does not pad: leave it out')
        ignored = f'labels of the padding are ignored, 255, not {seg_pad_val}'
        check(seg_pad_val == _IGNORED, f'{path}.seg_pad_val', ignored)
        if self.norm is None:
            self.add(path, type='PadToSize', size=size, pad_val=pad_val)
            return
        zero = f'0, the mean colour, pads normalised images, not {pad_val!r}'
        check(pad_val == 0, f'{path}.pad_val', zero)
        self.add(path, type='PadToSize', size=size)


def augmentation(
    path: str, views: list[list[Node]], ratios: Sequence[float], flip: bool, rule: str
) -> Node:
    """A split's ``tta`` with its description; ``rule`` says what the ratios multiply."""
    numbers = ', '.join(f'{ratio:g}' for ratio in ratios)
    mirrored = '; each plain and mirrored' if flip else ''
    text = f'{len(views)} views of each image: {numbers} times {rule}{mirrored}'
    return Node(path, transforms=as_views(path, views), description=text)


def _random_crop(path, *, type, crop_size, cat_max_ratio=1.0, ignore_index=255, result):
    check(ignore_index == 255, f'{path}.ignore_index', '255 is ignored: leave it out')
    result.crop(path, crop_size, cat_max_ratio)


def _distort(path, *, type, result, **rest):
    result.distort(path, rest)


# Steps that mmsegmentation 0.x and 1.x write alike.
STEPS_OF_BOTH = {'RandomCrop': _random_crop, 'PhotoMetricDistortion': _distort}
