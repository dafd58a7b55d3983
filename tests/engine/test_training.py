"""Whole runs of the stand-in: files, logs, the best checkpoint, mistakes, signals."""

import json
import os
import signal
import time

import numpy as np
import pytest
import torch

from hrdet.checkpoints import read_checkpoint
from hrdet.checkpoints.disk import link
from hrdet.engine import Hook
from hrdet.optimize import cpu_training
from hrdet.registry import ConfigError
from hrdet.tracking import NonFiniteLoss, Tracker
from tests.engine import toy_run
from tests.engine.test_resume import same


def entries(folder, mode):
    return [e for e in map(json.loads, (folder / 'log.jsonl').open()) if e['mode'] == mode]


def test_files_of_a_run(tmp_path):
    trainer = toy_run.trainer(tmp_path, toy_run.settings(max_epochs=3, checkpoint=dict(interval=2)))
    trainer.run()
    names = {p.name for p in tmp_path.iterdir() if p.suffix == '.pth'}
    assert names == {'latest.pth', 'epoch_2.pth', 'model_final.pth', 'best_bbox_AP.pth'}
    final = read_checkpoint(tmp_path / 'model_final.pth')
    assert final['meta']['epoch'] == 3
    assert final['meta']['iter'] == 15
    assert final['meta']['seed'] == 7
    assert final['meta']['classes'] == ['dark', 'light']
    latest = read_checkpoint(tmp_path / 'latest.pth')
    assert set(latest) - set(final) == {'optimizer', 'schedule'}
    assert same(final, {key: latest[key] for key in final})


@pytest.mark.parametrize(
    ('options', 'kept'), [({}, 2), (dict(max_keep=3), 3), (dict(max_keep=-1), 4)]
)
def test_old_epochs_are_dropped(tmp_path, options, kept):
    settings = toy_run.settings(max_epochs=4, checkpoint=dict(interval=1, **options))
    toy_run.trainer(tmp_path, settings).run()
    names = {p.name for p in tmp_path.glob('epoch_*')}
    assert names == {f'epoch_{number}.pth' for number in range(5 - kept, 5)}


