"""Pictures of a training: labels, the first batch as the network sees it, and curves.

What cannot be drawn is a warning and stops no training.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hrdet.data import ImageDataset
from hrdet.data.datasets.statistics import label_statistics
from hrdet.distributed import rank
from hrdet.structures import Sample
from hrdet.visualize.curves import plot_curves
from hrdet.visualize.draw import write_image
from hrdet.visualize.label_plot import plot_labels
from hrdet.visualize.sheet import batch_sheet

Trainer = Any  # hrdet.engine.Trainer, which this package must not import
LABELS_FILE, BATCH_FILE, CURVES_FILE = 'labels.png', 'train_batch.png', 'curves.png'
_IMAGES = 8  # of the batch that are drawn
logger = logging.getLogger('hrdet')


def attempt(draw: Callable[..., None], *arguments: Any, file: Path) -> bool:
    """Call ``draw(*arguments, file)``; an error is a warning, and the answer False."""
    try:
        draw(*arguments, file)
    except Exception as error:
        logger.warning(f'{file}: not drawn ({error})')
        return False
    return True


def draw_start(trainer: Trainer) -> None:
    """Write ``train_batch.png`` and ``labels.png``."""
    dataset = trainer.loader.dataset
    if rank() > 0 or not isinstance(dataset, ImageDataset):
        return
    sets = dict(training=dataset)
    if trainer.validation is not None:
        sets['validation'] = trainer.validation.loader.dataset
    attempt(_draw_batch, trainer, file=trainer.work_dir / BATCH_FILE)
    attempt(draw_labels, sets, file=trainer.work_dir / LABELS_FILE)


def draw_curves(log: Path) -> None:
    """Write ``curves.png`` beside the log of a run, if that has losses."""
    if rank() == 0:
        attempt(_draw_curves, log, file=log.with_name(CURVES_FILE))


def draw_labels(sets: dict[str, ImageDataset], file: Path) -> None:
    """Plot the labels of the data sets that have some."""
    found = {title: label_statistics(dataset) for title, dataset in sets.items()}
    found = {title: statistics for title, statistics in found.items() if statistics is not None}
    if found:
        plot_labels(found, file)


def _draw_curves(log: Path, file: Path) -> None:
    if log.is_file() and '"train"' in log.read_text(errors='replace'):
        plot_curves(log, file)


def _draw_batch(trainer: Trainer, file: Path) -> None:
    # A sample follows from its key alone: these are those of the batch that comes first.
    sampler, dataset = trainer.loader.batch_sampler, trainer.loader.dataset
    sampler.set_epoch(trainer.epoch)
    sampler.skip(trainer.position)
    keys = next(iter(sampler))[:_IMAGES]
    samples: list[Sample] = [dataset[key] for key in keys]
    titles = [f'{Path(sample.meta.path).name}, {_size(sample.image)}' for sample in samples]
    sheet = batch_sheet(samples, titles, dataset.classes, dataset.palette)
    write_image(file, sheet)


def _size(image: np.ndarray) -> str:
    return f'{image.shape[1]} x {image.shape[0]}'
