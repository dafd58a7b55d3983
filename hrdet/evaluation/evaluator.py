"""The interface of evaluators: take results image by image, and compute metrics at the end."""

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hrdet.distributed import rank
from hrdet.registry import ConfigError, nearest
from hrdet.structures import ImageMeta

if TYPE_CHECKING:
    from hrdet.evaluation.details import Details

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

    def details(self, score_thr: float) -> dict[str, 'Details']:
        """Details of the last evaluation by kind of result ('bbox', ''), on rank 0.

        ``score_thr``: detections below it are in no confusion matrix.
        """
        return {}

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


def table(
    title: str, columns: Sequence[str], rows: Mapping[str, Sequence[float]], width: int = 100
) -> str:
    """A table of fractions in per cent, '-' for those that do not exist (negative, or nan).

    More than 20 rows are in several blocks beside each other, as many as fit into ``width``.
    """
    name_width = min(max(len(title), *map(len, rows)), 30)
    widths = [max(6, len(column) + 1) for column in columns]
    head = f'{title:<{name_width}}' + ''.join(f'{c:>{w}}' for c, w in zip(columns, widths))
    lines = []
    for name, values in rows.items():
        cells = (f'{100 * v:.1f}' if v >= 0 else '-' for v in values)  # nan is not >= 0
        numbers = ''.join(f'{cell:>{w}}' for cell, w in zip(cells, widths))
        lines.append(f'{name[:name_width]:<{name_width}}{numbers}')
    blocks = max(1, (width + 3) // (len(head) + 3)) if len(lines) > 20 else 1
    height = -(-len(lines) // blocks)
    parts = [[head, *lines[start : start + height]] for start in range(0, len(lines), height)]
    return '\n'.join('   '.join(line) for line in zip_longest(*parts, fillvalue=''))


def log_table(text: str) -> None:
    """Log a table of several lines on rank 0."""
    if rank() == 0:
        _logger.info('\n%s', text.rstrip())


def metrics_of(evaluator: Evaluator) -> dict[str, float]:
    """The metrics as plain numbers, which logs and checkpoints hold; numpy's and torch's are not.

    Raises:
        ConfigError: one of them is no number.
    """
    metrics = evaluator.compute()
    for name, value in metrics.items():
        if not isinstance(value, (int, float)) and getattr(value, 'shape', None) != ():
            raise ConfigError(
                f'{type(evaluator).__name__}: the metric {name!r} is {repr(value)[:60]}; compute '
                f'returns one number for each name'
            )
    return {name: float(value) for name, value in metrics.items()}
