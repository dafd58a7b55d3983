"""What the report of a test shows beside the metrics: tables of classes, confusion, errors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hrdet.evaluation.coco import Scores, for_engine, run_engine
from hrdet.evaluation.coco_annotations import CocoAnnotations
from hrdet.evaluation.outcomes import BACKGROUND, MATCH

# TIDE's names in hotcoco, and those of ``outcomes``.
_TIDE = dict(
    Cls='class', Loc='location', Both='both', Dupe='double', Bkg='background', Miss='missed'
)


@dataclass(slots=True)
class Details:
    """Details of one evaluation."""

    classes: list[str]  # of the confusion matrix; its last may be 'background'
    per_class: dict[str, dict[str, float]]  # class -> column -> fraction, or count (int)
    confusion: np.ndarray | None = None  # counts by true and predicted class
    curves: Scores | None = None  # of detections
    # Kind of error -> how many detections or objects, and the AP that repairing them all gains.
    errors: dict[str, tuple[int, float]] = field(default_factory=dict)


def error_numbers(details: Mapping[str, Details]) -> dict[str, float]:
    """The kinds of errors as numbers by name, for files: how many, and the AP50 that they cost."""
    return {
        f'{kind}_{what}.{name}': value
        for kind, one in details.items()
        for name, numbers in one.errors.items()
        for what, value in zip(('errors', 'error_AP50'), numbers)
    }


def detection_details(
    truth: CocoAnnotations, results: Any, scores: Scores, score_thr: float
) -> Details:
    """Details of detections; hotcoco counts confusion and errors, without it they are left out.

    Confusion is that of detections with ``score_thr`` or more, at an IoU of 0.5.  Errors are TIDE's
    (Bolya et al. 2020), of all detections: a wrong one with a low score hardly lowers AP.
    """
    classes = [category['name'] for category in truth.categories]
    counts = dict.fromkeys((category['id'] for category in truth.categories), 0)
    for annotation in truth.annotations:
        counts[annotation['category_id']] += not annotation['iscrowd']
    per_class = {
        name: {'objects': count, **row}
        for (name, row), count in zip(scores.per_class.items(), counts.values())
    }
    details = Details([*classes, 'background'], per_class, curves=scores)
    run = run_engine(truth, for_engine(truth, results, scores.kind), scores.kind)
    if hasattr(run, 'tide_errors'):
        details.confusion = run.confusion_matrix(MATCH, min_score=score_thr)['matrix']
        tide = run.tide_errors(MATCH, BACKGROUND)
        details.errors = {
            ours: (int(tide['counts'][name]), float(tide['delta_ap'][name]))
            for name, ours in _TIDE.items()
        }
    return details
