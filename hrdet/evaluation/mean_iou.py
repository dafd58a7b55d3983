"""Metrics of semantic segmentation: IoU, accuracy, Dice and F-score."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hrdet.distributed import broadcast_object, gather_objects
from hrdet.evaluation import confusion
from hrdet.evaluation.details import Details
from hrdet.evaluation.evaluator import Evaluator, by_image, log_table, table
from hrdet.registry import register
from hrdet.structures import ImageMeta, LabelMap
from hrdet.structures.result_files import write_label_map
from hrdet.structures.truth import SEMANTIC_IGNORE

_logger = logging.getLogger('hrdet')
# The names of the means, and the score of each class that they average.
MEANS = {
    'mIoU': ('IoU', 'Acc'),
    'mDice': ('Dice', 'Acc'),
    'mFscore': ('Fscore', 'Precision', 'Recall'),
}


class _Image(NamedTuple):
    """The scores of one image."""

    path: str
    iou: float  # the mean over the classes on this image
    foreign: dict[int, int]  # pixels by label that is neither a class nor ignored


@register('IoUMetric', 'MeanIoU')
class MeanIoU(Evaluator):
    """mIoU, mAcc and aAcc, streamed: one integer matrix, however many images there are.

    A class that neither the labels nor the predictions hold is left out of the means.

    Args:
        dataset: has ``image_ids``, ``classes`` and ``truth(index)``, a ``SegmentationMap``
            in pixels of the file.
        iou_metrics: what to compute, of ``MEANS``.
        left_out: names of classes that the means do not count, such as Potsdam's clutter.
    """

    formats = ('',)
    choices, chosen_by = MEANS, 'iou_metrics'

    def __init__(
        self,
        dataset: Any,
        iou_metrics: Sequence[str] = ('mIoU',),
        left_out: Sequence[str] = (),
    ) -> None:
        if len(dataset.image_ids) and dataset.truth(0) is None:
            raise ValueError('the data set has no label maps (ann_dir) to compare results with')
        # Each metric averages one or more scores of the classes; every score is computed once.
        names = [iou_metrics] if isinstance(iou_metrics, str) else list(iou_metrics)
        for name in names or ['']:
            if name not in MEANS:
                raise ValueError(f'iou_metrics={name!r}: choose from {", ".join(MEANS)}')
        self.classes = tuple(dataset.classes)
        for name in left_out:
            if name not in self.classes:
                raise ValueError(
                    f'left_out={name!r} is not a class of the data set: {self.classes}'
                )
        self.scores = list(dict.fromkeys(score for name in names for score in MEANS[name]))
        self.left_out = tuple(left_out)
        self.image_ids = list(dataset.image_ids)
        self._dataset = dataset
        self._index = {image: index for index, image in enumerate(self.image_ids)}
        self._collected: list[tuple[ImageMeta, _Image]] = []
        self._matrix = self._empty()
        self.matrix = self._empty()  # of the last evaluation, on rank 0
        self.images: list[_Image] = []  # of the last evaluation, on rank 0
        self._folder: Path | None = None  # of label maps, written as they come

    def update(self, meta: ImageMeta, result: LabelMap) -> None:
        result = result.numpy()
        if self._folder is not None:
            path = self._folder / Path(str(meta.image_id)).with_suffix('.png')
            write_label_map(path, result.labels, self._dataset.palette)
        labels = self._dataset.truth(self._index[meta.image_id]).labels
        # (K + 1, K + 1) pixels of this image; its last row counts labels that are not a class.
        # The truth is read here, image by image, and not kept.
        matrix = confusion.confusion_matrix(result.labels, labels, len(self.classes))
        # Values that are neither a class nor ignored are counted for a warning at the end.
        foreign: dict[int, int] = {}
        if matrix[-1].any():
            values, counts = np.unique(labels[labels != SEMANTIC_IGNORE], return_counts=True)
            pairs = zip(values.tolist(), counts.tolist())
            foreign = {value: count for value, count in pairs if value >= len(self.classes)}
        self._matrix += matrix
        iou = confusion.iou_scores(matrix)['IoU']
        mean = float(np.nanmean(iou)) if np.isfinite(iou).any() else float('nan')
        self._collected.append((meta, _Image(meta.path, mean, foreign)))

    def compute(self) -> dict[str, float]:
        """``{'mIoU': 0.8, 'mAcc': 0.9, 'aAcc': 0.95, 'IoU.road': 0.9, ...}``, as fractions.

        Raises:
            ValueError: an image of the data set is missing, duplicated, or not in the data set.
        """
        gathered = gather_objects((self._matrix, self._collected))
        self._matrix, self._collected = self._empty(), []
        metrics = None
        if gathered is not None:
            # One matrix over all images of all processes.
            self.matrix = sum(matrix for matrix, _ in gathered)
            pairs = (pair for _, part in gathered for pair in part)
            self.images = list(by_image(pairs, self.image_ids).values())
            self._warn_of_foreign_labels()
            scores = confusion.iou_scores(self.matrix)
            metrics = self._metrics(scores)
            log_table(self._table(scores, metrics))
        return broadcast_object(metrics)

    def write_to(self, path: str | os.PathLike) -> None:
        super().write_to(path)
        self._folder = Path(path)

    def write(self, path: str | os.PathLike) -> None:
        """Label maps are in the folder already: palette PNGs with the names of the images."""

    def confusion_matrix(self) -> np.ndarray:
        """(K, K) pixels of the last evaluation by true class and predicted class, on rank 0."""
        return self.matrix[:-1, :-1]

    def details(self, score_thr: float) -> dict[str, Details]:
        matrix = self.confusion_matrix()
        scores = confusion.iou_scores(self.matrix)
        columns = {name: scores[name] for name in ('IoU', 'Acc', 'Dice', 'Precision')}
        share = self.matrix[:-1].sum(axis=1) / max(self.matrix[:-1].sum(), 1)
        rows = {
            name: {'share of pixels': float(share[k])}
            | {column: float(values[k]) for column, values in columns.items()}
            for k, name in enumerate(self.classes)
        }
        return {'': Details(list(self.classes), rows, matrix)}

    def _empty(self) -> np.ndarray:
        return np.zeros((len(self.classes) + 1,) * 2, np.int64)

    def _metrics(self, scores: dict[str, np.ndarray]) -> dict[str, float]:
        # Means over the classes that count and occur.
        counted = np.array([name not in self.left_out for name in self.classes])
        means = {}
        for name in self.scores:
            values = scores[name][counted]
            means[f'm{name}'] = float(np.nanmean(values)) if np.isfinite(values).any() else 0.0
        means['aAcc'] = float(scores['aAcc'])
        per_class = {
            f'{score}.{name}': float(value)
            for score in self.scores
            for name, value in zip(self.classes, scores[score])
            if np.isfinite(value)
        }
        return means | per_class

    def _table(self, scores: dict[str, np.ndarray], metrics: dict[str, float]) -> str:
        marks = [' (left out)' * (name in self.left_out) for name in self.classes]
        names = [name + mark for name, mark in zip(self.classes, marks)]
        rows = dict(zip(names, zip(*(scores[name] for name in self.scores))))
        means = ', '.join(f'{k} {100 * v:.2f}' for k, v in metrics.items() if '.' not in k)
        line = f'{len(self.images):,} images, in %: {means}'
        return f'{table("class in %", self.scores, rows)}\n{line}'

    def _warn_of_foreign_labels(self) -> None:
        # One message for all images, with the first value as an example.
        images = [image for image in self.images if image.foreign]
        if images:
            label, count = next(iter(images[0].foreign.items()))
            _logger.warning(
                'label %d in %d pixels of %s (and other foreign labels in %d images in all): %d '
                'classes end at %d, and %d is ignored. Their pixels still count as predictions',
                label,
                count,
                images[0].path,
                len(images),
                len(self.classes),
                len(self.classes) - 1,
                SEMANTIC_IGNORE,
            )
