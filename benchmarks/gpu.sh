#!/bin/sh
# The GPU rows of the table, in one command and at most 8 minutes:
#
#     benchmarks/gpu.sh                                    hrdet alone
#     HRDET_PEER_PYTHON=.../bin/python benchmarks/gpu.sh   beside the peers of that environment
#
# PYTHON is hrdet's interpreter.  Each subject ends by itself or is ended at its limit; what has
# been printed by then stays.
set -u
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
"$python" -c 'import sys, torch; torch.cuda.is_available() or sys.exit("torch sees no GPU here")' || exit 1
status=0
for task in 'operators 60' 'masks 20' 'inference 200' 'training 150' 'startup 40'; do
    set -- $task
    echo "== $1"
    timeout "$2" "$python" -m benchmarks "$1" --device cuda --rounds 5 ||
        { status=$?; echo "$1: status $status"; }
done
exit $status
