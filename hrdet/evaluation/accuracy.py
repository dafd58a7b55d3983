"""Accuracy of image classification."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hrdet.distributed import broadcast_object, gather_objects
from hrdet.evaluation.evaluator import Evaluator, by_image, log_table
from hrdet.registry import register
from hrdet.structures import ClassScores, ImageMeta
from hrdet.structures.result_files import prediction, write_plain


class _Prediction(NamedTuple):
    """The prediction for one image."""

    path: str
    best: list[tuple[int, float]]  # the five most probable classes with their scores
    truth: int
    rank: int  # of the true class by score; 0: it is the predicted one

    @property
    def label(self) -> int:
        """The predicted class."""
        return self.best[0][0]


@register()
class Accuracy(Evaluator):
    """Top-k accuracy: the share of images whose class is among the k with the highest scores.

    Args:
        dataset: has ``image_ids``, ``classes`` and ``labels`` (n,), the class of each image.
        topk: the numbers k; those above the number of classes are left out.
    """

    formats = ('.json', '.pkl')
    choices = ('accuracy',)

    def __init__(self, dataset, topk: Sequence[int] = (1, 5)) -> None:
        self.classes = tuple(dataset.classes)
        self.topk = tuple(k for k in topk if k <= len(self.classes)) or (1,)
        self.image_ids = list(dataset.image_ids)
        if dataset.labels is None:
            raise ValueError('the data set has no classes of its images to compare results with')
        self._truth = dict(zip(self.image_ids, np.asarray(dataset.labels).tolist()))
        self._collected: list[tuple[ImageMeta, _Prediction]] = []
        self.predictions: list[_Prediction] = []  # of the last evaluation, on rank 0

    def update(self, meta: ImageMeta, result: ClassScores) -> None:
        scores = result.numpy().scores
        truth = self._truth[meta.image_id]
        # Rank of the true class: the number of classes before it in a stable sort by score.
        before = np.count_nonzero(scores > scores[truth])
        rank = before + np.count_nonzero(scores[:truth] == scores[truth])
        self._collected.append((meta, _Prediction(meta.path, result.top(5), truth, int(rank))))

    def compute(self) -> dict[str, float]:
        """``{'top1': 0.76, 'top5': 0.93, 'mean_class_accuracy': 0.75}``, as fractions.

        Raises:
            ValueError: an image of the data set is missing, duplicated, or not in the data set.
        """
        gathered = gather_objects(self._collected)
        self._collected = []
        metrics = None
        if gathered is not None:
            pairs = (pair for part in gathered for pair in part)
            self.predictions = list(by_image(pairs, self.image_ids).values())
            metrics = self._metrics()
            log_table(self._table(metrics))
        return broadcast_object(metrics)

    def confusion_matrix(self) -> np.ndarray:
        """(K, K) images of the last evaluation by true class and predicted class, on rank 0."""
        matrix = np.zeros((len(self.classes),) * 2, np.int64)
        pairs = np.array([(one.truth, one.label) for one in self.predictions]).reshape(-1, 2)
        np.add.at(matrix, tuple(pairs.T), 1)
        return matrix

    def write(self, path: str | os.PathLike) -> None:
        """Write the predictions of the last evaluation: a list of one dict an image."""
        results = [
            {'path': one.path, **prediction(one.best, self.classes), 'gt_label': one.truth}
            for one in self.predictions
        ]
        write_plain(path, results)

    def _metrics(self) -> dict[str, float]:
        # An image counts for top k if its class has a rank below k.
        ranks = np.array([one.rank for one in self.predictions])
        metrics = {f'top{k}': float(np.mean(ranks < k)) for k in self.topk}
        # A class without images has no accuracy (0 / 0) and is left out of the mean.
        matrix = self.confusion_matrix()
        with np.errstate(invalid='ignore'):
            per_class = np.diagonal(matrix) / matrix.sum(axis=1)
        return metrics | {'mean_class_accuracy': float(np.nanmean(per_class))}

    def _table(self, metrics: dict[str, float]) -> str:
        lines = [f'{name:<20} {value:>7.2%}' for name, value in metrics.items()]
        return '\n'.join([f'accuracy of {len(self.predictions):,} images', *lines])