def test_links_where_there_are_none(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError('no links here')

    monkeypatch.setattr(os, 'link', refuse)
    (tmp_path / 'a').write_text('new')
    (tmp_path / 'b').write_text('old')
    link(tmp_path / 'a', tmp_path / 'b')
    assert (tmp_path / 'b').read_text() == 'new'
    assert len(list(tmp_path.iterdir())) == 2


def test_best_is_kept_over_a_resume(tmp_path):
    scores = toy_run.Scores(0.5, 0.3)
    first = toy_run.trainer(tmp_path, toy_run.settings(max_epochs=2), evaluator=scores)
    first.run()
    best = read_checkpoint(tmp_path / 'best_bbox_AP.pth')
    assert (best['meta']['epoch'], best['meta']['metrics']) == (1, {'bbox_AP': 0.5})
    assert 'optimizer' not in best
    latest = str(tmp_path / 'latest.pth')
    second = toy_run.trainer(
        tmp_path,
        toy_run.settings(max_epochs=4),
        evaluator=toy_run.Scores(0.4, 0.6),
        resume_from=latest,
    )
    second.run()
    best = read_checkpoint(tmp_path / 'best_bbox_AP.pth')
    assert (best['meta']['epoch'], best['meta']['metrics']) == (4, {'bbox_AP': 0.6})


@pytest.mark.parametrize('kind', [np.float32, np.float64, np.int64, torch.tensor])
def test_metrics_of_numpy_and_torch_are_numbers(tmp_path, kind):
    """As an evaluator of one's own computes them; a checkpoint would not be written with them."""
    toy_run.trainer(tmp_path, evaluator=toy_run.Scores(kind(1), kind(0))).run()
    assert [entry['bbox_AP'] for entry in entries(tmp_path, 'val')] == [1, 0]
    best = read_checkpoint(tmp_path / 'best_bbox_AP.pth')['meta']['metrics']['bbox_AP']
    assert (best, type(best)) == (1, float)


def test_a_metric_that_is_no_number_is_named(tmp_path):
    trainer = toy_run.trainer(tmp_path, evaluator=toy_run.Scores([0.5, 0.5]))
    with pytest.raises(ConfigError, match=r"Scores: the metric 'bbox_AP' is \[0\.5, 0\.5\]"):
        trainer.run()


def test_averaged_weights_are_what_is_tested_and_published(tmp_path):
    tested = {}

    class Watch(Hook):
        def before_validation(self, trainer):
            tested.update({k: v.clone() for k, v in trainer.model.state_dict().items()})

    settings = toy_run.settings(ema=dict(momentum=0.2), max_epochs=1)
    trainer = toy_run.trainer(tmp_path, settings, hooks=[Watch()])
    trainer.run()
    for name in ('model_final.pth', 'best_bbox_AP.pth'):
        saved = read_checkpoint(tmp_path / name)['state_dict']
        assert all(torch.equal(saved[key], tested[key]) for key in saved), name
    trained = trainer.model.state_dict()
    assert not torch.equal(trained['fc.weight'], tested['fc.weight'])
    saved = read_checkpoint(tmp_path / 'latest.pth')['ema']['training']
    assert torch.equal(saved['fc.weight'], trained['fc.weight'])


def test_log_holds_what_it_promises(tmp_path):
    toy_run.trainer(tmp_path).run()
    train = entries(tmp_path, 'train')
    assert [(e['epoch'], e['iter'], e['step']) for e in train] == [
        *((1, 2, 2), (1, 4, 4), (1, 5, 5)),
        *((2, 2, 7), (2, 4, 9), (2, 5, 10)),
    ]
    for e in train:
        assert {'lr', 'eta', 'time', 'data_time', 'memory', 'loss_cls', 'loss_reg'} <= set(e)
        assert e['loss'] == pytest.approx(e['loss_cls'] + e['loss_reg'], rel=1e-5)
        assert 0 < e['data_time'] < e['time']
    assert train[0]['lr'] == pytest.approx(0.05 * (1 / 3 + 2 / 9))  # warm-up over four, second
    assert train[-1]['lr'] == pytest.approx(0.005)
    assert [e['epoch'] for e in entries(tmp_path, 'val')] == [1, 2]


class Recorder(Tracker):
    """Keeps what it gets."""

    def __init__(self):
        self.entries = []

    def log(self, entry):
        self.entries.append(entry)


def test_trackers_get_the_numbers(tmp_path):
    tracker = Recorder()
    toy_run.trainer(tmp_path, toy_run.settings(max_epochs=1), trackers=[tracker]).run()
    assert [(e['mode'], e['step']) for e in tracker.entries] == [
        ('start', 0),
        *(('train', step) for step in (2, 4, 5)),
        ('val', 5),
    ]
    assert tracker.entries[0]['unit'] == 'epoch'
    assert {'loss', 'loss_cls', 'lr'} <= set(tracker.entries[1])
    assert 'bbox_AP' in tracker.entries[-1]


def test_slow_loading_is_named_with_its_cause(tmp_path, monkeypatch, caplog):
    plain, now = toy_run.Noise.__getitem__, [0.0]  # in seconds, whatever the machine is busy with

    def load(dataset, key):
        now[0] += 0.1
        return plain(dataset, key)

    def clock():
        now[0] += 0.001
        return now[0]

    monkeypatch.setattr(toy_run.Noise, '__getitem__', load)
    monkeypatch.setattr(time, 'perf_counter', clock)
    trainer = toy_run.trainer(tmp_path)
    trainer.logger.addHandler(caplog.handler)
    trainer.run()
    told = [r.getMessage() for r in caplog.records if 'bottleneck' in r.getMessage()]
    assert len(told) == 1
    assert 'workers_per_gpu=0' in told[0]
    assert 'set data.workers_per_gpu to' in told[0]


def test_non_finite_loss_leaves_the_last_good_checkpoint(tmp_path):
    settings = toy_run.settings(max_epochs=2, log_interval=50)
    toy_run.trainer(tmp_path, toy_run.settings(max_epochs=1)).run()
    good = (tmp_path / 'latest.pth').read_bytes()
    trainer = toy_run.trainer(
        tmp_path, settings, broken=3, resume_from=str(tmp_path / 'latest.pth')
    )
    with pytest.raises(NonFiniteLoss, match=r'broken\.jpg'):
        trainer.run()
    assert (tmp_path / 'latest.pth').read_bytes() == good
    assert not (tmp_path / 'epoch_2.pth').exists()


def test_non_finite_weights_are_not_saved(tmp_path):
    class Poison(Hook):
        def after_iteration(self, trainer, batch, losses):
            if trainer.iter == 5:
                trainer.model.fc.weight.data[0, 0] = float('nan')

    with pytest.raises(NonFiniteLoss, match=r'fc\.weight is not finite'):
        toy_run.trainer(tmp_path, hooks=[Poison()]).run()
    assert not list(tmp_path.glob('*.pth'))


class KillAfter(toy_run.Accuracy):
    """An evaluator during whose n-th update a signal arrives."""

    def __init__(self, n):
        super().__init__()
        self.n = n

    def update(self, meta, result):
        super().update(meta, result)
        self.n -= 1
        if self.n == 0:
            os.kill(os.getpid(), signal.SIGTERM)


def test_signal_during_evaluation_leaves_at_once(tmp_path):
    trainer = toy_run.trainer(tmp_path, evaluator=KillAfter(1))
    before = signal.getsignal(signal.SIGTERM)
    assert trainer.run() == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    meta = read_checkpoint(tmp_path / 'latest.pth')['meta']
    assert (meta['epoch'], meta['position']) == (1, 0)
    assert not entries(tmp_path, 'val')


@pytest.mark.parametrize('update', [3, 8])  # in the evaluation of the first epoch, of the last
def test_an_evaluation_lost_in_a_stop_is_made_up(tmp_path, update):
    """Log and best checkpoint equal those of the run that was not stopped."""
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    toy_run.trainer(whole).run()
    toy_run.trainer(parts, evaluator=KillAfter(update)).run()
    assert len(entries(parts, 'val')) == (update == 8)
    latest = str(parts / 'latest.pth')
    assert toy_run.trainer(parts, resume_from=latest).run() == 0
    assert entries(parts, 'val') == entries(whole, 'val')
    best = [read_checkpoint(folder / 'best_bbox_AP.pth') for folder in (parts, whole)]
    assert same(*best)


def test_an_evaluation_of_another_past_does_not_count(tmp_path):
    """Resumed from the first epoch, the second is trained and evaluated again."""
    toy_run.trainer(tmp_path).run()
    first = str(tmp_path / 'epoch_1.pth')
    toy_run.trainer(tmp_path, resume_from=first, evaluator=KillAfter(1)).run()
    toy_run.trainer(tmp_path, resume_from=str(tmp_path / 'latest.pth')).run()
    assert [e['step'] for e in entries(tmp_path, 'val')] == [5, 10, 10]


def test_a_finished_run_resumes_to_one_evaluation(tmp_path):
    toy_run.trainer(tmp_path).run()
    latest = tmp_path / 'latest.pth'
    trainer = toy_run.trainer(tmp_path, resume_from=str(latest))
    trainer.run()
    assert trainer.iter == 10
    assert len(entries(tmp_path, 'val')) == 3


@pytest.mark.parametrize(
    ('enable', 'base', 'factor', 'done'),
    [
        (True, 16, 2 * 2 / 16, 'scaled to 0.0125'),
        (False, 16, 1.0, 'taken as it is'),
        (True, 4, 1.0, 'taken as it is'),
    ],
)
def test_learning_rate_follows_the_actual_batch(tmp_path, enable, base, factor, done):
    settings = toy_run.settings(
        auto_scale_lr=dict(enable=enable, base_batch_size=base), accumulate=2, schedule=[]
    )
    toy_run.trainer(tmp_path, settings).run()
    assert entries(tmp_path, 'train')[0]['lr'] == pytest.approx(0.05 * factor)
    told = '1 process x 2 images x 2 accumulated = 4 images a step'
    (line,) = [text for text in (tmp_path / 'train.log').read_text().splitlines() if told in text]
    assert done in line


def test_training_on_a_cpu_is_sped_up(tmp_path, monkeypatch):
    """Memory is kept, and 3x3 convolutions are Winograd's; checkpoints know nothing of it."""
    told = []
    monkeypatch.setattr(cpu_training, 'keep_memory', lambda: told.append('keeps'))
    trainer = toy_run.trainer(tmp_path, toy_run.settings(max_epochs=1))
    trainer.model.unused = torch.nn.Conv2d(16, 16, 3, padding=1)
    names = list(trainer.model.state_dict())
    trainer.run()
    assert told == ['keeps']
    assert type(trainer.model.unused) is cpu_training.TrainedConv2d
    assert list(trainer.model.state_dict()) == names
