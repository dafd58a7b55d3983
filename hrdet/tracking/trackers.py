"""Trackers of metrics, learning rate and sample pictures; their errors never stop a training."""

import errno
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hrdet.distributed import rank
from hrdet.registry import build, register
from hrdet.structures import ImageMeta
from hrdet.visualize import draw

logger = logging.getLogger('hrdet')
LOG_FILE = 'log.jsonl'


class Tracker:
    """Base class of trackers; a custom one is registered and named in ``trackers``."""

    def log(self, entry: dict[str, Any]) -> None:
        """``mode`` ('start', 'train', 'val'), ``step`` (finished iterations), and numbers."""
        raise NotImplementedError

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        """A sample prediction, (h, w, 3) uint8 RGB; by default it is left out."""

    def close(self) -> None:
        """The run is over."""


def numbers(entry: dict[str, Any]) -> dict[str, float]:
    """The numbers of an entry, by ``mode/name``."""
    values = {k: v for k, v in entry.items() if isinstance(v, (int, float)) and k != 'step'}
    return {f'{entry["mode"]}/{name}': value for name, value in values.items()}


class JsonLines(Tracker):
    """``log.jsonl``: one JSON object per line; a line is written completely or not at all."""

    def __init__(self, work_dir: str) -> None:
        self.path = Path(work_dir) / LOG_FILE
        self._checked = False

    def log(self, entry: dict[str, Any]) -> None:
        if not self._checked:
            self._remove_torn_line()
            self._checked = True
        line = (json.dumps(entry) + '\n').encode()
        with self.path.open('ab', buffering=0) as file:
            # One write for the whole line; if it was cut short, remove it again.
            start = file.tell()
            if file.write(line) != len(line):
                file.truncate(start)
                raise OSError(errno.ENOSPC, 'the disk is full', str(self.path))

    def entries(self) -> list[dict[str, Any]]:
        """The entries of the log; lines that are not valid entries are skipped."""
        entries = []
        try:
            for line in self.path.read_bytes().splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                if isinstance(entry, dict) and isinstance(entry.get('step'), int):
                    entries.append(entry)
        except OSError:
            pass
        return entries

    def _remove_torn_line(self) -> None:
        content = self.path.read_bytes() if self.path.exists() else b''
        # Whatever follows the last line end was cut off by a crash.
        whole, newline, torn = content.rpartition(b'\n')
        if not torn:
            return
        # Keep the torn line in a file of its own, and end the log with the last whole line.
        aside = self.path.with_name(f'{LOG_FILE}.torn')
        with aside.open('ab') as file:
            file.write(torn + b'\n')
        with self.path.open('r+b') as file:
            file.truncate(len(whole) + len(newline))
        logger.warning(f'{self.path}: its last line was incomplete and is now in {aside.name}')


@register('TensorBoard')
class TensorBoard(Tracker):
    """Event files in the work folder."""

    def __init__(self, work_dir: str) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(Path(work_dir) / 'tensorboard'))

    def log(self, entry: dict[str, Any]) -> None:
        for name, value in numbers(entry).items():
            self.writer.add_scalar(name, value, entry['step'])

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        self.writer.add_image(name, image, step, dataformats='HWC')

    def close(self) -> None:
        self.writer.close()


@register('WandB')
class WandB(Tracker):
    """Weights & Biases."""

    def __init__(
        self, work_dir: str, project: str = 'hrdet', name: str | None = None, **options: Any
    ) -> None:
        import wandb

        self.wandb = wandb
        name = name or Path(work_dir).name
        self.run = wandb.init(project=project, name=name, dir=work_dir, resume='allow', **options)

    def log(self, entry: dict[str, Any]) -> None:
        self.run.log(numbers(entry), step=entry['step'])

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        self.run.log({name: self.wandb.Image(image)}, step=step)

    def close(self) -> None:
        self.run.finish()


@register('MLflow')
class MLflow(Tracker):
    """MLflow, at its default server or at ``tracking_uri``."""

    def __init__(
        self,
        work_dir: str,
        experiment: str = 'hrdet',
        name: str | None = None,
        tracking_uri: str | None = None,
    ) -> None:
        import mlflow

        self.mlflow = mlflow
        if tracking_uri:
            mlflow.set_tracking_uri(tracking_uri)
        mlflow.set_experiment(experiment)
        mlflow.start_run(run_name=name or Path(work_dir).name)

    def log(self, entry: dict[str, Any]) -> None:
        self.mlflow.log_metrics(numbers(entry), step=entry['step'])

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        self.mlflow.log_image(image, key=name.replace('/', '_'), step=step)

    def close(self) -> None:
        self.mlflow.end_run()


class Trackers:
    """Passes entries and pictures to every tracker; the first failure of each is one warning."""

    def __init__(self, work_dir: Path, others: Sequence[Tracker] = ()) -> None:
        self.json_lines = JsonLines(str(work_dir))
        self.trackers = [self.json_lines, *others]
        self._warned: set[int] = set()

    @property
    def show_pictures(self) -> bool:
        """Whether a tracker takes pictures, so that they are worth drawing."""
        return any(type(tracker).picture is not Tracker.picture for tracker in self.trackers)

    def log(self, entry: dict[str, Any]) -> None:
        self._each('log', entry)

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        self._each('picture', name, image, step)

    def close(self) -> None:
        self._each('close')

    def _each(self, method: str, *arguments: Any) -> None:
        # Each tracker by itself: one that fails must not keep the others from the entry.
        for index, tracker in enumerate(self.trackers):
            try:
                getattr(tracker, method)(*arguments)
            except Exception as error:  # noqa: PERF203 - each is on its own
                if index not in self._warned:
                    self._warned.add(index)
                    logger.warning(
                        f'{type(tracker).__name__}: {type(error).__name__}: {error}. Training '
                        f'continues; what this tracker misses from now on is not repeated'
                    )


class SamplePictures:
    """A consumer of predictions that draws the first few of an evaluation for the trackers.

    ``step`` is the number of finished iterations.
    """

    def __init__(self, trackers: Trackers, dataset: Any, step: int, count: int = 4) -> None:
        self.trackers, self.dataset, self.step = trackers, dataset, step
        # ``SequentialShard`` gives rank 0 the first images of the data set, in order.
        self._waiting = list(range(count)) if rank() == 0 and trackers.show_pictures else []

    def update(self, meta: ImageMeta, result: Any) -> None:
        """Draw a result; an error is a warning."""
        if not self._waiting:
            return
        dataset, index = self.dataset, self._waiting.pop(0)
        try:
            beside = dict(palette=dataset.palette, truth=dataset.truth(index))
            image = draw(dataset.image(index), result.numpy(), dataset.classes, **beside)
        except Exception as error:
            logger.warning(f'{meta.path}: no sample picture of it ({error})')
            return
        self.trackers.picture(f'val/{Path(meta.path).stem}', image[..., ::-1], self.step)


def build_trackers(nodes: Sequence[dict[str, Any]], work_dir: Path) -> list[Tracker]:
    """The trackers of a config, on rank 0; one whose package is not installed is reported."""
    trackers = []
    for node in nodes if rank() == 0 else ():
        try:
            trackers.append(build(node, work_dir=str(work_dir)))
        except ImportError as error:  # noqa: PERF203 - each is on its own
            # The configs of 2019 ask for TensorBoard, whether or not it is wanted.
            level = logging.INFO if node['type'] == 'TensorBoard' else logging.WARNING
            logger.log(level, f'{node["type"]} gets nothing: pip install {error.name}')
    return trackers
