"""Accuracy of image classification."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hrdet.distributed import broadcast_object, gather_objects
from hrdet.evaluation.details import Details
from hrdet.evaluation.evaluator import Evaluator, by_image, log_table, table
from hrdet.ranges import Count
from hrdet.registry import register
from hrdet.structures import ClassScores, ImageMeta
from hrdet.structures.result_files import prediction, write_plain

_LISTED = 100  # classes with a line each in the log


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

    def __init__(self, dataset, topk: Sequence[Count] = (1, 5)) -> None:
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
        """``{'top1': 0.76, ..., 'mean_class_accuracy': 0.75, 'recall.tench': 0.9, ...}``.

        Raises:
            ValueError: an image of the data set is missing, duplicated, or not in the data set.
        """
        gathered = gather_objects(self._collected)
        self._collected = []
        metrics = None
        if gathered is not None:
            pairs = (pair for part in gathered for pair in part)
            self.predictions = list(by_image(pairs, self.image_ids).values())
            scores = class_scores(self.confusion_matrix())
            metrics = self._metrics(scores)
            log_table(self._table(metrics, scores))
        return broadcast_object(metrics)

    def confusion_matrix(self) -> np.ndarray:
        """(K, K) images of the last evaluation by true class and predicted class, on rank 0."""
        matrix = np.zeros((len(self.classes),) * 2, np.int64)
        pairs = np.array([(one.truth, one.label) for one in self.predictions]).reshape(-1, 2)
        np.add.at(matrix, tuple(pairs.T), 1)
        return matrix

    def details(self, score_thr: float) -> dict[str, Details]:
        matrix = self.confusion_matrix()
        columns = {'images': matrix.sum(axis=1), **class_scores(matrix)}
        rows = {
            name: {column: values[k].item() for column, values in columns.items()}
            for k, name in enumerate(self.classes)
        }
        return {'': Details(list(self.classes), rows, matrix)}

    def write(self, path: str | os.PathLike) -> None:
        """Write the predictions of the last evaluation: a list of one dict an image."""
        results = [
            {'path': one.path, **prediction(one.best, self.classes), 'gt_label': one.truth}
            for one in self.predictions
        ]
        write_plain(path, results)

    def _metrics(self, scores: dict[str, np.ndarray]) -> dict[str, float]:
        # An image counts for top k if its class has a rank below k.
        ranks = np.array([one.rank for one in self.predictions])
        metrics = {f'top{k}': float(np.mean(ranks < k)) for k in self.topk}
        # A class without images has no recall (0 / 0) and is left out of the mean.
        metrics['mean_class_accuracy'] = float(np.nanmean(scores['recall']))
        return metrics | {
            f'{score}.{name}': float(value)
            for score, values in scores.items()
            for name, value in zip(self.classes, values)
            if np.isfinite(value)
        }

    def _table(self, metrics: dict[str, float], scores: dict[str, np.ndarray]) -> str:
        means = ', '.join(f'{k} {100 * v:.2f}' for k, v in metrics.items() if '.' not in k)
        line = f'{len(self.predictions):,} images, in %: {means}'
        if len(self.classes) > _LISTED:
            return line
        rows = zip(self.classes, zip(*scores.values()))
        return f'{table("class in %", list(scores), dict(rows))}\n{line}'


def class_scores(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Recall (the accuracy of a class), precision and F1 (K,) from counts (K, K); nan: none."""
    right = np.diagonal(matrix).astype(np.float64)
    with np.errstate(invalid='ignore'):
        recall, precision = right / matrix.sum(axis=1), right / matrix.sum(axis=0)
        f1 = 2 * right / (matrix.sum(axis=1) + matrix.sum(axis=0))
    return {'recall': recall, 'precision': precision, 'F1': f1}
