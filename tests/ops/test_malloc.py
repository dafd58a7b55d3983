"""Memory that is kept, in processes of their own: the setting is for good."""

import platform
import subprocess
import sys

import pytest

from hrdet.ops import malloc

# MiB that stay resident: of one block of 40, then of it and ten of 3, all of them given free.
# The file alone: its package imports torch, which takes seconds.
PROGRAM = f"""
import runpy, sys
import numpy as np
keep_memory = runpy.run_path({malloc.__file__!r})['keep_memory']

def resident():
    return int(open('/proc/self/statm').read().split()[1]) / 256

def kept(edges):
    blocks = [np.full(edge << 20, 1, np.uint8) for edge in edges]
    del blocks
    return resident() - before

for at_most in sys.argv[1:]:
    keep_memory(eval(at_most))
before = resident()
print(kept([40]), kept([3] * 10))
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='only glibc can be told')


def kept(*arguments: str) -> list[float]:
    command = [sys.executable, '-c', PROGRAM, *arguments]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [float(part) for part in out.split()]


def test_everything_is_kept():
    large, small = kept('None')
    assert large > 36
    assert 36 < small < 48  # they lie where the large one was


@pytest.mark.parametrize('arguments', [['64 << 20'], ['None', '64 << 20'], ['4 << 30']])
def test_as_much_is_kept_as_was_asked_for(arguments):
    """Also in a worker of a process that keeps everything."""
    large, small = kept(*arguments)
    assert large < 4
    assert small > 27


@pytest.mark.parametrize('arguments', [[], ['4 << 20']])
def test_beyond_the_bound_it_is_given_back(arguments):
    """As it is where nobody has asked."""
    large, small = kept(*arguments)
    assert large < 4
    assert small < 8


def test_what_was_free_before_goes_back():
    """Blocks of other sizes, which would lie between the new ones."""
    begin = PROGRAM[: PROGRAM.index('for at_most')]
    program = f"""{begin}
keep_memory(64 << 20)
before = resident()
blocks = [np.full(1 << 20, 1, np.uint8) for _ in range(21)]
last = blocks.pop()  # behind all of them: nothing can be cut off
del blocks
free = resident() - before
keep_memory()
print(free, resident() - before)
"""
    command = [sys.executable, '-c', program]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    free, left = map(float, out.split())
    assert free > 18
    assert left < 4
