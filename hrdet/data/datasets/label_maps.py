"""Images with a label map each, in two folders of the same names."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hrdet.data.datasets.archives import open_store
from hrdet.data.datasets.check_labels import doubts, pixels_of, shares_text
from hrdet.data.datasets.inspection import Findings
from hrdet.data.datasets.label_values import MAX_CLASSES, LabelReader, LabelValues, read_values
from hrdet.data.datasets.pairs import pair_up
from hrdet.data.datasets.palettes import Colour, SegmentationSource
from hrdet.data.datasets.statistics import LabelStatistics, of_maps
from hrdet.data.datasets.stored import StoredImages, names_of_classes
from hrdet.data.errors import DataError, Problem, alike_classes, raise_or_warn
from hrdet.data.transforms import fuse
from hrdet.messages import plural
from hrdet.ranges import Label
from hrdet.registry import nearest, register
from hrdet.structures import SegmentationMap
from hrdet.structures.truth import SEMANTIC_IGNORE


@register('BaseSegDataset', 'LabelMapDataset')
class LabelMapDataset(StoredImages):
    """Images and label maps: PNGs of one byte a pixel, grey or with a palette.

    Subclasses are known data sets, whose ``row`` gives the defaults of the arguments.  Labels are
    0..K-1, in the order of ``classes``, and 255 where a pixel is ignored.

    Args:
        data_root: put before the other paths.
        img_dir: folder of the images, a .zip or .tar file, or a folder inside one.
        ann_dir: the same of the label maps; '': images without truth.
        split: file that lists the images' names without suffix; '' takes all, sorted by path.
        transforms: see ``StoredImages``.
        classes: names, or a file with one name a line.  Of a known data set a part of its classes:
            the others are ignored.
        palette: colours (R, G, B) of the classes, for pictures.
        img_suffix: end of the images' names.
        seg_map_suffix: end of the label maps' names.
        reduce_zero_label: 0 in the files is ignored, and k means class k - 1.
        ignore_index: a value in the files that is ignored, beside 255.
        test_mode: load no truth with a sample; ``truth`` still reads it.

    Raises:
        DataError: images without a label map, names in ``split`` without an image.
    """

    row: SegmentationSource | None = None  # of a known data set

    def __init__(
        self,
        data_root: str = '',
        img_dir: str = '',
        ann_dir: str = '',
        split: str = '',
        transforms: Sequence[Callable] = (),
        classes: Sequence[str] | str | None = None,
        palette: Sequence[tuple[Label, Label, Label]] | None = None,
        img_suffix: str | None = None,
        seg_map_suffix: str | None = None,
        reduce_zero_label: bool | None = None,
        ignore_index: Label | None = None,
        test_mode: bool = False,
    ):
        row = self.row or SegmentationSource('', '', (), (), {}, img_suffix='.jpg')
        values = LabelValues(
            *self._classes(names_of_classes(classes), classes),
            row.reduce_zero_label if reduce_zero_label is None else reduce_zero_label,
            row.ignore_index if ignore_index is None else ignore_index,
        )
        images = open_store(os.path.join(data_root, img_dir), 'img_dir')
        maps = open_store(os.path.join(data_root, ann_dir), 'ann_dir') if ann_dir else None
        # Every image with its label map, by their names.
        pairs = pair_up(
            images,
            maps,
            row.img_suffix if img_suffix is None else img_suffix,
            row.seg_map_suffix if seg_map_suffix is None else seg_map_suffix,
            os.path.join(data_root, split) if split else '',
        )
        folder = images.path('').rstrip('/')
        raise_or_warn(pairs.problems + alike_classes(folder, values.classes))
        super().__init__(images, pairs.images, fuse(transforms), test_mode)
        self.classes = tuple(values.classes)
        self.palette = self._colours(palette, values)
        self.source = folder
        kinds = plural(len(self.classes), 'class', 'classes')
        self.report = f'{self.source}: {plural(len(self), "image")} of {kinds}'
        self._maps, self._map_names = maps, pairs.maps
        self.reader = LabelReader(values)

    def truth(self, index: int) -> SegmentationMap | None:
        if self._maps is None:
            return None
        return SegmentationMap(self.reader.read(self._maps, self._map_names[index]))

    @property
    def has_maps(self) -> bool:
        """Whether there are label maps beside the images."""
        return self._maps is not None

    def map_path(self, index: int) -> str:
        """The file of the label map of image ``index``."""
        return self._maps.path(self._map_names[index])

    def map_file(self, index: int) -> tuple[Any, str]:
        """The store and the name of the label map of image ``index``."""
        return self._maps, self._map_names[index]

    def training_truth(self, index: int, size: tuple[int, int]) -> SegmentationMap | None:
        truth = self.truth(index)
        if truth is not None:
            self.check_size(index, truth.labels.shape, size)
        return truth

    def check_size(self, index: int, map_size: Sequence[int], size: Sequence[int]) -> None:
        """Refuse a label map of another size (h, w) than its image."""
        if tuple(map_size) != tuple(size):
            raise DataError(
                f'{self.map_path(index)}: the label map is {map_size[1]} x {map_size[0]} pixels, '
                f'its image {self.path(index)} is {size[1]} x {size[0]}'
            )

    def labels_of(self, index: int) -> np.ndarray:
        labels = np.unique(self.truth(index).labels)
        return labels[labels != SEMANTIC_IGNORE].astype(np.int64)

    def label_statistics(self) -> LabelStatistics | None:
        return of_maps(self) if self.has_maps else None

    def load_options(self) -> str:
        return f'{super().load_options()}, {self.reader.values.table().tobytes().hex()}'

    def stamp(self, index: int) -> str:
        stamp = super().stamp(index)
        try:
            return f'{stamp} {self._maps.stamp(self._map_names[index])}' if self.has_maps else stamp
        except OSError:
            return ''

    def inspect_truth(self, index: int, size: tuple[int, int] | None) -> dict[int, int]:
        if not self.has_maps:
            return {}
        raw = read_values(self._maps, self._map_names[index])
        if size is not None:
            self.check_size(index, raw.shape, size)
        self.reader.translate(raw, self.map_path(index))
        counts = np.bincount(raw.reshape(-1), minlength=256)
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}

    def doubts(self, findings: Sequence[Findings], whole: bool) -> list[Problem]:
        folder = self._maps.path('').rstrip('/') if self.has_maps else ''
        return doubts(self, folder, findings, whole)

    def about_orientation(self) -> str:
        if not self.has_maps:
            return ''
        return 'photos are turned upright, their label maps are not. Store both upright'

    def summary(self, findings: Sequence[Findings]) -> str:
        return f'{super().summary(findings)}{shares_text(self, pixels_of(findings))}'

    def server_files(self, folder: str) -> Any:
        from hrdet.data.datasets.server_files import ServerFiles

        if self.row is None or not self.row.server_values:
            return super().server_files(folder)
        values = dict(zip(self.row.classes, self.row.server_values))
        return ServerFiles(folder, [values[name] for name in self.classes])

    @classmethod
    def stated_classes(
        cls,
        classes: Sequence[str] | None = None,
        palette: Sequence[tuple[Label, Label, Label]] | None = None,
        **arguments: Any,
    ) -> tuple:
        names, colours = super().stated_classes(classes, palette)
        if cls.row is not None and not isinstance(classes, str):
            names = names or cls.row.classes
            by_name = dict(zip(cls.row.classes, cls.row.palette))
            colours = colours or tuple(by_name.get(name, (0, 0, 0)) for name in names)
        return names, colours

    def _classes(
        self, wanted: tuple[str, ...] | None, source: Sequence[str] | str | None
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The classes of the files' values, and those to load; ``source`` is what names them."""
        where = f'classes {source}' if isinstance(source, str) else 'classes'
        # A known data set fixes the meaning of values; ``wanted`` then chooses among its classes.
        known = wanted if self.row is None else self.row.classes
        if not known:
            raise DataError(
                f'{where}: {type(self).__name__} needs the names of the values in its label maps, '
                f'in their order'
            )
        for name in wanted or ():
            if name not in known:
                raise DataError(
                    f'classes: {type(self).__name__} has no class {name!r}{nearest(name, known)}'
                )
        if len(known) > MAX_CLASSES:
            raise DataError(f'{where}: label maps hold {MAX_CLASSES} classes, not {len(known)}')
        twice = next((name for name in known if known.count(name) > 1), None)
        if twice is not None:
            raise DataError(f'{where}: the class {twice!r} is named twice')
        return known, wanted or known

    def _colours(
        self, palette: Sequence[Colour] | None, values: LabelValues
    ) -> tuple[Colour, ...] | None:
        """A colour (R, G, B) for each class; None: of nobody's choice."""
        # The user's palette for the loaded classes, or the known one, reordered for them.
        if palette is not None:
            colours = tuple(tuple(colour) for colour in palette)
            if len(colours) == len(self.classes):
                return colours
            raise DataError(
                f'palette: {plural(len(colours), "colour")} for '
                f'{plural(len(self.classes), "class", "classes")}'
            )
        if self.row is None:
            return None
        by_name = dict(zip(values.file_classes, self.row.palette))
        return tuple(by_name[name] for name in values.classes)
