#!/bin/sh
# Compile csrc in place, into hrdet/_ops_cpu.so and (with a CUDA toolkit and a CUDA build of torch)
# hrdet/_ops_cuda.so. PYTHON chooses the interpreter; setup.py explains the other variables.
set -e
cd "$(dirname "$0")"
exec "${PYTHON:-python3}" setup.py --quiet build_ext --inplace
