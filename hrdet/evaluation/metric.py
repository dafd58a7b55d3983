"""COCO's metrics as an evaluator."""

import json
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hrdet.distributed import broadcast_object, gather_objects
from hrdet.evaluation.coco import KINDS, Scores, evaluate, flatten
from hrdet.evaluation.coco_annotations import CocoAnnotations
from hrdet.evaluation.details import Details, detection_details
from hrdet.evaluation.evaluator import Evaluator, by_image, log_table
from hrdet.registry import ConfigError, register
from hrdet.structures import Detections, ImageMeta


class Annotated(Protocol):
    """The attributes of a data set that the metric reads."""

    image_ids: Sequence[int | str]
    category_ids: Sequence[int]  # COCO id of every label 0..K-1

    def to_coco(self) -> dict[str, Any]:
        """Its annotations in COCO's form."""


@register()
class CocoMetric(Evaluator):
    """COCO evaluation of one data set.

    A data set read from a COCO file (``ann_file``, .json) is scored against that file, unfiltered,
    as pycocotools would; others against their ``to_coco()``.  Only the data set's images and
    classes count.

    Args:
        dataset: has ``image_ids``, ``category_ids`` and ``ann_file`` or ``to_coco()``; it may
            have ``absent_classes``, names by category id that its file lacks.
        metrics: what to compute, of ``hrdet.evaluation.KINDS``.
    """

    formats = ('.json', '.pkl')
    choices, chosen_by = KINDS, 'metrics'

    def __init__(self, dataset: Annotated, metrics: Sequence[str] = ('bbox',)) -> None:
        unknown = [kind for kind in metrics if kind not in KINDS]
        if unknown:
            raise ValueError(f'metrics={unknown[0]!r}: choose from {", ".join(KINDS)}')
        # The file itself, so that filters of the data set do not change the ground truth.
        file = str(getattr(dataset, 'ann_file', ''))
        source = file if file.endswith('.json') else dataset.to_coco()
        self.image_ids = list(dataset.image_ids)
        self.category_ids = [int(i) for i in dataset.category_ids]
        self.truth = CocoAnnotations.read(
            source,
            self.image_ids,
            self.category_ids,
            getattr(dataset, 'absent_classes', None),
            masks='segm' in metrics,
        )
        self.metrics = tuple(metrics)
        self._collected: list[tuple[ImageMeta, Detections]] = []
        self._by_image: dict[int | str, Detections] = {}  # of the last evaluation, on rank 0
        self._scores: dict[str, Scores] = {}

    def update(self, meta: ImageMeta, result: Detections) -> None:
        self._collected.append((meta, result))

    def compute(self) -> dict[str, float]:
        """COCO's metrics as ``{'bbox_AP': 0.4, ...}``.

        Raises:
            ValueError: an image of the data set is missing, duplicated, or not in the data set.
            ConfigError: the metrics need masks, and the model predicts none.
        """
        # Results are copied to the host here: ``update`` must not wait for the device.
        collected = [(meta, result.numpy()) for meta, result in self._collected]
        self._collected = []
        gathered = gather_objects(collected)
        metrics = None
        if gathered is not None:
            pairs = (pair for part in gathered for pair in part)
            self._by_image = by_image(pairs, self.image_ids)
            scores = self._scores = self.scores()
            for score in scores.values():
                log_table(str(score))
            metrics = flatten(scores)
        return broadcast_object(metrics)

    def scores(self) -> dict[str, Scores]:
        """The last evaluation's scores by kind, on rank 0."""
        # Results without masks would give a segm AP of 0, which looks like a bad model.
        results = self._by_image
        if 'segm' in self.metrics and any(one.masks is None for one in results.values()):
            raise ConfigError(
                'segm: the model predicts no masks, only boxes; measure bbox (--eval bbox, or '
                "evaluation=dict(metric='bbox') in the config)"
            )
        boxes = self._columns(results) if set(self.metrics) - {'segm'} else None
        return {
            kind: evaluate(self.truth, self.results(True) if kind == 'segm' else boxes, kind)
            for kind in self.metrics
        }

    def details(self, score_thr: float) -> dict[str, Details]:
        results = self._by_image
        return {
            kind: detection_details(
                self.truth,
                self.results(True) if kind == 'segm' else self._columns(results),
                scores,
                score_thr,
            )
            for kind, scores in self._scores.items()
            if scores.per_class
        }

    def results(self, with_mask: bool = False) -> list[dict[str, Any]]:
        """The last evaluation's COCO results in the order of the data set, on rank 0.

        ``with_mask`` keeps those that have a mask.
        """
        return [
            result
            for image, detections in self._by_image.items()
            for result in detections.to_coco(image, self.category_ids)
            if not with_mask or 'segmentation' in result
        ]

    def write(self, path: str | os.PathLike) -> None:
        """Write the detections: ``.json`` is COCO's result format, ``.pkl`` the 2019 release's.

        The pickle holds a list over images of a list over K classes of (n, 5) float32 arrays:
        inclusive corners x1, y1, x2, y2 (so that the width is x2 - x1 + 1) and score; with masks a
        pair of that and the RLEs in the same order. It is written for tools that expect it; hrdet
        itself never reads a pickle.
        """
        path = Path(path)
        check_output(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == '.json':
            path.write_text(json.dumps(self.results()))
        else:
            content = [self._by_class(detections) for detections in self._by_image.values()]
            path.write_bytes(pickle.dumps(content, protocol=4))

    def _columns(self, detections: dict[int | str, Detections]) -> np.ndarray:
        """All boxes as the (R, 7) columns of ``CocoAnnotations``, without a dict for each."""
        # (R_i, 7) of each image: its rank, x, y, w, h, score, category.
        ids = np.array(self.category_ids, np.float64)
        blocks = [np.empty((0, 7))]
        for image, one in detections.items():
            boxes = one.boxes.astype(np.float64)
            rank = np.full(len(boxes), self.truth.order[image], np.float64)
            sides = boxes[:, 2:] - boxes[:, :2]
            blocks.append(np.column_stack((rank, boxes[:, :2], sides, one.scores, ids[one.labels])))
        return np.concatenate(blocks)

    def _by_class(self, detections: Detections) -> Any:
        # Stored boxes are continuous: the inclusive far corner is one pixel less.  Rows (n, 5) with
        # the score, split by class.
        corners = detections.boxes - np.array([0, 0, 1, 1], np.float32)
        rows = np.column_stack((corners, detections.scores)).astype(np.float32)
        members = [np.flatnonzero(detections.labels == k) for k in range(len(self.category_ids))]
        boxes = [rows[index] for index in members]
        if detections.masks is None:
            return boxes
        return boxes, [[detections.masks[i] for i in index] for index in members]


def check_output(path: str | os.PathLike) -> None:
    """Raise a ValueError for a file of an unknown format, before the evaluation starts."""
    if Path(path).suffix not in CocoMetric.formats:
        raise ValueError(f'{path}: results are written as .json or .pkl')
