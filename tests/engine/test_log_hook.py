"""The line of a training log."""

from hrdet.engine.log_hook import _line


def test_losses_of_stages_are_in_the_line():
    entry = dict(epoch=1, iter=10, lr=0.02, eta=60, time=1.0, data_time=0.1, memory=5)
    losses = {'loss_rpn_cls': 0.5, 's0.loss_cls': 0.25, 'loss': 0.75}
    line = _line(entry | losses, 100)
    assert line.endswith('memory: 5, loss_rpn_cls: 0.5000, s0.loss_cls: 0.2500, loss: 0.7500')
