"""The operators under the compiler's sanitizers; and the faults that these must find.

Minutes of compiling and running: only with ``HRDET_SANITIZERS=1`` in the environment.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def missing() -> str | None:
    """What the sanitizers of g++ need and this machine lacks."""
    for tool in ('g++', 'objcopy', 'setarch'):
        if shutil.which(tool) is None:
            return tool
    for library in ('libasan.so', 'libtsan.so'):
        command = ['g++', f'-print-file-name={library}']
        if '/' not in subprocess.run(command, capture_output=True, text=True).stdout:
            return library
    return None


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.environ.get('HRDET_SANITIZERS') != '1', reason='takes minutes: set HRDET_SANITIZERS=1'
    ),
    pytest.mark.skipif(missing() is not None, reason=f'needs {missing()}'),
]


def sanitized(sanitizer: str, *command: str) -> subprocess.CompletedProcess:
    """Run a command of this Python with the operators under a sanitizer."""
    return subprocess.run(
        [HERE / 'sanitize.sh', sanitizer, *((sys.executable, *command) if command else ())],
        env=os.environ | {'PYTHON': sys.executable},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize('sanitizer', ['address', 'thread'])
def test_operators(sanitizer):
    done = sanitized(sanitizer)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert ' passed' in done.stdout


@pytest.mark.parametrize(
    ('sanitizer', 'kernel', 'message'),
    [
        ('address', 'overflow', 'heap-buffer-overflow'),
        ('address', 'static_overflow', 'global-buffer-overflow|insufficient space'),
        ('address', 'undefined', 'signed integer overflow'),
        ('thread', 'race', 'data race .* in race$'),
        ('thread', 'race_over_warp_operation', 'data race .* in race_over_warp_operation$'),
    ],
)
def test_planted_faults_are_found(sanitizer, kernel, message):
    done = sanitized(sanitizer, '-m', 'tests.ops.emulation.planted', kernel)
    assert done.returncode != 0
    assert re.search(message, done.stderr, re.MULTILINE), done.stderr[-2000:]
    done = sanitized(sanitizer, '-m', 'tests.ops.emulation.planted', 'reverse')
    assert done.returncode == 0, done.stderr[-2000:]
