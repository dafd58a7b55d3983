"""A run that stops and resumes is, bit for bit, the run that never stopped."""

import json
import os
import signal

import pytest
import torch
from mmengine.hooks import Hook

from hrdet.checkpoints import CheckpointError, read_checkpoint
from tests.engine import standin


class StopAfter(Hook):
    """Sends this process a signal during the n-th iteration."""

    def __init__(self, n: int, signum: int = signal.SIGINT) -> None:
        self.n, self.signum = n, signum

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if runner.iter + 1 == self.n:
            os.kill(os.getpid(), self.signum)


def losses(work_dir) -> dict[int, dict[str, float]]:
    """The logged losses of every iteration."""
    entries = map(json.loads, (work_dir / 'log.jsonl').open())
    return {
        e['step']: {k: v for k, v in e.items() if k.startswith('loss') or k == 'lr'}
        for e in entries
        if e['mode'] == 'train'
    }


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
    change = dict(log=dict(interval=1), **VARIANTS[variant])
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    standin.runner(whole, standin.settings(**change)).train()

    first = standin.runner(
        parts, standin.settings(runner_fields=dict(custom_hooks=[StopAfter(stop_at)]), **change)
    )
    first.train()
    assert first.train_loop.stopped_by == signal.SIGINT
    assert not (parts / 'model_final.pth').exists()
    done = read_checkpoint(parts / 'latest.pth')['meta']['iter']
    # accumulation by two over epochs of five: steps after iterations 2, 4, 5, 7, 9, 10
    assert done == (stop_at + (variant == 'accumulate' and stop_at == 3))

    torch.manual_seed(99)  # whatever the new process drew before
    second = standin.runner(
        parts,
        standin.settings(**change),
        load_from=str(parts / 'latest.pth'),
        resume=True,
        model=standin.Tiny(),
    )
    second.train()

    assert losses(parts) == losses(whole)
    assert len(losses(whole)) == 10
    ours, theirs = (read_checkpoint(d / 'model_final.pth') for d in (parts, whole))
    for key in ('state_dict', 'optimizer', 'param_schedulers', 'ema', 'meta'):
        assert same(ours.get(key), theirs.get(key)), key


def test_another_epoch_length_cannot_resume(tmp_path):
    standin.runner(tmp_path).train()
    longer = standin.runner(
        tmp_path, length=12, load_from=str(tmp_path / 'epoch_1.pth'), resume=True
    )
    with pytest.raises(
        CheckpointError, match=r'epoch_1\.pth: .*5 iterations, here they have 6.*--no-auto-resume'
    ):
        longer.train()


def resumed(work_dir, **changes):
    """A run from epoch 1 on with changed settings, and its log."""
    first, again = (work_dir / f'{work_dir.name}_{name}' for name in ('first', 'again'))
    standin.runner(first).train()  # a logger is known by the folder's name and the second
    runner = standin.runner(
        again,
        standin.settings(**changes),
        load_from=str(first / 'epoch_1.pth'),
        resume=True,
    )
    runner.train()
    return runner, ''.join(p.read_text() for p in again.rglob('*.log'))


SGD = dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=1e-4)
WARMUP, STEPS = standin.settings().schedule


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(optimizer=SGD | dict(paramwise_cfg=dict(bias_lr_mult=2.0))), 'parameter group'),
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
    runner, log = resumed(tmp_path, **changes)
    assert log.count('settings of the checkpoint are used') == 1
    assert all(part in log for part in (*told, 'load_from='))
    assert runner.optim_wrapper.get_lr()['lr'] == pytest.approx([0.005])  # 0.05, after one step


def test_a_longer_run_resumes_without_a_word(tmp_path):
    runner, log = resumed(tmp_path, max_epochs=4)
    assert runner.epoch == 4
    assert 'settings of the checkpoint' not in log


def test_weights_alone_cannot_resume(tmp_path):
    standin.runner(tmp_path).train()
    again = standin.runner(tmp_path, load_from=str(tmp_path / 'best_bbox_AP.pth'), resume=True)
    with pytest.raises(ValueError, match=r'no optimizer state.*load_from'):
        again.train()


@pytest.mark.parametrize('ema', [None, dict(momentum=0.1)])
def test_resumed_from_the_end_in_another_folder(tmp_path, ema):
    """No epoch is left: one evaluation, and the checkpoints as if it had been trained there."""
    first, again = tmp_path / 'first', tmp_path / 'again'
    standin.runner(first, standin.settings(ema=ema)).train()
    last = str(first / 'latest.pth')
    standin.runner(again, standin.settings(ema=ema), load_from=last, resume=True).train()
    whole = read_checkpoint(last)
    for name in ('latest.pth', 'model_final.pth'):
        assert same(read_checkpoint(again / name), whole), name
    assert read_checkpoint(again / 'best_bbox_AP.pth')['meta']['epoch'] == 2
