"""Whole runs of the stand-in: files, logs, the best checkpoint, mistakes, signals."""

import json
import logging
import os
import signal

import pytest
import torch
from mmengine.hooks import Hook

from hrdet.checkpoints import read_checkpoint
from hrdet.engine import checkpoint_hook
from hrdet.engine import runner as engine_runner
from hrdet.engine.loss_record import NonFiniteLoss
from tests.engine import standin


def entries(folder, mode):
    return [e for e in map(json.loads, (folder / 'log.jsonl').open()) if e['mode'] == mode]


class Scores:
    """An evaluator with a script."""

    def __init__(self, *scores: float) -> None:
        self.scores = list(scores)

    def __call__(self, predictions) -> dict[str, float]:
        return {'bbox_AP': self.scores.pop(0)}


def test_files_of_a_run(tmp_path):
    runner = standin.runner(tmp_path, standin.settings(max_epochs=3, checkpoint=dict(interval=2)))
    runner.train()
    names = {p.name for p in tmp_path.iterdir() if p.suffix == '.pth'}
    assert names == {'latest.pth', 'epoch_2.pth', 'model_final.pth', 'best_bbox_AP.pth'}
    final = read_checkpoint(tmp_path / 'model_final.pth')
    assert final['meta']['epoch'] == 3
    assert final['meta']['iter'] == 15
    assert final['meta']['seed'] == 7
    assert final['meta']['classes'] == ['dark', 'light']
    assert (tmp_path / 'model_final.pth').samefile(tmp_path / 'latest.pth')


def test_old_epochs_are_dropped(tmp_path):
    settings = standin.settings(max_epochs=4, checkpoint=dict(interval=1, max_keep=2))
    standin.runner(tmp_path, settings).train()
    assert {p.name for p in tmp_path.glob('epoch_*')} == {'epoch_3.pth', 'epoch_4.pth'}


