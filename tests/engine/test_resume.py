"""A run that stops and resumes is, bit for bit, the run that never stopped."""

import json
import os
import signal

import pytest
import torch

from hrdet.checkpoints import CheckpointError, read_checkpoint
from hrdet.engine import Hook
from tests.engine import toy_run


class StopAfter(Hook):
    """Sends this process a signal during the n-th iteration."""

    def __init__(self, n: int, signum: int = signal.SIGINT) -> None:
        self.n, self.signum = n, signum

    def after_iteration(self, trainer, batch, losses) -> None:
        if trainer.iter == self.n:
            os.kill(os.getpid(), self.signum)


def losses(work_dir) -> dict[int, dict[str, float]]:
    """The logged losses of every iteration."""
    entries = map(json.loads, (work_dir / 'log.jsonl').open())
    return {
        e['step']: {k: v for k, v in e.items() if k.startswith('loss') or k == 'lr'}
        for e in entries
        if e['mode'] == 'train'
    }


def evaluations(work_dir) -> list[dict]:
    """The logged evaluations."""
    return [e for e in map(json.loads, (work_dir / 'log.jsonl').open()) if e['mode'] == 'val']


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


VARIANTS = {
    'sgd': dict(),
    'adamw': dict(optimizer=dict(type='AdamW', lr=0.01), schedule=[]),
    'accumulate': dict(accumulate=2),
    'ema': dict(ema=dict(momentum=0.1)),
    'bf16': dict(amp='bfloat16'),
    'fp16': dict(amp='float16'),
    'paramwise': dict(
        optimizer=dict(
            type='SGD',
            lr=0.05,
            momentum=0.9,
            weight_decay=1e-3,
            paramwise_cfg=dict(norm_decay_mult=0.0, bias_lr_mult=2.0),
        )
    ),
}


@pytest.mark.parametrize('variant', VARIANTS)
@pytest.mark.parametrize('stop_at', [3, 5, 7])  # within an epoch of 5, at its end, in the next
def test_resumed_run_equals_the_uninterrupted_one(tmp_path, variant, stop_at):
    change = dict(log_interval=1, **VARIANTS[variant])
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    assert toy_run.trainer(whole, toy_run.settings(**change)).run() == 0

    first = toy_run.trainer(parts, toy_run.settings(**change), hooks=[StopAfter(stop_at)])
    assert first.run() == 128 + signal.SIGINT
    assert not (parts / 'model_final.pth').exists()
    done = read_checkpoint(parts / 'latest.pth')['meta']['iter']
    # accumulation by two over epochs of five: steps after iterations 2, 4, 5, 7, 9, 10
    assert done == (stop_at + (variant == 'accumulate' and stop_at == 3))

    torch.manual_seed(99)  # whatever the new process drew before
    second = toy_run.trainer(
        parts,
        toy_run.settings(**change),
        resume_from=str(parts / 'latest.pth'),
        model=toy_run.Tiny(),
    )
    second.run()

    assert losses(parts) == losses(whole)
    assert len(losses(whole)) == 10
    assert evaluations(parts) == evaluations(whole)
    best = [read_checkpoint(folder / 'best_bbox_AP.pth') for folder in (parts, whole)]
    assert same(*best)
    ours, theirs = (read_checkpoint(d / 'latest.pth') for d in (parts, whole))
    for key in ('state_dict', 'optimizer', 'schedule', 'ema', 'meta'):
        assert same(ours.get(key), theirs.get(key)), key


def test_another_epoch_length_cannot_resume(tmp_path):
    toy_run.trainer(tmp_path).run()
    with pytest.raises(
        CheckpointError, match=r'epoch_1\.pth: .*5 iterations, here they have 6.*--no-auto-resume'
    ):
        toy_run.trainer(tmp_path, length=12, resume_from=str(tmp_path / 'epoch_1.pth'))


