"""COCO's average precision and recall.

hotcoco matches and accumulates where it is installed: its arrays equal pycocotools' bit for bit,
and it is two orders of magnitude faster.  The metrics are averaged from those arrays here, in
pycocotools' order of summation, so that they are identical and unrounded with either engine.
"""

import contextlib
import io
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hrdet.evaluation.coco_annotations import CocoAnnotations, read_results
from hrdet.evaluation.evaluator import table
from hrdet.evaluation.proposals import fast_recall
from hrdet.json_files import collector_paused

_logger = logging.getLogger('hrdet')
_AREAS = ('all', 'small', 'medium', 'large')
RECALLS = np.linspace(0, 1, 101)  # R, at which COCO's precision is sampled


class _Row(NamedTuple):
    """One line of the table: which cells of which array are averaged."""

    name: str
    array: str  # precision (T, R, K, A, M) or recall (T, K, A, M)
    area: int
    limit: int  # index of the number of detections per image
    iou: int | None = None  # index of the threshold; None: all ten

    def mean(self, arrays: Mapping[str, np.ndarray]) -> float:
        """The mean over the cells that have ground truth; -1 if none has."""
        cells = arrays[self.array][..., self.area, self.limit]
        cells = cells if self.iou is None else cells[self.iou]
        cells = cells[cells > -1]
        return float(np.mean(cells)) if cells.size else -1.0


_RECALL_BY_AREA = tuple(_Row(f'AR{a[0]}', 'recall', i, 2) for i, a in enumerate(_AREAS) if i)
_DETECTION_ROWS = (
    _Row('AP', 'precision', 0, 2),
    _Row('AP50', 'precision', 0, 2, iou=0),
    _Row('AP75', 'precision', 0, 2, iou=5),
    *(_Row(f'AP{a[0]}', 'precision', i, 2) for i, a in enumerate(_AREAS) if i),
    *(_Row(f'AR{n}', 'recall', 0, i) for i, n in enumerate((1, 10, 100))),
    *_RECALL_BY_AREA,
)
_FAST_ROWS = tuple(_Row(f'AR{n}', 'recall', 0, i) for i, n in enumerate((100, 300, 1000)))


class _Kind(NamedTuple):
    rows: tuple[_Row, ...]
    limits: tuple[int, int, int] = (100, 300, 1000)
    by_class: bool = False


KINDS = {
    'bbox': _Kind(_DETECTION_ROWS, (1, 10, 100), by_class=True),
    'segm': _Kind(_DETECTION_ROWS, (1, 10, 100), by_class=True),
    'proposal': _Kind(_FAST_ROWS + _RECALL_BY_AREA),
    'proposal_fast': _Kind(_FAST_ROWS),
}


@dataclass(slots=True)
class Scores:
    """The numbers of one evaluation; ``str(scores)`` is a table in per cent."""

    kind: str
    numbers: dict[str, float]  # in COCO's order, unrounded; -1: no object of that kind
    per_class: dict[str, dict[str, float]]  # class name -> ``_of_class``; empty for proposals
    precision: np.ndarray  # (R, K) at RECALLS and an IoU of 0.5; -1: no object of that class
    thresholds: np.ndarray  # (R, K) the score down to which detections are taken

    def __str__(self) -> str:
        """All classes together, then each class: AP, and what the best F1 has."""
        names = [name for name in self.numbers]
        whole = table(f'{self.kind} in %', names, {'all': list(self.numbers.values())})
        if not self.per_class:
            return whole
        columns = ('AP', 'AP50', 'precision', 'recall')
        rows = {name: [row[c] for c in columns] for name, row in self.per_class.items()}
        note = 'precision and recall at the score with the best F1, IoU 0.5'
        return f'{whole}\n{table("class", columns, rows)}\n{note}'


