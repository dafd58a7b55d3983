"""The line of a training log."""

from hrdet.tracking.training_log import log_line

ENTRY = dict(epoch=1, iter=10, step=10, lr=0.02, eta=60, time=1.0, data_time=0.1, memory=5)


def test_losses_of_stages_are_in_the_line():
    losses = {'loss_rpn_cls': 0.5, 's0.loss_cls': 0.25, 'loss': 0.75}
    line = log_line(ENTRY | losses, 100, 200, by_epoch=True)
    assert line.startswith('Epoch [1][10/100] lr 2.0e-02 1.000 s eta 0:01:00')
    assert line.endswith('loss 0.750: rpn_cls 0.50 s0.cls 0.25')


def test_a_line_has_110_columns_at_most():
    losses = {f's{i}.loss_{name}': 1.0 for i in range(3) for name in ('cls', 'bbox', 'mask')}
    line = log_line(ENTRY | losses | {'loss': 9.0}, 7330, 87960, by_epoch=False)
    assert len(line) <= 110
    assert line.startswith('Iter [10/87960]')
    assert line.endswith(' ...')


def test_four_losses_fit():
    losses = {f'loss_{name}': 0.1 for name in ('rpn_cls', 'rpn_bbox', 'cls', 'bbox')}
    line = log_line(ENTRY | dict(epoch=12, iter=7330) | losses | {'loss': 2.3}, 7330, 87960, True)
    assert line.endswith(': rpn_cls 0.10 rpn_bbox 0.10 cls 0.10 bbox 0.10')
