#!/bin/sh
# Compile csrc in place, into hrdet/_ops_cpu.so and (with a CUDA toolkit and a CUDA build of torch)
# hrdet/_ops_cuda.so. PYTHON chooses the interpreter (default: that of .venv if `make install` made
# one, else python3); setup.py explains the other variables.
set -e
cd "$(dirname "$0")"
if [ -z "$PYTHON" ] && [ -x .venv/bin/python ] && [ -z "$VIRTUAL_ENV" ]; then
    PYTHON=.venv/bin/python
fi
exec "${PYTHON:-python3}" setup.py --quiet build_ext --inplace
