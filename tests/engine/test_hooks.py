"""A user's hooks, in the order of a run's moments; early stopping; runs that count iterations."""

import json
import signal

import pytest

from hrdet.checkpoints import read_checkpoint
from hrdet.data import DataError
from hrdet.engine import Hook
from hrdet.registry import ConfigError
from tests.engine import toy_run
from tests.engine.test_resume import StopAfter, evaluations, losses, same


class Moments(Hook):
    """Writes down what is called, with the finished iterations."""

    def __init__(self):
        self.calls = []


def _recorder(name):
    def moment(self, trainer, *arguments):
        self.calls.append((name, trainer.iter))

    return moment


for _name in [name for name in vars(Hook) if not name.startswith('_')]:
    setattr(Moments, _name, _recorder(_name))


def test_the_moments_of_a_run(tmp_path):
    hook = Moments()
    settings = toy_run.settings(max_epochs=1, log_interval=5)
    toy_run.trainer(tmp_path, settings, hooks=[hook]).run()
    begin = [('before_run', 0), ('after_log', 0), ('before_epoch', 0)]
    steps = [
        call
        for i in range(5)
        for call in [('before_iteration', i), *[('after_log', 5)] * (i == 4)]
        + [('after_iteration', i + 1)]
    ]
    write = [('before_checkpoint', 5), ('after_checkpoint', 5)]
    evaluation = [('before_validation', 5), ('after_validation', 5)]
    # The best checkpoint, the metrics, the final weights.
    end = [*write, ('after_log', 5), *write, ('after_run', 5)]
    assert hook.calls == [*begin, *steps, ('after_epoch', 5), *write, *evaluation, *end]


def test_what_a_hook_puts_into_the_checkpoint_comes_back(tmp_path):
    class Counter(Hook):
        count = 0

        def after_iteration(self, trainer, batch, losses):
            self.count += 1

        def before_checkpoint(self, trainer, checkpoint):
            checkpoint['counter'] = self.count

        def after_resume(self, trainer, checkpoint):
            self.count = checkpoint['counter']

    toy_run.trainer(tmp_path, hooks=[Counter()]).run()
    hook = Counter()
    toy_run.trainer(tmp_path, hooks=[hook], resume_from=str(tmp_path / 'epoch_1.pth')).run()
    assert hook.count == 10


def test_a_hook_ends_the_run_with_its_reason(tmp_path):
    class Enough(Hook):
        def after_iteration(self, trainer, batch, losses):
            if trainer.iter == 3:
                trainer.stop('three are enough')

    trainer = toy_run.trainer(tmp_path, hooks=[Enough()])
    assert trainer.run() == 0
    assert [e['step'] for e in evaluations(tmp_path)] == [3]
    assert read_checkpoint(tmp_path / 'model_final.pth')['meta']['iter'] == 3
    last = (tmp_path / 'train.log').read_text().splitlines()[-1]
    assert 'three are enough' in last


STOPPING = dict(max_epochs=6, early_stopping=dict(patience=2, min_delta=0.05), log_interval=1)


def test_early_stopping(tmp_path):
    """0.52 is no improvement of 0.5 by more than 0.05."""
    scores = toy_run.Scores(0.3, 0.5, 0.52, 0.4, 0.9)
    toy_run.trainer(tmp_path, toy_run.settings(**STOPPING), evaluator=scores).run()
    assert [e['bbox_AP'] for e in evaluations(tmp_path)] == [0.3, 0.5, 0.52, 0.4]
    last = (tmp_path / 'train.log').read_text().splitlines()[-1]
    assert 'early stopping: bbox_AP has not improved by more than 0.05 in 2 evaluations' in last
    assert read_checkpoint(tmp_path / 'model_final.pth')['meta']['epoch'] == 4


@pytest.mark.parametrize('stop_at', [9, 10, 12])  # before, at and after the end of an epoch
def test_early_stopping_after_a_resume(tmp_path, stop_at):
    scores = [0.5, 0.3, 0.4, 0.9]
    settings = toy_run.settings(**STOPPING)
    first = toy_run.trainer(
        tmp_path, settings, evaluator=toy_run.Scores(*scores), hooks=[StopAfter(stop_at)]
    )
    first.run()
    left = toy_run.Scores(*scores[len(evaluations(tmp_path)) :])
    latest = str(tmp_path / 'latest.pth')
    toy_run.trainer(tmp_path, settings, evaluator=left, resume_from=latest).run()
    assert [e['bbox_AP'] for e in evaluations(tmp_path)] == [0.5, 0.3, 0.4]
    again = toy_run.trainer(tmp_path, settings, resume_from=latest)
    again.run()
    assert again.iter == 15


