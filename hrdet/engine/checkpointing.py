"""Write the checkpoints of a run: names, content, and how many are kept."""

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import hrdet
from hrdet.checkpoints import CheckpointError
from hrdet.checkpoints.disk import link, read_meta, scores_of, write_checkpoint
from hrdet.distributed import broadcast_buffers, on_rank_0, world_size
from hrdet.tracking import NonFiniteLoss

if TYPE_CHECKING:
    from hrdet.engine.trainer import Trainer

LATEST, FINAL = 'latest.pth', 'model_final.pth'


class Checkpoints:
    """Writes ``latest``, ``epoch_N`` or ``iter_N``, ``best_<metric>`` and ``model_final.pth``.

    ``latest`` and numbered ones hold what a resume needs, as hard links to one file where the file
    system has them: every file is written under a temporary name and renamed, never changed in
    place.  ``model_final.pth`` and ``best_<metric>.pth``, by the first of the evaluator's metrics,
    hold weights only, the latter its metrics in the meta.

    Args:
        interval: epochs, or iterations, between the numbered checkpoints.
        max_keep: how many numbered ones stay; -1 keeps all.
        interval_minutes: ``latest.pth`` is written again after this time; None: no limit.
    """

    def __init__(
        self,
        work_dir: Path,
        interval: int = 1,
        max_keep: int = 2,
        interval_minutes: float | None = 10,
    ) -> None:
        self.work_dir, self.interval, self.max_keep = work_dir, interval, max_keep
        self.max_age = math.inf if interval_minutes is None else 60 * interval_minutes  # seconds
        self.best: dict[str, float] = {}  # score by metric
        self.saved_iter = -1  # of latest.pth as this run wrote it
        self.saved_at = time.monotonic()

    def save(self, trainer: 'Trainer') -> None:
        """Write ``latest.pth`` unless it holds this iteration; called on every process.

        Raises:
            NonFiniteLoss: a loss since the last check, or a weight, is not finite.
            OSError: the file cannot be written.  Either is raised everywhere; nothing is changed.
        """
        if self.saved_iter != trainer.iter:
            self._write(trainer, LATEST, resumable=True)
            self.saved_iter = trainer.iter
        self.saved_at = time.monotonic()

    def number(self, trainer: 'Trainer') -> None:
        """Give ``latest.pth`` a second name with the number of its epoch or iteration."""
        kind, number = ('epoch', trainer.epoch) if trainer.by_epoch else ('iter', trainer.iter)
        oldest = number - self.max_keep * self.interval if self.max_keep > 0 else 0

        def on_disk() -> None:
            link(self.work_dir / LATEST, self.work_dir / f'{kind}_{number}.pth')
            for old in range(oldest, 0, -self.interval):
                (self.work_dir / f'{kind}_{old}.pth').unlink(missing_ok=True)

        on_rank_0(on_disk)

    def save_best(self, trainer: 'Trainer', metrics: dict[str, float]) -> None:
        """Keep the weights just evaluated if the first metric is the best so far."""
        name, score = next(iter(metrics.items()))
        if score > self.best.get(name, -math.inf):
            self.best[name] = score
            path = self._write(trainer, _best_name(name), metrics=dict(metrics))
            trainer.logger.info(f'best {name} so far, {score:.4f}: {path}')

    def finish(self, trainer: 'Trainer') -> Path:
        """Write the weights as ``model_final.pth`` after the last iteration; returns its path."""
        self.save(trainer)  # if nothing was left to train, perhaps in another folder
        return self._write(trainer, FINAL)

    def read_best(self, trainer: 'Trainer') -> None:
        """Take the scores to beat from the folder of a resumed run.

        Raises:
            CheckpointError: one of the files is damaged.
        """
        # Scores on other validation data cannot be compared.
        data = trainer.meta.get('data', {}).get('val')
        for path in on_rank_0(lambda: sorted(self.work_dir.glob('best_*.pth'))):
            try:
                meta = on_rank_0(read_meta, path)
                scores = scores_of(meta, path)
            except CheckpointError as error:
                raise CheckpointError(f'{error}. Delete it to resume without it') from None
            saved = meta.get('data', {}).get('val')
            if data and saved and data != saved:
                trainer.logger.warning(
                    f'{path}: scored on other data ({saved}); the next evaluation replaces it'
                )
                continue
            self.best |= {n: score for n, score in scores.items() if _best_name(n) == path.name}

    def _write(self, trainer: 'Trainer', name: str, resumable: bool = False, **meta: Any) -> Path:
        # 1. Nothing is written unless losses and weights are finite: an older checkpoint stays.
        trainer.log.losses.check()
        broadcast_buffers(trainer.model)
        path = self.work_dir / name
        for key, value in trainer.model.state_dict().items():
            if not value.isfinite().all():
                raise NonFiniteLoss(f'{key} is not finite after the last step')

        # 2. Rank 0 writes; an error is raised on every process.
        def on_disk() -> None:
            content = checkpoint_of(trainer, resumable, meta)
            trainer.call('before_checkpoint', content)
            write_checkpoint(path, content)
            trainer.call('after_checkpoint', path)

        on_rank_0(on_disk)
        return path


def checkpoint_of(trainer: 'Trainer', resumable: bool, meta: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint holds: weights and meta, and with ``resumable`` the optimizer's state."""
    meta = trainer.meta | meta | dict(hrdet_version=hrdet.__version__, seed=trainer.seed)
    meta |= dict(world_size=world_size(), **trainer.state())
    content: dict[str, Any] = dict(state_dict=_on_cpu(trainer.model.state_dict()), meta=meta)
    if resumable:
        state = _on_cpu(trainer.optimizer.state_dict())
        indices = [index for group in state['param_groups'] for index in group['params']]
        state['without_state'] = [i for i in indices if i not in state['state']]
        state['loss_scaler'] = trainer.step.scaler.state_dict()
        content['optimizer'] = state
        content['schedule'] = [dict(node) for node in trainer.training.schedule]
    if trainer.step.ema is not None:
        trainer.step.ema.add_to(content)
    return content


def _best_name(metric: str) -> str:
    return f'best_{metric.replace("/", "_")}.pth'


def _on_cpu(value: Any) -> Any:
    """Nested dicts and lists with their tensors detached, on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: _on_cpu(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_on_cpu(item) for item in value)
    return value