def resumed(work_dir, **changes):
    """A run from epoch 1 on with changed settings, and its log."""
    first, again = work_dir / 'first', work_dir / 'again'
    toy_run.trainer(first).run()
    trainer = toy_run.trainer(
        again, toy_run.settings(**changes), resume_from=str(first / 'epoch_1.pth')
    )
    trainer.run()
    return trainer, (again / 'train.log').read_text()


SGD = dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=1e-4)
WARMUP, STEPS = toy_run.settings().schedule


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            dict(optimizer=SGD | dict(paramwise_cfg=dict(bias_lr_mult=2.0))),
            'parameter groups are others',
        ),
        (dict(optimizer=dict(type='AdamW', lr=0.05)), 'optimizer is of another kind'),
        (dict(schedule=[STEPS]), 'schedules are of other kinds'),
    ],
)
def test_another_optimizer_or_kind_of_schedule_cannot_resume(tmp_path, changes, message):
    with pytest.raises(CheckpointError, match=rf'epoch_1\.pth: .*{message}.*load_from'):
        resumed(tmp_path, **changes)


@pytest.mark.parametrize(
    ('changes', 'told'),
    [
        (
            dict(schedule=[WARMUP, STEPS | dict(milestones=[2], gamma=0.5)], max_epochs=3),
            ['MultiStepLR.milestones: [1], not [2]', 'MultiStepLR.gamma: 0.1, not 0.5'],
        ),
        (dict(schedule=[WARMUP | dict(end=7), STEPS]), ['LinearLR.end: 4, not 7']),
        (dict(optimizer=SGD | dict(lr=0.5)), ['lr: 0.05, not 0.5']),
    ],
)
def test_a_changed_schedule_is_told(tmp_path, changes, told):
    trainer, log = resumed(tmp_path, **changes)
    assert log.count('settings of the checkpoint are used') == 1
    assert all(part in log for part in (*told, 'load_from='))
    assert trainer.optimizer.param_groups[0]['lr'] == pytest.approx(0.005)  # 0.05, after one step


def test_a_longer_run_resumes_without_a_word(tmp_path):
    trainer, log = resumed(tmp_path, max_epochs=4)
    assert trainer.epoch == 4
    assert 'settings of the checkpoint' not in log


def test_weights_alone_cannot_resume(tmp_path):
    toy_run.trainer(tmp_path).run()
    with pytest.raises(ValueError, match=r'no optimizer state.*load_from'):
        toy_run.trainer(tmp_path, resume_from=str(tmp_path / 'best_bbox_AP.pth'))


@pytest.mark.parametrize('ema', [None, dict(momentum=0.1)])
def test_resumed_from_the_end_in_another_folder(tmp_path, ema):
    """No epoch is left: one evaluation, and the checkpoints as if it had been trained there."""
    first, again = tmp_path / 'first', tmp_path / 'again'
    toy_run.trainer(first, toy_run.settings(ema=ema)).run()
    last = str(first / 'latest.pth')
    toy_run.trainer(again, toy_run.settings(ema=ema), resume_from=last).run()
    whole = read_checkpoint(last)
    assert same(read_checkpoint(again / 'latest.pth'), whole)
    final = read_checkpoint(again / 'model_final.pth')
    assert same(final, {key: whole[key] for key in ('state_dict', 'meta')})
    assert read_checkpoint(again / 'best_bbox_AP.pth')['meta']['epoch'] == 2
    assert 'latest.pth: all 10 iterations are done' in (again / 'train.log').read_text()


def test_a_numbered_checkpoint_that_a_kill_prevented(tmp_path):
    """latest.pth was written, and its second name was not."""
    toy_run.trainer(tmp_path, toy_run.settings(max_epochs=1)).run()
    (tmp_path / 'epoch_1.pth').unlink()
    toy_run.trainer(tmp_path, resume_from=str(tmp_path / 'latest.pth')).folder.release()
    assert (tmp_path / 'epoch_1.pth').samefile(tmp_path / 'latest.pth')
