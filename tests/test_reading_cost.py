"""What hrdet costs to read does not grow unseen: ceilings for tools/analysis/reading_cost.py.

A change that needs more raises the ceiling in the same commit and says why.
"""

import json
import subprocess
import sys

import pytest

# (files, page turns) of what is traced.
TRACES = {
    'step': (16, 23),
    'later step': (16, 23),
    'predict': (15, 22),
    'train.py': (16, 36),  # the pictures of a run have a file of their own
    'iteration': (5, 9),
}
# (files, raw lines, code lines) of the way from a config to the loss.
LINES = {'construct': (21, 2213, 1558), 'total': (44, 4293, 2794)}  # every number has a range

SIZES = {
    'hrdet/engine + tools/train.py': 1589,
    'import cycles': 0,
}
LONGEST_FILE, LONGEST_FUNCTION = 300, 60


@pytest.fixture(scope='module')
def cost(pytestconfig):
    """In a process of its own: the measurement traces calls and runs a training."""
    command = [sys.executable, 'tools/analysis/reading_cost.py', '--json']
    done = subprocess.run(command, cwd=pytestconfig.rootpath, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize('name', TRACES)
def test_files_and_page_turns(cost, name):
    found = cost['traces'][name]
    assert found['foreign'] == 0, "all files are hrdet's"
    assert found['files'] <= TRACES[name][0]
    assert found['page turns'] <= TRACES[name][1]


@pytest.mark.parametrize('name', LINES)
def test_lines_from_a_config_to_the_loss(cost, name):
    for found, ceiling in zip(cost['lines'][name], LINES[name], strict=True):
        assert found <= ceiling


@pytest.mark.parametrize('name', SIZES)
def test_sizes(cost, name):
    assert cost['sizes'][name] <= SIZES[name]


def test_no_file_and_no_function_is_too_long(cost):
    assert cost['sizes']['longest files'][0][1] <= LONGEST_FILE
    assert cost['sizes']['longest functions'][0][1] <= LONGEST_FUNCTION
