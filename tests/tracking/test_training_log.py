"""The lines of a training log, and when its curves are drawn."""

from pathlib import Path
from types import SimpleNamespace

from hrdet.tracking import training_log
from hrdet.tracking.training_log import TrainingLog, log_line

ENTRY = dict(epoch=1, iter=10, step=10, lr=0.02, eta=60, time=1.0, data_time=0.1, memory=5)


def test_losses_of_stages_are_in_the_line():
    losses = {'loss_rpn_cls': 0.5, 's0.loss_cls': 0.25, 'loss': 0.75}
    line = log_line(ENTRY | losses, 100, 200, by_epoch=True)
    assert line.startswith('Epoch [1][10/100] lr 2.0e-02 1.00 s/it eta 0:01:00')
    assert line.endswith('loss 0.750: rpn_cls 0.50 ...')


def test_a_line_has_100_columns_at_most_with_its_time():
    losses = {f's{i}.loss_{name}': 1.0 for i in range(3) for name in ('cls', 'bbox', 'mask')}
    line = log_line(ENTRY | losses | {'loss': 9.0}, 7330, 87960, by_epoch=False)
    assert len(line) + len('11/30 22:00:00 ') <= 100
    assert line.startswith('Iter [10/87960]')
    assert line.endswith(' ...')


def test_an_accuracy_is_in_the_line_and_a_single_loss_is_not():
    values = {'decode.loss_ce': 1.5, 'decode.acc_seg': 61.25, 'loss': 1.5}
    line = log_line(ENTRY | values, 100, 200, by_epoch=False)
    assert line.endswith('loss 1.500: acc_seg 61.25')


def test_drawing_takes_a_small_share_of_the_time(monkeypatch):
    """Evaluations a second apart, drawings of 2 s: not in the first 10 s, then 40 s apart."""
    now, drawn = 0.0, []

    def draw(log):
        nonlocal now
        drawn.append(now)
        now += 2

    clock = SimpleNamespace(monotonic=lambda: now, perf_counter=lambda: now)
    monkeypatch.setattr(training_log, 'time', clock)
    monkeypatch.setattr(training_log, 'draw_curves', draw)
    log = TrainingLog(10, SimpleNamespace(log=lambda *args: None))
    trainer = SimpleNamespace(epoch=1, iter=1, work_dir=Path('run'))
    monkeypatch.setattr(log, '_write', lambda *args: None)
    while now < 100:
        log.validation(trainer, {})
        now += 1
    assert drawn == [10, 52, 94]
