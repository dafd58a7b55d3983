"""Images with boxes from an annotation table: the base of COCO and VOC data sets."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hrdet.boxes import BoxConvention
from hrdet.data.datasets.annotations import (
    AnnotationReport,
    AnnotationTable,
    DataError,
    Problem,
    raise_or_warn,
)
from hrdet.data.datasets.base import ImageDataset
from hrdet.data.datasets.images import FolderImages, ZipImages, decode_checked, read_label_map
from hrdet.data.datasets.masks import rasterise
from hrdet.data.transforms import apply
from hrdet.registry import nearest
from hrdet.structures import GroundTruth, ImageMeta, LoadedProposals, Sample
from hrdet.wording import counted


class DetectionDataset(ImageDataset):
    """A data set of boxes that COCO's metrics can be computed on."""

    category_ids: tuple[int, ...]  # the file's id of each label 0..K-1

    def to_coco(self) -> dict:
        """The boxes as a COCO ground-truth dict, whose image ids are those of the samples."""
        raise NotImplementedError


class AnnotatedImages(DetectionDataset):
    """Images with an annotation table.  Base of CocoDataset and VOCDataset.

    Args:
        table: all annotations; its classes are those of the file.
        problems: what is wrong with them.
        images: where the image files are.
        transforms: applied in order; the last may be ``TakeViews``, which makes samples lists.
        classes: the classes to learn, in the order of the labels; None takes the file's.
        test_mode: keep every image, load no truth.
        filter_empty: drop images without a box to learn from.
        min_size: drop images with an edge below this many pixels.
        with_mask: load masks.
        with_crowd: hand out crowd regions as ignored boxes; otherwise they are just left out.
        proposals: rows (P, 5) by image id.
        semantic: where the semantic maps are: PNG files with the images' names.
        box_convention: how transforms scale and clip the boxes.

    Raises:
        DataError: fatal problems; classes that the file does not have; no image left to use.
    """

    def __init__(
        self,
        table: AnnotationTable,
        problems: list[Problem],
        images: FolderImages | ZipImages,
        transforms: Sequence[Callable[[Sample, np.random.Generator], Sample]] = (),
        classes: Sequence[str] | None = None,
        test_mode: bool = False,
        filter_empty: bool = True,
        min_size: int = 32,
        with_mask: bool = False,
        with_crowd: bool = True,
        proposals: dict | None = None,
        semantic: FolderImages | ZipImages | None = None,
        box_convention: BoxConvention | str = BoxConvention.INCLUSIVE,
    ):
        raise_or_warn(problems)
        if isinstance(classes, str):
            raise ValueError(f'classes must be a tuple of names: ({classes!r},)')
        self.transforms = list(transforms)
        self.test_mode = test_mode
        self.with_mask = with_mask and not test_mode
        self.with_crowd = with_crowd
        self._images = images
        self._semantic = semantic
        self._proposals = proposals
        self._convention = BoxConvention(box_convention)
        report = AnnotationReport(
            table.file, table.classes, len(table.image_ids), len(table.boxes), problems=problems
        )
        wanted = table.classes if classes is None else tuple(classes)
        table = _filter_boxes(table, wanted, report)
        filter_empty, min_size = (False, 0) if test_mode else (filter_empty, min_size)
        table = _filter_images(table, filter_empty, min_size, report)
        report.images_kept = len(table.image_ids)
        report.crowds_kept = int(table.crowd.sum())
        report.boxes_kept = len(table.boxes) - report.crowds_kept
        _check_classes(wanted, report)
        self.table = table
        self.reports = [report]
        self.source, self.report = report.file, str(report)
        self.classes, self.category_ids = table.classes, table.category_ids
        self.image_ids, self.sizes = table.image_ids, table.sizes

    def sample(self, index: int, rng: np.random.Generator) -> Sample | list[Sample]:
        name = self.table.file_names[index]
        origin = self._images.path(name)
        size = tuple(self.sizes[index].tolist())
        try:
            sample = Sample(
                image=self.image(index),
                meta=ImageMeta(origin, self.image_ids[index], size, size, size),
                truth=None if self.test_mode else self._training_truth(index),
                proposals=self._proposals_of(index),
            )
            return apply(self.transforms, sample, rng)
        except Exception as error:
            if isinstance(error, DataError) and origin in str(error):
                raise
            raise DataError(f'{origin}: {type(error).__name__}: {error}') from error

    def image(self, index: int) -> np.ndarray:
        size = tuple(self.sizes[index].tolist())
        return decode_checked(self._images, self.table.file_names[index], size)

    def truth(self, index: int) -> GroundTruth:
        rows = self.table.rows_of(index)
        crowd = self.table.crowd[rows]
        boxes = self.table.boxes[rows]
        truth = GroundTruth(
            boxes=boxes[~crowd],
            labels=self.table.labels[rows][~crowd],
            ignored=boxes[crowd],
            convention=self._convention,
        )
        size = tuple(self.sizes[index].tolist())
        if self.with_mask:
            outlines = [s for s, c in zip(self.table.segmentations[rows], crowd) if not c]
            masks = [rasterise(segmentation, size) for segmentation in outlines]
            truth.masks = np.array(masks, np.uint8).reshape(len(masks), *size)
        if self._semantic is not None:
            name = self.table.file_names[index].rsplit('.', 1)[0] + '.png'
            truth.semantic = read_label_map(self._semantic, name, size)
        return truth

    def labels_of(self, index: int) -> np.ndarray:
        rows = self.table.rows_of(index)
        return self.table.labels[rows][~self.table.crowd[rows]]

    def largest_sizes(self) -> np.ndarray:
        sizes, images = np.unique(self.sizes, axis=0, return_inverse=True)
        forms = sizes[None]
        for transform in self.transforms:
            if hasattr(transform, 'largest_sizes'):
                forms = transform.largest_sizes(forms)
        return forms.max(axis=0)[images.reshape(-1)]

    def to_coco(self) -> dict:
        return self.table.to_coco()

    def _training_truth(self, index: int) -> GroundTruth:
        truth = self.truth(index)
        return truth if self.with_crowd else replace(truth, ignored=truth.ignored[:0])

    def _proposals_of(self, index: int) -> LoadedProposals | None:
        if self._proposals is None:
            return None
        rows = self._proposals.get(self.image_ids[index], np.empty((0, 5), np.float32))
        return LoadedProposals(rows, self._convention)


