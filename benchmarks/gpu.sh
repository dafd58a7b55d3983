#!/bin/bash
# The first look at a GPU, in at most 8 minutes, the most telling first:
#
#     benchmarks/gpu.sh                                    beside what peers this environment has
#     HRDET_PEER_PYTHON=.../bin/python benchmarks/gpu.sh   beside the peers of that environment
#     DRY=1 benchmarks/gpu.sh          the same steps on the CPU, all small; PATIENCE=20 for 20
#                                      times the limits, where it does other work too
#
# Every step prints what it found as it ends, and ends by itself or at its limit; the page
# docs/results/gpu.md ($PAGE) has all of it.  PYTHON is hrdet's interpreter.  CUDA operators that are
# missing are compiled first, which takes minutes of its own.
set -u
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
export HRDET_PEER_PYTHON=${HRDET_PEER_PYTHON:-$(command -v "$python")}
if [ -n "${DRY:-}" ]; then
    device=cpu marker='not gpu' small='--tiny --rounds 1' iterations=3 page=${PAGE:-build/gpu.md}
else
    device=cuda marker=gpu small='--rounds 3' iterations=200 page=${PAGE:-docs/results/gpu.md}
    "$python" -c 'import sys, torch; torch.cuda.is_available() or sys.exit("torch sees no GPU here")' ||
        exit 1
    loaded='import sys; from hrdet.ops import library; sys.exit(library.CUDA.problem)'
    "$python" -c "$loaded" || PYTHON=$python FORCE_CUDA=1 ./compile.sh
    "$python" -c "$loaded" || echo 'no CUDA operators: torchvision stands in, if it is installed'
fi

mkdir -p "$(dirname "$page")"
printf '# hrdet on a GPU\n\n`benchmarks/gpu.sh`, %s, commit %s\n' \
    "$(date -u +%F)" "$(git rev-parse --short HEAD)" >"$page"
status=0

# step SECONDS TITLE COMMAND...: runs a command, shows its output, and adds it to the page.
step() {
    local limit=$1 title=$2 found begin=$SECONDS
    shift 2
    printf '\n## %s\n\n' "$title" | tee -a "$page"
    timeout $((limit * ${PATIENCE:-1})) "$@" 2>&1 | tee -a "$page"
    found=${PIPESTATUS[0]}
    [ "$found" = 124 ] && echo "**Ended at its limit of $limit s.**" | tee -a "$page"
    [ "$found" = 0 ] || status=$found
    printf '\nStatus %s after %s s.\n' "$found" $((SECONDS - begin)) | tee -a "$page"
}

step 20 'Build' "$python" -m hrdet.doctor
step 70 'A training step of every model against the CPU' "$python" -m benchmarks.device losses --device $device
step 60 'Operators against the CPU' "$python" -m pytest -q -p no:cacheprovider -m "$marker" \
    -k 'not emulated' tests/ops/test_nms.py tests/ops/test_roi_align.py tests/ops/test_roi_align_gradient.py
step 40 'Learning' "$python" -m benchmarks.device learning --device $device --iterations $iterations
step 50 'CUDA graphs' "$python" -m benchmarks.device graphs --device $device
step 30 'Memory' "$python" -m benchmarks.device memory --device $device
step 60 'Nothing waits for the device' "$python" -m pytest -q -p no:cacheprovider -m "$marker" \
    tests/models/test_two_stage_no_sync.py tests/optimize/test_gpu.py
step 80 'Time of training' "$python" -m benchmarks training --device $device $small
step 70 'Time of inference' "$python" -m benchmarks inference --device $device $small
exit $status
