"""Workers, what they are asked, and what is made of their answers, on toy subjects."""

import dataclasses
import sys

import numpy as np
import pytest

from benchmarks.compare import same_arrays
from benchmarks.harness import (
    Case,
    DisagreementError,
    Options,
    Side,
    alternate,
    measure,
    ratio,
    run,
    spread,
)
from benchmarks.worker import ROOT, Worker, WorkerError

TOY = """
import os, time
import numpy as np

clock = 0.0
time.perf_counter = lambda: clock  # of this worker: times do not depend on the machine

def work(value=1.0, seconds=0.001, noise='', pause=0):
    def run():
        global clock
        if noise:
            os.write(1, noise.encode())
        time.sleep(pause)
        clock += seconds
        return value
    return run, lambda result: {'value': np.array(result)}

def allocate(megabytes):
    return lambda: np.ones(megabytes << 17).sum(), lambda result: {}

def fail():
    raise ValueError('a cause')

def die():
    print('last words', flush=True)
    os._exit(3)

def environment():
    return os.environ['OMP_NUM_THREADS'], os.getcwd()
"""


@pytest.fixture
def options(tmp_path, monkeypatch):
    """A peer's environment like this one, and a module ``toy`` that workers can import."""
    (tmp_path / 'toy.py').write_text(TOY)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    return Options(tmp_path, peer_python=sys.executable, rounds=3)


def test_spread_is_median_and_quartiles():
    assert spread([5, 1, 2, 4, 3]) == (3, 2, 4)
    assert spread([2.5]) == (2.5, 2.5, 2.5)


def test_a_ratio_is_of_neighbours_in_time():
    # The machine slows down tenfold in the second round: the ratio does not see it.
    assert ratio([1, 10, 1], [2, 20, 2]) == (2, 2, 2)


def test_sides_are_sampled_in_turn_in_alternating_order():
    calls = []
    sides = [lambda i=i: calls.append(i) or len(calls) for i in range(3)]
    samples = alternate(sides, 2)
    assert calls == [0, 1, 2, 2, 1, 0]
    assert samples == [[1, 6], [2, 5], [3, 4]]


def test_rows_compare_each_side_of_hrdet_with_each_peer(options):
    same = same_arrays()
    case = Case(
        'sleep',
        [
            Side('hrdet', 'toy:work', dict(seconds=0.01, noise='chatter'), peer=False),
            Side('hrdet variant', 'toy:work', dict(seconds=0.02), same, peer=False),
            Side('toy', 'toy:work', dict(seconds=0.3), same),
        ],
        ('time', 'peak'),
    )
    rows = run(case, options)
    times = {row.side: row for row in rows if row.measure == 'time'}
    assert [(row.side, row.peer) for row in rows] == 2 * [
        ('hrdet', 'toy'),
        ('hrdet variant', 'toy'),
    ]
    assert times['hrdet'].ours == pytest.approx((0.01, 0.01, 0.01))
    assert times['hrdet'].theirs == pytest.approx((0.3, 0.3, 0.3))
    assert times['hrdet'].ratio == pytest.approx((30, 30, 30))
    assert times['hrdet'].agreement == 'toy: identical'
    assert times['hrdet variant'].agreement == 'hrdet variant: identical; toy: identical'


def test_cpu_time_takes_the_place_of_time(options):
    case = Case('toy', [Side('hrdet', 'toy:work', dict(seconds=500), peer=False)], ('time', 'peak'))
    rows = run(case, dataclasses.replace(options, cpu_time=True))
    assert [row.measure for row in rows] == ['cpu', 'peak']
    assert rows[0].ours.median < 400  # of the clock 500 pass


def test_without_a_peer_hrdet_is_measured_alone(options):
    case = Case('alone', [Side('hrdet', 'toy:work', peer=False), Side('toy', 'toy:fail')])
    (row,) = run(case, Options(options.folder, rounds=1))
    assert (row.side, row.peer, row.theirs, row.ratio) == ('hrdet', None, None, None)


def test_without_a_peer_variants_stand_beside_hrdet_as_it_comes(options):
    case = Case(
        'alone',
        [
            Side('hrdet', 'toy:work', dict(seconds=0.3), peer=False),
            Side('hrdet variant', 'toy:work', peer=False, same=same_arrays()),
        ],
    )
    first, second = run(case, Options(options.folder, rounds=1))
    assert (first.side, first.peer, first.agreement) == ('hrdet', None, '')
    assert (second.side, second.peer) == ('hrdet variant', 'hrdet')
    assert second.agreement == 'hrdet variant: identical'
    assert second.ratio.median == pytest.approx(300)


def test_a_peer_that_is_not_installed_is_skipped(options, capsys):
    case = Case('some', [Side('hrdet', 'toy:work', peer=False), Side('no_such_peer', 'toy:fail')])
    (row,) = run(case, options)
    assert row.peer is None
    assert 'has no no_such_peer: that peer is skipped' in capsys.readouterr().err


def test_nothing_is_timed_where_results_differ(options):
    case = Case(
        'toy',
        [
            Side('hrdet', 'toy:work', dict(value=1.0), peer=False),
            Side('toy', 'toy:work', dict(value=1.1, pause=1000), same_arrays()),
        ],
        check_arguments=dict(pause=0),
    )
    with pytest.raises(DisagreementError, match=r'toy, toy: value: 1 of 1 .* 1 and 1\.1'):
        run(case, options)


def test_a_start_is_measured_from_the_process_on(options):
    side = Side('hrdet', 'toy:work', peer=False)
    (samples,) = measure([(side, ROOT)], ('start',), options)['start']
    assert len(samples) == 3
    assert min(samples) > 0.02  # an interpreter and numpy take longer than the work


def test_files_give_each_kind_of_side_its_arguments(options):
    case = Case(
        'toy',
        [Side('hrdet', 'toy:work', peer=False), Side('toy', 'toy:work', same=same_arrays())],
        (),
        files=lambda: (dict(value=1.0), dict(value=2.0)),
    )
    with pytest.raises(DisagreementError):
        run(case, options)


@pytest.mark.parametrize(
    ('function', 'words'), [('fail', 'ValueError: a cause'), ('die', 'status 3:\nlast words')]
)
def test_a_worker_says_what_went_wrong(options, function, words):
    with Worker(sys.executable) as worker, pytest.raises(WorkerError, match=words):
        worker.ask('prepare', function=f'toy:{function}', arguments={})


def test_workers_get_their_threads(options):
    with Worker(sys.executable, threads=3) as worker:
        assert worker.ask('call', function='toy:environment', arguments={})[0] == '3'


def test_a_worker_takes_hrdet_from_the_folder_it_is_given(options):
    package = options.folder / 'hrdet'
    package.mkdir()
    (package / '__init__.py').write_text('def where():\n    return __file__\n')
    with Worker(sys.executable, source=options.folder) as worker:
        found = worker.ask('call', function='hrdet:where', arguments={})
    assert found == str(package / '__init__.py')


@pytest.mark.skipif(sys.platform != 'linux', reason='the peak is reset through /proc')
def test_the_peak_is_that_of_one_run(options):
    sides = [Side('hrdet', 'toy:allocate', dict(megabytes=m), peer=False) for m in (1, 200)]
    small, large = measure([(s, ROOT) for s in sides], ('peak',), options)['peak']
    assert np.median(large) - np.median(small) == pytest.approx(199, abs=20)
