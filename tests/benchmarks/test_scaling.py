"""What is read off the runs of several processes."""

import pytest
import torch

from benchmarks.exchanges import Exchanges
from benchmarks.scaling import Run, difference, parse_args, table
from tests import forked
from tests.benchmarks import exchanging

ONE = Run(1, 6.0, 0.5, [{'loss_cls': 1.0, 'loss': 2.0}] * 4, {'kinds': {}, 'sizes': {}})
TWO = Run(
    2,
    4.0,
    0.25,
    [{'loss_cls': 1.1, 'loss': 2.0}] * 4,
    {'kinds': {'allreduce_ float32': [4, 2_000_000]}, 'sizes': {'allreduce_ float32': [500_000]}},
)


def test_efficiency_is_against_as_many_times_the_first_run():
    first, second = table([ONE, TWO], 2).splitlines()[-2:]
    assert first == '| 1 | 2 | 6.000 | 0.500 | 0.333 | 100% | 0 | 0.00 |'
    assert second == '| 2 | 1 | 4.000 | 0.250 | 0.500 | 75% | 4 | 2.00 |'


def test_losses_differ_in_units_of_the_whole_loss():
    assert difference(ONE, TWO) == pytest.approx([0.05] * 4)


def test_images_must_be_shared_evenly():
    with pytest.raises(SystemExit):
        parse_args(['--processes', '2', '3'])
    assert parse_args(['--processes', '1', '4']).processes == [1, 4]


def test_collectives_of_a_step_are_counted(tmp_path):
    """DDP's, too; what is sent counts, not what arrives."""
    forked.launched(2, exchanging.step, str(tmp_path / 'found.json'))
    calls, sizes = exchanging.read(tmp_path / 'found.json')
    gradients = 4 * (3 * 5 + 5)
    assert calls == {'allreduce_ float32': 2, 'allgather_ int64': 1}
    assert sizes == {'allreduce_ float32': [gradients, 4], 'allgather_ int64': [24]}


def test_nothing_is_counted_where_nothing_is_sent():
    with Exchanges() as counted:
        torch.ones(3).sum()
    assert not counted.calls
