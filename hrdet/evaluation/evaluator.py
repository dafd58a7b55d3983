"""The interface of evaluators: take results image by image, and compute metrics at the end."""

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hrdet.distributed import rank
from hrdet.registry import ConfigError, nearest
from hrdet.structures import ImageMeta

_logger = logging.getLogger('hrdet')


class Evaluator(ABC):
    """Metrics of one data set, whatever the task.

    Every process updates its evaluator with the images that it predicts; ``compute`` then is
    called on every process and reduces over all of them.  An evaluator serves many evaluations in
    turn: ``compute`` ends one, the next ``update`` begins another.
    """

    formats: tuple[str, ...] = ()  # suffixes of the files that ``write`` makes; '': a folder
    choices: Mapping[str, Any] | Sequence[str] = ()  # what --eval may name
    chosen_by: ClassVar[str] = ''  # the argument that takes these names; '': there is no choice

    @abstractmethod
    def update(self, meta: ImageMeta, result: Any) -> None:
        """Take the model's result for one image of the data set."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The metrics over all processes, unrounded, the most important first.

        Called on every process, which all get the same metrics; rank 0 logs a table.
        """

    def confusion_matrix(self) -> np.ndarray | None:
        """(K, K) counts of the last evaluation by true and predicted class, on rank 0.

        None where results are not one of the classes each.
        """
        return None

    @classmethod
    def choose(cls, metrics: Sequence[str]) -> dict[str, Any]:
        """Arguments of an evaluator that measures ``metrics``, as ``--eval`` names them.

        Raises:
            ConfigError: evaluators of this class do not measure one of them.
        """
        for name in metrics:
            if name not in cls.choices:
                listed = ', '.join(cls.choices) or 'only what its own arguments say'
                raise ConfigError(
                    f"--eval {name}: the config's evaluator {cls.__name__} measures {listed}"
                    f'{nearest(name, cls.choices)}'
                )
        return {cls.chosen_by: list(metrics)} if cls.chosen_by else {}

    def write_to(self, path: str | os.PathLike) -> None:
        """Announce ``path`` before an evaluation whose results ``write`` will put there.

        Raises:
            ConfigError: results are not written in this form.
        """
        if Path(path).suffix not in self.formats:
            forms = [form or 'a folder (a name without suffix)' for form in self.formats]
            listed = ' or '.join(forms) or 'no file: the evaluator keeps none'
            raise ConfigError(f'--out {path}: the results are written as {listed}')

    def write(self, path: str | os.PathLike) -> None:
        """Write the results of the last evaluation, on rank 0."""
        raise ConfigError(f'{path}: {type(self).__name__} keeps no results that it could write')

    def __call__(self, results: Iterable[tuple[ImageMeta, Any]]) -> dict[str, float]:
        """The metrics of results at hand."""
        for meta, result in results:
            self.update(meta, result)
        return self.compute()


def by_image(pairs: Iterable[tuple[ImageMeta, Any]], image_ids: Sequence) -> dict[Any, Any]:
    """The results by image id, in the order of the data set.

    Raises:
        ValueError: an image of the data set is missing, duplicated, or not in the data set.
    """
    # A sampler that repeats or skips images would change the metrics silently.
    results: dict[Any, Any] = {}
    known = set(image_ids)
    for meta, result in pairs:
        if meta.image_id not in known:
            raise ValueError(f'image {meta.image_id} ({meta.path}) is not in the data set')
        if meta.image_id in results:
            raise ValueError(f'image {meta.image_id} ({meta.path}) was evaluated twice')
        results[meta.image_id] = result
    absent = [image for image in image_ids if image not in results]
    if absent:
        raise ValueError(
            f'evaluated {len(results):,} of {len(image_ids):,} images; missing: '
            f'{", ".join(map(str, absent[:5]))}{", ..." if len(absent) > 5 else ""}'
        )
    return {image: results[image] for image in image_ids}


def log_table(text: str) -> None:
    """Log a table of several lines on rank 0."""
    if rank() == 0:
        _logger.info('\n%s', text.rstrip())
