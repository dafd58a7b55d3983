"""Read a data set as the tools do: check it, load it, evaluate it."""

import warnings
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask

from benchmarks.reliability.cases import Late, Wrong
from hrdet.data import DataError, build_loader, check_images
from hrdet.data.datasets.check import examine
from hrdet.registry import build
from hrdet.structures import ClassLabel, ClassScores, Detections, GroundTruth, LabelMap


def use(train: dict, test: dict, evaluator: dict) -> Any:
    """Check and read a data set as the tools do; returns it as a training has it.

    Raises:
        DataError, ConfigError: the check and the training refuse it.
        Late: only a later step does.
        Wrong: check and training disagree, or a sample is not right.
    """
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        problems = _checked(train, test, evaluator)
        try:
            dataset, tested = (build(dict(transforms=[]) | node) for node in (train, test))
            check_images(dataset)
            check_images(tested)
            metric = build(evaluator, dataset=tested)
        except Exception as error:
            if not problems and isinstance(error, DataError):
                raise Wrong(f'the check passes, training refuses: {error}') from error
            raise
        if problems:
            raise Wrong(f'training passes, the check refuses: {problems[0]}')
        try:
            _load_all(dataset)
            _evaluate(build(dict(transforms=[]) | train | _everything(train)), tested, metric)
        except Exception as error:
            if isinstance(error, Wrong):
                raise
            raise Late(f'{type(error).__name__}: {error}') from error
    return dataset


def _checked(train: dict, test: dict, evaluator: dict) -> list:
    problems = []
    for node, evaluators in ((train, []), (test, [evaluator])):
        check = examine(node)
        check.evaluators += evaluators
        for _ in check.check_images():
            pass
        check.check_evaluators()
        problems += [problem for problem in check.problems if problem.fatal]
    return problems


def _load_all(dataset: Any) -> None:
    loader = build_loader(dataset, batch_size=1, num_workers=0, training=True, size_divisor=32)
    torch.manual_seed(0)
    for batch in loader:
        if not torch.isfinite(batch.images.float()).all():
            raise Wrong('pixels that are not finite')


def _everything(node: dict) -> dict:
    """Arguments with which a data set of boxes leaves out no image, as in a test."""
    boxes = node['type'] in ('CocoDataset', 'VOCDataset')
    return dict(filter_empty=False, min_size=0) if boxes else {}


def _evaluate(dataset: Any, tested: Any, metric: Any) -> None:
    """Predictions that equal the truth: their metric is perfect, or -1 where there is none."""
    for index in range(len(dataset)):
        metric.update(tested[index].meta, _perfect(dataset.truth(index), dataset))
    metrics = metric.compute()
    for name in ('bbox_AP50', 'top1', 'mIoU'):
        value = metrics.get(name, 1.0)
        if not (value == -1 or value > 0.999 or np.isnan(value)):
            report = str(getattr(dataset, 'report', ''))
            if 'dropped' not in report:
                raise Wrong(f'{name} of the truth itself is {value}; {report}')


def _perfect(truth: Any, dataset: Any) -> Any:
    if isinstance(truth, GroundTruth):
        masks = None
        if truth.masks is not None:
            masks = [coco_mask.encode(np.asfortranarray(mask)) for mask in truth.masks]
        return Detections(truth.boxes, np.ones(len(truth.labels)), truth.labels, masks)
    if isinstance(truth, ClassLabel):
        return ClassScores(np.eye(len(dataset.classes))[truth.labels])
    return LabelMap(np.where(truth.labels == 255, 0, truth.labels))