@collector_paused()
def evaluate_coco(
    annotation_file: str | os.PathLike | Mapping[str, Any],
    results: str | os.PathLike | Sequence[Mapping[str, Any]],
    kind: str = 'bbox',
) -> dict[str, float]:
    """COCO's metrics of results on an annotation file.

    Args:
        annotation_file: COCO annotations, a file or its content.
        results: a JSON file of COCO results or the list in it: dicts of ``image_id``,
            ``category_id``, ``score`` and ``bbox`` (x, y, w, h) or ``segmentation`` (RLE).
        kind: ``'bbox'`` or ``'segm'``: AP AP50 AP75 APs APm APl AR1 AR10 AR100 ARs ARm ARl;
            ``'proposal'``: boxes without classes, AR100 AR300 AR1000 ARs ARm ARl, the last three
            at 1000; ``'proposal_fast'``: AR100 AR300 AR1000 by the 2019 release's own matching.

    Returns:
        Unrounded numbers by name in that order, identical to pycocotools'. No results at all is
        AP 0; -1 means that the annotations have no such object.

    Raises:
        ValueError: names the file, result, image id or category id that is wrong.
    """
    truth = CocoAnnotations.read(annotation_file, masks=kind == 'segm')
    return evaluate(truth, results, kind).numbers


@collector_paused()
def evaluate(truth: CocoAnnotations, results: Any, kind: str = 'bbox') -> Scores:
    """As ``evaluate_coco``, with per-class AP; box results may also be columns (R, 7).

    Columns are image rank (``truth.order``), x, y, w, h, score, category id.
    """
    if kind not in KINDS:
        raise ValueError(f'kind={kind!r}: choose one of {", ".join(KINDS)}')
    # 1. Results in the form that the engine takes.
    results = for_engine(truth, results, kind)
    # 2. Match and accumulate: arrays of precision and recall.
    _diagnose(truth, results, kind)
    if kind == 'proposal_fast':
        arrays = {'recall': fast_recall(truth, results, KINDS[kind].limits)}
    else:
        found = run_engine(truth, results, kind).eval
        arrays = {name: np.asarray(found[name]) for name in ('precision', 'recall', 'scores')}
    # 3. Average them, over all classes and for each class.
    numbers = {row.name: row.mean(arrays) for row in KINDS[kind].rows}
    if not KINDS[kind].by_class:
        return Scores(kind, numbers, {}, np.empty((0, 0)), np.empty((0, 0)))
    names = [category['name'] for category in truth.categories]
    per_class = {name: _of_class(arrays, index) for index, name in enumerate(names)}
    precision, thresholds = (arrays[name][0, :, :, 0, 2] for name in ('precision', 'scores'))
    return Scores(kind, numbers, per_class, precision, thresholds)


def for_engine(truth: CocoAnnotations, results: Any, kind: str) -> Any:
    """Results as dicts with RLEs, or boxes as columns (R, 7)."""
    results = read_results(results)
    if kind == 'segm':
        return truth.masks(results)
    return truth.checked(results) if isinstance(results, np.ndarray) else truth.columns(results)


def flatten(scores: Mapping[str, Scores]) -> dict[str, float]:
    """``{'bbox_AP': 0.4, ..., 'bbox_AP.car': 0.5, ...}``: metrics by name, for logs and files.

    Classes without objects have none.
    """
    numbers = {
        f'{kind}_{name}': value
        for kind, score in scores.items()
        for name, value in score.numbers.items()
    }
    return numbers | {
        f'{kind}_{name}.{label}': value
        for kind, score in scores.items()
        for label, row in score.per_class.items()
        for name, value in row.items()
        if value >= 0
    }


def mmdetection_names(metrics: Mapping[str, float]) -> dict[str, float]:
    """COCO's metrics of boxes and masks under mmdetection's names: ``bbox_mAP_50``, ..."""
    names = dict(AP='mAP', AP50='mAP_50', AP75='mAP_75', APs='mAP_s', APm='mAP_m', APl='mAP_l')
    return {
        f'{kind}_{theirs}': metrics[f'{kind}_{ours}']
        for kind in ('bbox', 'segm')
        for ours, theirs in names.items()
        if f'{kind}_{ours}' in metrics
    }