def test_links_where_there_are_none(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError('no links here')

    monkeypatch.setattr(os, 'link', refuse)
    (tmp_path / 'a').write_text('new')
    (tmp_path / 'b').write_text('old')
    checkpoint_hook.link(tmp_path / 'a', tmp_path / 'b')
    assert (tmp_path / 'b').read_text() == 'new'
    assert len(list(tmp_path.iterdir())) == 2


def test_best_is_kept_over_a_resume(tmp_path):
    first = standin.runner(tmp_path, standin.settings(max_epochs=2))
    first._val_evaluator = Scores(0.5, 0.3)
    first.train()
    best = read_checkpoint(tmp_path / 'best_bbox_AP.pth')
    assert (best['meta']['epoch'], best['meta']['metrics']) == (1, {'bbox_AP': 0.5})
    assert 'optimizer' not in best
    latest = str(tmp_path / 'latest.pth')
    second = standin.runner(tmp_path, standin.settings(max_epochs=4), load_from=latest, resume=True)
    second._val_evaluator = Scores(0.4, 0.6)
    second.train()
    best = read_checkpoint(tmp_path / 'best_bbox_AP.pth')
    assert (best['meta']['epoch'], best['meta']['metrics']) == (4, {'bbox_AP': 0.6})


def test_averaged_weights_are_what_is_tested_and_published(tmp_path):
    tested = {}

    class Watch(Hook):
        priority = 'LOWEST'

        def before_val_epoch(self, runner):
            tested.update({k: v.clone() for k, v in runner.bare_model.state_dict().items()})

    settings = standin.settings(
        ema=dict(momentum=0.2), runner_fields=dict(custom_hooks=[Watch()]), max_epochs=1
    )
    runner = standin.runner(tmp_path, settings)
    runner.train()
    for name in ('model_final.pth', 'best_bbox_AP.pth'):
        saved = read_checkpoint(tmp_path / name)['state_dict']
        assert all(torch.equal(saved[key], tested[key]) for key in saved), name
    trained = runner.bare_model.state_dict()
    assert not torch.equal(trained['fc.weight'], tested['fc.weight'])
    saved = read_checkpoint(tmp_path / 'model_final.pth')['ema']['training']
    assert torch.equal(saved['fc.weight'], trained['fc.weight'])


def test_log_holds_what_it_promises(tmp_path):
    standin.runner(tmp_path).train()
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


def test_visualizers_get_the_numbers(tmp_path, monkeypatch):
    runner = standin.runner(tmp_path, standin.settings(max_epochs=1))
    got = []
    monkeypatch.setattr(runner.visualizer, 'add_scalars', lambda d, step: got.append((step, d)))
    runner.train()
    assert [step for step, _ in got] == [2, 4, 5, 5]
    assert {'loss', 'loss_cls', 'lr'} <= set(got[0][1])
    assert 'bbox_AP' in got[-1][1]
    assert not any('step' in d for _, d in got)  # refused by mmengine's TensorBoard writer


def test_slow_loading_is_named_with_its_cause(tmp_path, monkeypatch, caplog):
    import time

    plain = standin.Noise.__getitem__
    monkeypatch.setattr(
        standin.Noise, '__getitem__', lambda self, key: (time.sleep(0.1), plain(self, key))[1]
    )
    runner = standin.runner(tmp_path)
    runner.logger.addHandler(caplog.handler)
    runner.train()
    told = [r.getMessage() for r in caplog.records if 'bottleneck' in r.getMessage()]
    assert len(told) == 1
    assert 'workers_per_gpu=0' in told[0]
    assert 'set data.workers_per_gpu to' in told[0]


def test_non_finite_loss_leaves_the_last_good_checkpoint(tmp_path):
    settings = standin.settings(max_epochs=2, log=dict(interval=50))
    standin.runner(tmp_path, standin.settings(max_epochs=1)).train()
    good = (tmp_path / 'latest.pth').read_bytes()
    runner = standin.runner(
        tmp_path, settings, broken=3, load_from=str(tmp_path / 'latest.pth'), resume=True
    )
    with pytest.raises(NonFiniteLoss, match=r'broken\.jpg'):
        runner.train()
    assert (tmp_path / 'latest.pth').read_bytes() == good
    assert not (tmp_path / 'epoch_2.pth').exists()


def test_non_finite_weights_are_not_saved(tmp_path):
    class Poison(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            if batch_idx == 4:
                runner.bare_model.fc.weight.data[0, 0] = float('nan')

    settings = standin.settings(runner_fields=dict(custom_hooks=[Poison()]))
    with pytest.raises(NonFiniteLoss, match=r'fc\.weight is not finite'):
        standin.runner(tmp_path, settings).train()
    assert not list(tmp_path.glob('*.pth'))


def test_signal_during_evaluation_leaves_at_once(tmp_path):
    class Kill(Hook):
        def before_val_iter(self, runner, batch_idx, data_batch=None):
            os.kill(os.getpid(), signal.SIGTERM)

    settings = standin.settings(runner_fields=dict(custom_hooks=[Kill()]))
    runner = standin.runner(tmp_path, settings)
    before = signal.getsignal(signal.SIGTERM)
    runner.train()
    assert runner.train_loop.stopped_by == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    meta = read_checkpoint(tmp_path / 'latest.pth')['meta']
    assert (meta['epoch'], meta['position']) == (1, 0)
    assert not entries(tmp_path, 'val')


def test_a_finished_run_resumes_to_one_evaluation(tmp_path):
    standin.runner(tmp_path).train()
    latest = tmp_path / 'latest.pth'
    runner = standin.runner(tmp_path, load_from=str(latest), resume=True)
    runner.train()
    assert runner.iter == 10
    assert len(entries(tmp_path, 'val')) == 3


@pytest.mark.parametrize(
    ('enable', 'base', 'factor', 'done'),
    [
        (True, 16, 2 * 2 / 16, 'scaled to 0.0125'),
        (False, 16, 1.0, 'taken as it is'),
        (True, 4, 1.0, 'taken as it is'),
    ],
)
def test_learning_rate_follows_the_actual_batch(tmp_path, caplog, enable, base, factor, done):
    settings = standin.settings(
        auto_scale_lr=dict(enable=enable, base_batch_size=base),
        accumulate=2,
        schedule=[],
        log_level='INFO',
    )
    runner = standin.runner(tmp_path, settings)
    runner.logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO)
    runner.train()
    assert entries(tmp_path, 'train')[0]['lr'] == pytest.approx(0.05 * factor)
    told = '1 process x 2 images x 2 accumulated = 4 images a step'
    (line,) = [r.getMessage() for r in caplog.records if told in r.getMessage()]
    assert done in line


def test_a_config_may_set_runner_fields_itself(tmp_path):
    seen = []

    class Mine(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            seen.append(float(outputs['loss']))

    fields = dict(
        param_scheduler=[dict(type='ConstantLR', factor=0.5, by_epoch=False, end=100)],
        custom_hooks=[Mine()],
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=0.002)),
    )
    standin.runner(tmp_path, standin.settings(runner_fields=fields)).train()
    assert len(seen) == 10
    assert {e['lr'] for e in entries(tmp_path, 'train')} == {0.001}


def test_training_on_a_cpu_keeps_freed_memory(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(engine_runner, 'keep_memory', lambda: told.append('keeps'))
    standin.runner(tmp_path, standin.settings(max_epochs=1)).train()
    assert told == ['keeps']
