"""Run a kernel of self_test.cu: ``python -m tests.ops.emulation.planted NAME``.

Its fault is for a sanitizer to find; see ../sanitize.sh.
"""

import sys

from tests.ops.emulation import build

print(*build.load().self_test(sys.argv[1], list(range(32))))
