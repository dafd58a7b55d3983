"""Images with boxes from an annotation table: the base of COCO and VOC data sets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from hrdet.boxes import BoxConvention
from hrdet.data.annotations import AnnotationReport, AnnotationTable, select
from hrdet.data.datasets.base import ImageDataset
from hrdet.data.datasets.images import FolderImages, ZipImages, decode_checked, read_label_map
from hrdet.data.datasets.inspection import Findings, sizes_text
from hrdet.data.datasets.statistics import LabelStatistics, of_boxes
from hrdet.data.errors import DataError, Problem, raise_or_warn
from hrdet.data.transforms import apply
from hrdet.messages import plural
from hrdet.ranges import Natural
from hrdet.structures import GroundTruth, ImageMeta, LoadedProposals, Sample
from hrdet.structures.coco_masks import rasterise


class DetectionDataset(ImageDataset):
    """A data set of boxes that COCO's metrics can be computed on."""

    category_ids: tuple[int, ...]  # the file's id of each label 0..K-1
    absent_classes: Mapping[int, str] = MappingProxyType({})  # by id, those that the file lacks

    def to_coco(self) -> dict:
        """The boxes as a COCO ground-truth dict, with the image ids of the samples."""
        raise NotImplementedError


class AnnotatedImages(DetectionDataset):
    """Images with an annotation table.  Base of CocoDataset and VOCDataset.

    Args:
        table: all annotations, with the classes of the file.
        problems: what is wrong with them.
        images: where the image files are.
        transforms: applied in order; after ``AugmentedViews`` a sample is the list of its views.
        classes: the classes to learn, in the order of the labels; None takes the file's.
        test_mode: keep every image; samples have no truth.
        filter_empty: drop images without a box to train on.
        min_size: drop images with an edge below this many pixels.
        with_mask: load masks; in test mode of images whose objects all have one.
        with_crowd: hand out crowd regions as ignored boxes; otherwise they are just left out.
        proposals: rows (P, 5) by image id.
        semantic: where the semantic maps are: PNG files with the images' names.
        box_convention: how transforms scale and clip the boxes.
        exif: what to do with images whose EXIF orientation is not upright.  'ignore' takes the
            pixels as they are stored, which COCO's boxes are of; 'apply' turns them as viewers and
            labelling tools do; 'error' refuses them.
        semantic_classes: labels of the semantic maps; None: any.

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
        min_size: Natural = 32,
        with_mask: bool = False,
        with_crowd: bool = True,
        proposals: dict | None = None,
        semantic: FolderImages | ZipImages | None = None,
        box_convention: BoxConvention | str = BoxConvention.INCLUSIVE,
        exif: Literal['ignore', 'apply', 'error'] = 'ignore',
        semantic_classes: int | None = None,
    ):
        if isinstance(classes, str):
            raise ValueError(f'classes must be a tuple of names: ({classes!r},)')
        self.transforms = list(transforms)
        self.test_mode = test_mode
        self.with_mask = with_mask
        self.with_crowd = with_crowd
        self.exif = exif
        self._images = images
        self._semantic, self._semantic_classes = semantic, semantic_classes
        self._proposals = proposals
        self._convention = BoxConvention(box_convention)
        report = AnnotationReport(
            table.file, table.classes, len(table.image_ids), len(table.boxes), problems=problems
        )
        # A test keeps every image, so that results can be compared with the whole file.
        filter_empty, min_size = (False, 0) if test_mode else (filter_empty, min_size)
        table = select(table, classes, filter_empty, min_size, report)
        raise_or_warn([problem for problem in report.problems if not problem.fatal])
        self.table = table
        self.reports = [report]
        self.source, self.report = report.file, str(report)
        self.classes, self.category_ids = table.classes, table.category_ids
        names = zip(self.category_ids, self.classes)
        self.absent_classes = {i: name for i, name in names if name not in report.classes}
        self.image_ids, self.sizes = table.image_ids, table.sizes
        self._check_proposals()

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
        except Exception as error:  # in a worker: name the image, which the traceback does not
            if isinstance(error, DataError) and origin in str(error):
                raise
            raise DataError(f'{origin}: {type(error).__name__}: {error}') from error

    def file(self, index: int) -> tuple[FolderImages | ZipImages, str]:
        return self._images, self.table.file_names[index]

    def image(self, index: int) -> np.ndarray:
        size = tuple(self.sizes[index].tolist())
        try:
            return decode_checked(self._images, self.table.file_names[index], size, self.exif)
        except DataError as error:
            raise DataError(f'{error} (listed in {self.source})') from error.__cause__

    def truth(self, index: int) -> GroundTruth:
        # 1. Boxes (G, 4); crowd regions are ignored boxes (I, 4).
        rows = self.table.rows_of(index)
        crowd = self.table.crowd[rows]
        boxes = self.table.boxes[rows]
        truth = GroundTruth(
            boxes=boxes[~crowd],
            labels=self.table.labels[rows][~crowd],
            ignored=boxes[crowd],
            convention=self._convention,
        )
        # 2. Masks (G, h, w) and the semantic map (h, w), in the size of the file.
        size = tuple(self.sizes[index].tolist())
        if self.with_mask:
            outlines = [s for s, c in zip(self.table.segmentations[rows], crowd) if not c]
            if None not in outlines:
                masks = [rasterise(segmentation, size) for segmentation in outlines]
                truth.masks = np.array(masks, np.uint8).reshape(len(masks), *size)
        if self._semantic is not None:
            name = self.table.file_names[index].rsplit('.', 1)[0] + '.png'
            labels = self._semantic_classes
            truth.semantic = read_label_map(self._semantic, name, size, labels)
        return truth

    def inspect_truth(self, index: int, size: tuple[int, int] | None) -> dict[int, int]:
        if self._semantic is not None:  # the annotations are checked when they are read
            self.truth(index)
        return {}

    def load_options(self) -> str:
        return f'{super().load_options()}, {self.exif}, {self._semantic_classes}'

    def stamp(self, index: int) -> str:
        # The annotations state the image's size, and a change of it must be checked again.
        stamp = super().stamp(index)
        return stamp and f'{stamp} {self.sizes[index].tolist()}'

    def about_orientation(self) -> str:
        if self.exif == 'apply':
            return ''
        return (
            'the pixels are taken as they are stored, and the boxes must fit these. If the photos '
            "were labelled upright, set exif='apply' in the data set"
        )

    def summary(self, findings: Sequence[Findings]) -> str:
        counts = self.reports[0].by_class.items()
        by_class = ', '.join(f'{name} {count}' for name, count in counts)
        text = self.report.removeprefix(f'{self.source}: ')
        return f'{text}; boxes by class: {by_class}{sizes_text(map(tuple, self.sizes.tolist()))}'

    def labels_of(self, index: int) -> np.ndarray:
        rows = self.table.rows_of(index)
        return self.table.labels[rows][~self.table.crowd[rows]]

    def label_statistics(self) -> LabelStatistics:
        learned = ~self.table.crowd
        boxes, labels = self.table.boxes[learned], self.table.labels[learned]
        return of_boxes(self.classes, boxes, labels, self.sizes[self.table.image_rows[learned]])

    def largest_sizes(self) -> np.ndarray:
        # Each distinct size (s, 2) goes through all transforms once; then back to images (n, 2).
        sizes, images = np.unique(self.sizes, axis=0, return_inverse=True)
        bounds = sizes[None]
        for transform in self.transforms:
            if hasattr(transform, 'largest_sizes'):
                bounds = transform.largest_sizes(bounds)
        return bounds.max(axis=0)[images.reshape(-1)]

    def to_coco(self) -> dict:
        return self.table.to_coco()

    def _training_truth(self, index: int) -> GroundTruth:
        truth = self.truth(index)
        return truth if self.with_crowd else replace(truth, ignored=truth.ignored[:0])

    def _check_proposals(self) -> None:
        """Refuse proposals that are none of these images'; warn of images without any."""
        known = {} if self._proposals is None else self._proposals
        lacking = [image_id for image_id in self.image_ids if image_id not in known]
        if self._proposals is None or not lacking:
            return
        reason = (
            f'proposal_file: {len(lacking)} of {plural(len(self), "image")} have no proposals, '
            f'such as the image with the id {lacking[0]!r}; the file has the ids '
            f'{", ".join(map(repr, list(known)[:3])) or "of none"}, ...'
        )
        raise_or_warn([Problem(self.source, '', reason, fatal=len(lacking) == len(self))])

    def _proposals_of(self, index: int) -> LoadedProposals | None:
        if self._proposals is None:
            return None
        rows = self._proposals.get(self.image_ids[index], np.empty((0, 5), np.float32))
        return LoadedProposals(rows, self._convention)