def test_early_stopping_on_an_unknown_metric(tmp_path):
    settings = toy_run.settings(early_stopping=dict(patience=1, metric='bbox_Ap'))
    with pytest.raises(ConfigError, match=r"no 'bbox_Ap'; did you mean 'bbox_AP'"):
        toy_run.trainer(tmp_path, settings).run()


ITERATIONS = dict(
    max_epochs=None,
    max_iters=12,
    val_interval=4,
    checkpoint=dict(interval=3, max_keep=2),
    schedule=[dict(type='PolyLR', power=0.9, eta_min=1e-4, by_epoch=False)],
    log_interval=1,
)


def test_a_run_of_iterations(tmp_path):
    """Epochs have five: the evaluations are within them."""
    settings = toy_run.settings(**ITERATIONS)
    trainer = toy_run.trainer(tmp_path, settings)
    trainer.run()
    assert [e['step'] for e in evaluations(tmp_path)] == [4, 8, 12]
    numbered = {p.name for p in tmp_path.glob('iter_*.pth')}
    assert numbered == {'iter_9.pth', 'iter_12.pth'}
    assert not list(tmp_path.glob('epoch_*'))
    assert read_checkpoint(tmp_path / 'model_final.pth')['meta']['iter'] == 12
    log = (tmp_path / 'train.log').read_text()
    assert 'Iter [12/12]' in log
    rates = [e['lr'] for e in losses(tmp_path).values()]
    assert rates[0] == pytest.approx(0.05)
    assert rates[6] == pytest.approx(1e-4 + (0.05 - 1e-4) * (1 - 6 / 11) ** 0.9)


@pytest.mark.parametrize('stop_at', [2, 4, 5, 8, 11])
@pytest.mark.parametrize('accumulate', [1, 2])
def test_a_resumed_run_of_iterations(tmp_path, stop_at, accumulate):
    settings = toy_run.settings(**ITERATIONS, accumulate=accumulate)
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    toy_run.trainer(whole, settings).run()
    first = toy_run.trainer(parts, settings, hooks=[StopAfter(stop_at)])
    assert first.run() == 128 + signal.SIGINT
    toy_run.trainer(parts, settings, resume_from=str(parts / 'latest.pth')).run()
    assert losses(parts) == losses(whole)
    assert evaluations(parts) == evaluations(whole)
    ours, theirs = (read_checkpoint(d / 'latest.pth') for d in (parts, whole))
    assert same(ours['state_dict'], theirs['state_dict'])
    assert same(ours['optimizer'], theirs['optimizer'])


def test_an_error_of_the_data_leaves_a_state_to_resume_from(tmp_path):
    class Broken(toy_run.Noise):
        def __getitem__(self, key):
            if key[1] == 1 and key[0] == 3:  # in the second epoch
                raise DataError('image_3.jpg: cannot be decoded')
            return super().__getitem__(key)

    trainer = toy_run.trainer(tmp_path)
    order = list(trainer.loader.batch_sampler)
    trainer.loader.dataset.__class__ = Broken
    with pytest.raises(DataError, match=r'image_3\.jpg'):
        trainer.run()
    assert len(order) == 5
    done = json.loads((tmp_path / 'log.jsonl').read_text().splitlines()[-1])
    meta = read_checkpoint(tmp_path / 'latest.pth')['meta']
    assert meta['iter'] == trainer.iter >= 5
    assert done['step'] <= meta['iter']


def test_a_worker_that_dies_in_the_middle_of_a_step_leaves_no_state_of_that_step(tmp_path):
    """torch's own loader raises the error anywhere: here between optimizer and schedule."""
    trainer = toy_run.trainer(tmp_path, toy_run.settings(max_epochs=1))
    step, count = trainer.optimizer.step, 0

    def killed(*arguments):
        nonlocal count
        count += 1
        step(*arguments)
        if count == 3:
            raise RuntimeError('DataLoader worker (pid 7) is killed by signal: Killed.')

    trainer.optimizer.step = killed
    with pytest.raises(RuntimeError, match='DataLoader worker'):
        trainer.run()
    assert not (tmp_path / 'latest.pth').exists(), 'weights of 3 iterations, called 2'
