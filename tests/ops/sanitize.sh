#!/usr/bin/env bash
# Runs a command with the operators under a sanitizer of the compiler:
#
#     tests/ops/sanitize.sh operators              CPU operators: accesses out of bounds, undefined
#                                                  behaviour
#     tests/ops/sanitize.sh address [COMMAND...]   beside them emulated CUDA kernels
#     tests/ops/sanitize.sh thread [COMMAND...]    emulated CUDA kernels: races between threads of a
#                                                  block
#
# Without a command the tests of this folder run. PYTHON is the interpreter, CXX must be g++. The
# instrumented copy of the package lies in build/sanitized; it is compiled anew when csrc changes.
set -euo pipefail
cd "$(dirname "$0")/../.."
part=$1
sanitizer=${part/operators/address}
shift
python=${PYTHON:-python}
cxx=${CXX:-g++}
copy=build/sanitized/$sanitizer

mkdir -p "$copy/build"
rm -rf "$copy/tests"
for folder in hrdet tests csrc; do
    mkdir -p "$copy/$folder"
    cp -ru "$folder/." "$copy/$folder/"
done
cp pyproject.toml "$copy/"
[ ! -d ../shared ] || ln -sfn "$(realpath ../shared)" build/sanitized/shared

if [ "$sanitizer" = address ]; then
    runtime=libasan.so
    flags='-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined'
    torch=$("$python" -c 'import torch, os; print(os.path.dirname(torch.__file__))')
    for source in csrc/cpu/*.cpp; do
        object=$copy/build/$(basename "$source").o
        [ "$object" -nt "$source" ] && [ -z "$(find csrc -name '*.h' -newer "$object")" ] ||
            echo "$cxx $flags -std=c++20 -fPIC -ffp-contract=off -fvisibility=hidden -Wno-psabi" \
                "-DTORCH_TARGET_VERSION=0x020a000000000000 -I$torch/include -c $source -o $object"
    done | xargs -r -P 2 -I COMMAND sh -c COMMAND
    $cxx $flags -shared "$copy"/build/*.cpp.o "-L$torch/lib" -ltorch_cpu -o "$copy/hrdet/_ops_cpu.so"
else
    runtime=libtsan.so
fi

cd "$copy"
export HRDET_SANITIZER=$sanitizer OMP_NUM_THREADS=1
export ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0:${ASAN_OPTIONS:-}
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:report_signal_unsafe=0:ignore_noninstrumented_modules=1:${TSAN_OPTIONS:-}
if [ $# -eq 0 ]; then
    emulation=tests/ops/test_emulation.py
    # All tests of operators, but for what torch compiles or starts a process for.
    operators="$(echo tests/ops/test_{add_upsampled,argmax,masks,nms,png,resize,winograd}.py \
        tests/ops/test_roi_align{,_gradient}.py)"
    without='not compiles and not opcheck and not well_formed and not vectors_of_every'
    case $part in
        thread) files=$emulation ;;
        address) files="$emulation $operators" ;;
        # In two processes, and without the largest inputs.
        operators)
            files="$operators -n 2"
            without="$without and not emulated and not photographs and not cluttered"
            ;;
    esac
    set -- "$python" -m pytest -x -p no:cacheprovider $files -k "$without"
fi
# The C++ runtime comes first too, or exceptions are not followed; and addresses must not be random
# for Thread Sanitizer.
preload="$($cxx -print-file-name=$runtime) $($cxx -print-file-name=libstdc++.so.6)"
exec setarch -R env LD_PRELOAD="$preload" "$@"