def _filter_boxes(
    table: AnnotationTable, wanted: tuple[str, ...], report: AnnotationReport
) -> AnnotationTable:
    """Drop what cannot be learnt from, by the rules of 2019, and relabel to the wanted classes."""
    label_of = {name: label for label, name in enumerate(wanted)}
    new_label = np.array([label_of.get(name, -1) for name in table.classes] + [-1], np.int64)
    labels = new_label[table.labels]
    x1, y1, x2, y2 = table.boxes.T
    height, width = table.sizes[table.image_rows].T
    filters = {
        'flagged as ignored': table.flagged,
        'of other classes': labels < 0,
        'below 1 pixel': (x2 - x1 < 1) | (y2 - y1 < 1) | (table.areas <= 0),
        'outside their image': (x2 <= 0) | (y2 <= 0) | (x1 >= width) | (y1 >= height),
    }
    keep = np.ones(len(labels), bool)
    for reason, drop in filters.items():
        report.dropped_boxes[reason] = int((keep & drop).sum())
        keep &= ~drop
    ids = dict(zip(table.classes, table.category_ids))
    table = replace(
        table,
        labels=labels,
        classes=wanted,
        category_ids=tuple(ids.get(name, -1) for name in wanted),
    )
    report.dropped_boxes = {k: v for k, v in report.dropped_boxes.items() if v}
    return table.keep_boxes(keep)


def _filter_images(
    table: AnnotationTable, filter_empty: bool, min_size: int, report: AnnotationReport
) -> AnnotationTable:
    counts = np.bincount(table.image_rows[~table.crowd], minlength=len(table.image_ids))
    small = table.sizes.min(axis=1, initial=2**31) < min_size
    empty = (counts == 0) & ~small & filter_empty
    for reason, drop in ((f'below {min_size} pixels', small), ('without boxes', empty)):
        if drop.any():
            report.dropped_images[reason] = int(drop.sum())
    return table.keep_images(~(small | empty))


def _check_classes(wanted: tuple[str, ...], report: AnnotationReport) -> None:
    if not wanted:
        raise DataError(f'{report.file}: the file names no classes')
    if len(set(wanted)) < len(wanted):
        raise DataError(f'classes={wanted} names a class twice')
    absent = [name for name in wanted if name not in report.classes]
    if absent:
        known = counted(len(report.classes), 'class', 'classes')
        raise DataError(
            f'{report.file} has no class {absent[0]!r}{nearest(absent[0], report.classes)}.\n'
            f'  the file has {known}: {_listed(report.classes)}\n'
            f'  the config wants {len(wanted)}: {_listed(wanted)}\n'
            f'  {report}'
        )
    if report.images_kept == 0:
        raise DataError(f'no image is left to use; {report}')


def _listed(names: Sequence[str]) -> str:
    return ', '.join(names[:20]) + (f', ... ({len(names) - 20} more)' if len(names) > 20 else '')
