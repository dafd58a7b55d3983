"""Lines on a path are those of what ran, and of what that reads."""

from tools.analysis.source_lines import lines_on_path

PROGRAM = '''\
"""A module."""

import os
from math import inf, pi

_FACTOR = 2
# Only read by a constant that is read.
_BASE = pi
_TABLE = {
    'a': _BASE,
}
# Read by nobody who ran.
_OTHER = {
    'b': inf,
}


class Ran:
    """Whole, with the methods that nothing called."""

    def called(self):
        return _TABLE

    def uncalled(self):
        return os.sep


# Of the function below.
@staticmethod
def unused():
    return _OTHER, _FACTOR
'''


def test_what_ran_and_what_it_reads(tmp_path):
    file = tmp_path / 'module.py'
    file.write_text(PROGRAM)
    raw, code = lines_on_path(file, {'Ran.called'})
    # Two imports, the base, the table of three lines, and the class of five.
    assert code == 2 + 1 + 3 + 5
    without = PROGRAM.splitlines()
    dropped = ['', '_FACTOR = 2']  # with the blank line above it
    dropped += ['# Read by nobody who ran.', '_OTHER = {', "    'b': inf,", '}']
    dropped += ['', '', '# Of the function below.', '@staticmethod', 'def unused():']
    dropped += ['    return _OTHER, _FACTOR']
    assert raw == len(without) - len(dropped)


def test_a_file_of_which_nothing_ran_is_counted_whole(tmp_path):
    file = tmp_path / 'config.py'
    file.write_text(PROGRAM)
    assert lines_on_path(file, set()) == (len(PROGRAM.splitlines()), 18)
