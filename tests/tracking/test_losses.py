"""The record of losses: values, means, and the iteration that went wrong."""

import pytest
import torch

from hrdet.tracking import LossBuffer, NonFiniteLoss
from tests.engine import toy_run


def batch(*indices):
    return toy_run.collate([toy_run.Noise()[i] for i in indices])


def test_mean_since_the_last_reading():
    record = LossBuffer()
    for i in range(3):
        record.add(i, {'loss_a': torch.tensor(float(i)), 'loss': torch.tensor(2.0 * i)}, batch(i))
        if i == 1:
            record.check()  # as before a checkpoint: must not lose what was read
    assert record.take() == {'loss_a': 1.0, 'loss': 2.0}
    record.add(3, {'loss_a': torch.tensor(5.0), 'loss': torch.tensor(6.0)}, batch(3))
    assert record.take() == {'loss_a': 5.0, 'loss': 6.0}


@pytest.mark.parametrize('value', [float('nan'), float('inf'), float('-inf')])
def test_the_first_bad_iteration_is_named_with_its_images(value):
    record = LossBuffer()
    for i, loss in enumerate([1.0, value, float('nan')]):
        record.add(40 + i, {'loss_a': torch.tensor(1.0), 'loss': torch.tensor(loss)}, batch(i, 9))
    with pytest.raises(NonFiniteLoss) as error:
        record.take()
    assert 'iteration 42: loss_a=1, loss=' in str(error.value)
    assert 'image_1.jpg' in str(error.value)
    assert 'image_9.jpg' in str(error.value)
    assert 'image_0.jpg' not in str(error.value)
    assert 'image_2.jpg' not in str(error.value)


def test_nothing_is_read_before_it_is_asked_for():
    """The only transfer to the host is in check: a meta tensor has no value to transfer."""
    record = LossBuffer()
    record.add(0, {'loss': torch.ones((), device='meta')}, batch(0))
    with pytest.raises(NotImplementedError):
        record.check()
