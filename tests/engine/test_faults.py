"""Runs that are killed or starved of disk lose nothing, and say what happened."""

import json
import subprocess
import sys

import pytest

from tests import forked
from tests.engine import faults

pytestmark = pytest.mark.slow


@pytest.fixture
def outcome(tmp_path):
    """Calls a function of ``faults.py`` in a process of its own."""

    def call(name):
        forked.start(faults.outcome, (name, tmp_path))
        return json.loads((tmp_path / 'outcome.json').read_text())

    return call


def last_line(path):
    return path.read_text().splitlines()[-1]


def test_a_checkpoint_that_does_not_fit_on_the_disk(outcome, tmp_path):
    result = outcome('file_limit')
    assert result == dict(code=1, again=0)
    assert last_line(tmp_path / 'limited').startswith(f'error: {tmp_path}/run/latest.pth: ')
    assert 'Traceback' not in (tmp_path / 'limited').read_text()


def test_a_folder_that_may_not_be_written(outcome, tmp_path):
    assert outcome('no_permission') == dict(code=1)
    assert 'Permission denied' in last_line(tmp_path / 'output')
    assert 'this user may read and write' in last_line(tmp_path / 'output')


def test_a_process_that_is_killed_is_named_by_the_other(outcome, tmp_path):
    assert outcome('lost') == dict(codes=[1, -9])
    assert last_line(tmp_path / 'rank_0').startswith('error: process 1 of 2 has ended: killed')
    assert 'Traceback' not in (tmp_path / 'rank_0').read_text()


def test_a_process_that_stands_still_is_named_by_the_other(outcome, tmp_path):
    assert outcome('paused') == dict(codes=[1, 1])
    assert last_line(tmp_path / 'rank_0').startswith('error: process 1 of 2 no longer answers')
    assert last_line(tmp_path / 'rank_1').startswith('error: process 0 of 2 has ended')


def test_a_run_ends_as_ever_whichever_write_was_the_last_or_failed(outcome, tmp_path):
    outcomes = outcome('every_write')
    # Exit codes of the first run and of the one after it: a log that cannot be written ends none.
    assert set(outcomes) == {'killed -9 0', 'full 1 0', 'full 0 0'}
    assert outcomes['killed -9 0'] > 20
    assert 'Traceback' not in (tmp_path / 'output').read_text()


def test_torchrun_restarts_from_the_last_checkpoint(tmp_path, pytestconfig):
    launcher = ['torch.distributed.run', '--standalone', '--nproc_per_node=2', '--max-restarts=1']
    done = subprocess.run(
        [sys.executable, '-m', *launcher, '-m', 'tests.engine.faults', str(tmp_path)],
        cwd=pytestconfig.rootpath,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    entries = list(map(json.loads, (tmp_path / 'run/log.jsonl').open()))
    assert [entry['step'] for entry in entries if entry['mode'] == 'start'] == [0, 5]
    assert (tmp_path / 'run/model_final.pth').is_file()


def test_others_wait_for_long_work_of_the_first(outcome):
    """The first check of a large data set takes longer than the timeout of a process group."""
    assert outcome('patience') == dict(codes=[0, 0])
