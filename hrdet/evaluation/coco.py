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
from hrdet.evaluation.proposals import fast_recall

_logger = logging.getLogger('hrdet')
_AREAS = ('all', 'small', 'medium', 'large')


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

    def line(self, value: float, limits: Sequence[int]) -> str:
        title = {'precision': 'Average Precision  (AP)', 'recall': 'Average Recall     (AR)'}
        iou = '0.50:0.95' if self.iou is None else f'{0.5 + 0.05 * self.iou:.2f}'
        return (
            f' {title[self.array]} @[ IoU={iou:<9} | area={_AREAS[self.area]:>6} '
            f'| maxDets={limits[self.limit]:>4} ] = {value:.3f}'
        )


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
    """The numbers of one evaluation; ``str(scores)`` is COCO's table."""

    kind: str
    numbers: dict[str, float]  # in COCO's order, unrounded; -1: no object of that kind
    per_class: dict[str, float]  # class name -> AP; empty for proposals

    def __str__(self) -> str:
        kind = KINDS[self.kind]
        lines = (row.line(self.numbers[row.name], kind.limits) for row in kind.rows)
        return '\n'.join([f'{self.kind}:', *lines])

    def class_table(self, columns: int = 3) -> str:
        """AP of every class, in per cent, in as many columns."""
        width = max((len(name) for name in self.per_class), default=0)
        cells = [
            f'{name:<{width}} {"-" if ap < 0 else f"{100 * ap:.1f}":>5}'
            for name, ap in self.per_class.items()
        ]
        rows = -(-len(cells) // columns)
        return '\n'.join('   '.join(cells[row::rows]) for row in range(rows))


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


def evaluate(truth: CocoAnnotations, results: Any, kind: str = 'bbox') -> Scores:
    """As ``evaluate_coco``, with per-class AP; box results may also be columns (R, 7).

    Columns are image rank (``truth.order``), x, y, w, h, score, category id.
    """
    if kind not in KINDS:
        raise ValueError(f'kind={kind!r}: choose one of {", ".join(KINDS)}')
    # 1. Results in the form that the engine takes: dicts with RLEs, or boxes as columns (R, 7).
    results = read_results(results)
    if kind == 'segm':
        results = truth.masks(results)
    elif isinstance(results, np.ndarray):
        results = truth.checked(results)
    else:
        results = truth.columns(results)
    # 2. Match and accumulate: arrays of precision and recall.
    _diagnose(truth, results, kind)
    if kind == 'proposal_fast':
        arrays = {'recall': fast_recall(truth, results, KINDS[kind].limits)}
    else:
        arrays = _accumulate(truth, results, kind)
    # 3. Average them, over all classes and for each class.
    numbers = {row.name: row.mean(arrays) for row in KINDS[kind].rows}
    per_class = {}
    if KINDS[kind].by_class:
        # The class axis K of precision (T, R, K, A, M), one slice at a time.
        for index, category in enumerate(truth.categories):
            one = {'precision': arrays['precision'][:, :, index : index + 1]}
            per_class[category['name']] = _DETECTION_ROWS[0].mean(one)
    return Scores(kind, numbers, per_class)


def flatten(scores: Mapping[str, Scores]) -> dict[str, float]:
    """``{'bbox_AP': 0.4, ...}``: metrics by name, for logs and for the best checkpoint."""
    return {
        f'{kind}_{name}': value
        for kind, score in scores.items()
        for name, value in score.numbers.items()
    }


def _accumulate(truth: CocoAnnotations, results: Any, kind: str) -> dict[str, np.ndarray]:
    """Precision (T, R, K, A, M) and recall (T, K, A, M), with K = 1 where classes do not count."""
    # T IoU thresholds, R recalls, K classes, A areas, M limits of detections per image.
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
        return {name: np.asarray(run.eval[name]) for name in ('precision', 'recall')}


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
            'metric is -1',
            kind,
            len(truth.images),
            len(truth.categories),
        )
