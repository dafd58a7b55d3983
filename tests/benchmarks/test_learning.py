"""Trainings side by side: what is recorded, resumed and written."""

import json
import sys

import pytest

from benchmarks import learning
from benchmarks.learning import Comparison, Run

_TRAINS = """
import json, sys
with open(sys.argv[1], 'a') as log:
    for step in map(int, sys.argv[2:]):
        print(json.dumps(dict(mode='train', step=step, loss=1.0)), file=log)
        print(json.dumps(dict(mode='val', step=step, mIoU=step / 100)), file=log)
sum(range(10 ** 6))
"""


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setattr(learning, '_POLL', 0.05)
    toy = Comparison('peer', '', (), 30, 'mIoU', ('IoU', 0.01))
    monkeypatch.setitem(learning.COMPARISONS, 'toy', toy)


def run_with(folder, side='hrdet', seed=0, metrics=()):
    """A run with these metrics after 10, 20, ... iterations."""
    run = Run('toy', side, seed, folder / f'{side}{seed}')
    run.folder.mkdir()
    rows = [
        dict(step=10 * i, metric=value, wall=120.0 * i, cpu=60.0 * i)
        for i, value in enumerate(metrics, 1)
    ]
    (run.folder / 'record.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
    return run


def test_a_resumed_run_adds_its_evaluations_and_its_clocks_go_on(tmp_path):
    run = run_with(tmp_path)
    command = [sys.executable, '-c', _TRAINS, str(run.folder / 'log.jsonl')]
    learning.train([(run, [*command, '10', '20'])])
    first = run.record()
    assert [(row['step'], row['metric']) for row in first] == [(10, 0.1), (20, 0.2)]
    assert first[-1]['wall'] > 0
    assert first[-1]['cpu'] >= 0
    assert not run.ended()
    learning.train([(run, [*command, '20', '30'])])
    assert run.record()[:2] == first
    assert run.record()[2]['step'] == 30
    assert run.ended()
    assert run.record()[2]['wall'] > first[-1]['wall']


def test_a_failed_training_ends_the_others_with_its_output(tmp_path):
    runs = [run_with(tmp_path, seed=seed) for seed in (0, 1)]
    commands = ['import time; time.sleep(60)', 'raise ValueError("no such data")']
    pairs = [(run, [sys.executable, '-c', code]) for run, code in zip(runs, commands)]
    with pytest.raises(SystemExit, match='no such data'):
        learning.train(pairs)


def test_peers_log_other_names_and_percent(tmp_path):
    run = run_with(tmp_path, 'peer')
    log = run.folder / 'now' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text('{"step": 10, "IoU": 50.0}\n{"step": 20, "Io')
    learning.train([(run, [sys.executable, '-c', ''])])
    assert [(row['step'], row['metric']) for row in run.record()] == [(10, 0.5)]


def test_table_of_seeds_with_the_difference_at_the_end(tmp_path):
    ends = {'hrdet': [(0.1, 0.2, 0.40), (0.1, 0.2, 0.50)], 'peer': [(0.1, 0.2, 0.42), (0.1,)]}
    runs = [
        run_with(tmp_path, side, seed, metrics)
        for side, seeds in ends.items()
        for seed, metrics in enumerate(seeds)
    ]
    rows = learning.table(runs).splitlines()
    assert rows[4] == '| 30 | 0.400 | 0.500 | 0.420 |  |'
    assert rows[5] == '| CPU time | 3.0 min | 3.0 min | 3.0 min | 1.0 min |'
    assert '0.030 above that of peer; one seed does not tell' in rows[-1]
    text = learning.difference([0.4, 0.5], [0.45, 0.49], learning.COMPARISONS['toy'])
    assert '0.020 below that of peer in the mean of 2 seeds; the standard error is 0.054' in text
    assert learning.table(runs[3:]).splitlines()[-1].startswith('| time')


def test_pages_are_written_between_markers(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('a\n<!-- learning toy: begin -->\nold\n<!-- learning toy: end -->\nz\n')
    learning.write(page, 'toy', 'new')
    assert page.read_text().splitlines()[1:5:2] == ['<!-- learning toy: begin -->', 'new']
    with pytest.raises(SystemExit, match='needs one line <!-- learning camvid: begin -->'):
        learning.write(page, 'camvid', 'new')
    learning.curves([run_with(tmp_path, 'peer', 0, (0.1, 0.2))], tmp_path / 'curves' / 'toy.png')
    assert (tmp_path / 'curves' / 'toy.png').stat().st_size > 1000
