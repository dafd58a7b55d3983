#!/bin/sh
# The GPU rows of the table, in one command and at most 8 minutes:
#
#     benchmarks/gpu.sh                                    beside what peers this environment has
#     HRDET_PEER_PYTHON=.../bin/python benchmarks/gpu.sh   beside the peers of that environment
#
# PYTHON is hrdet's interpreter.  The CUDA operators are compiled first where they are missing, which
# takes minutes of its own.  A peer that is not installed is skipped; without mmdetection hrdet's
# variants stand beside hrdet as it is trained: float32, eager.  Each subject ends by itself or is
# ended at its limit; what has been printed by then stays.
set -u
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
export HRDET_PEER_PYTHON=${HRDET_PEER_PYTHON:-$(command -v "$python")}
"$python" -c 'import sys, torch; torch.cuda.is_available() or sys.exit("torch sees no GPU here")' || exit 1
loaded='import sys; from hrdet.ops import library; sys.exit(library.CUDA.problem)'
if ! "$python" -c "$loaded"; then
    PYTHON=$python FORCE_CUDA=1 ./compile.sh
    "$python" -c "$loaded" || echo "no CUDA operators: torchvision's stand in, if it is installed"
fi
status=0
for task in 'operators 110' 'masks 20' 'inference 230' 'training 115'; do
    set -- $task
    echo "== $1"
    timeout "$2" "$python" -m benchmarks "$1" --device cuda --rounds 5 ||
        { status=$?; echo "$1: status $status"; }
done
exit $status