def f1_scores(precision: np.ndarray) -> np.ndarray:
    """F1 (R, ...) of precision (R, ...) at RECALLS; 0 where there is no precision."""
    recall = RECALLS.reshape(-1, *[1] * (precision.ndim - 1))
    precision = np.maximum(precision, 0)
    return 2 * precision * recall / np.maximum(precision + recall, 1e-12)


def _of_class(arrays: Mapping[str, np.ndarray], index: int) -> dict[str, float]:
    """AP and AP50 of a class; precision, recall and score where F1 is largest at an IoU of 0.5.

    Recall is known to 0.01.  -1: the class has no object.
    """
    # The class axis K of precision (T, R, K, A, M), one slice.
    one = {'precision': arrays['precision'][:, :, index : index + 1]}
    numbers = {row.name: row.mean(one) for row in _DETECTION_ROWS[:2]}
    precision, scores = (arrays[name][0, :, index, 0, 2] for name in ('precision', 'scores'))
    f1 = f1_scores(precision)
    best = int(f1.argmax())
    found = dict(F1=f1[best], precision=precision[best], recall=RECALLS[best], score=scores[best])
    known = precision[0] >= 0
    return numbers | {name: float(value) if known else -1.0 for name, value in found.items()}


def run_engine(truth: CocoAnnotations, results: Any, kind: str) -> Any:
    """The engine's evaluation, matched and accumulated.

    ``eval`` has precision and scores (T, R, K, A, M) and recall (T, K, A, M), with K = 1 where
    classes do not count: T IoU thresholds, R recalls, K classes, A areas, M limits of detections
    per image.
    """
    coco, evaluator = _engine()
    by_mask = kind == 'segm'
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        annotations = [
            {k: v for k, v in annotation.items() if by_mask or k != 'segmentation'}
            for annotation in truth.annotations
        ]
        reference = _dataset(coco, truth, annotations)
        detections = reference.loadRes(results) if len(results) else _dataset(coco, truth, [])
        # maxDets, and without useCats one class for all, as COCO defines the metrics of proposals.
        run = evaluator(reference, detections, 'segm' if by_mask else 'bbox')
        run.params.maxDets = list(KINDS[kind].limits)
        run.params.useCats = int(KINDS[kind].by_class)
        run.evaluate()
        run.accumulate()
        return run


def _dataset(coco: type, truth: CocoAnnotations, annotations: list[dict]) -> Any:
    dataset = coco()
    dataset.dataset = {
        'info': {},
        'images': truth.images,
        'categories': truth.categories,
        'annotations': annotations,
    }
    dataset.createIndex()
    return dataset


def _engine() -> tuple[type, type]:
    try:
        import hotcoco
    except ImportError as error:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        _logger.warning(
            'hotcoco does not import (%s): evaluating with pycocotools, the same numbers but '
            'slower; pip install hotcoco',
            error,
        )
        return COCO, COCOeval
    return hotcoco.COCO, hotcoco.COCOeval


def _diagnose(truth: CocoAnnotations, results: Any, kind: str) -> None:
    """Warn why a metric is going to be 0 or -1."""
    # The two usual causes of a whole column of 0 or -1.
    if not len(results):
        _logger.warning(
            '%s: no detection on any of %d images, so every metric is 0: is the checkpoint '
            'trained, and is score_thr low enough?',
            kind,
            len(truth.images),
        )
    if not any(not annotation['iscrowd'] for annotation in truth.annotations):
        _logger.warning(
            '%s: the annotations have no object on these %d images and %d classes, so every '
            'metric is -1; hrdet infer predicts images without labels',
            kind,
            len(truth.images),
            len(truth.categories),
        )
