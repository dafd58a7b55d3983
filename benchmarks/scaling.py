"""The same training in one process and in several: losses, images a second, what is exchanged.

    python -m benchmarks.scaling                              1 and 2 processes, gloo, on the CPU
    python -m benchmarks.scaling --norm SyncBN --steps 5      batch statistics over all processes
    python -m benchmarks.scaling --device cuda --processes 1 2 4 8

Every run is ``tools/train.py`` under torchrun with the same seed, weights, images and images a step
(one for each process of the largest run), one thread a process.  A hook (``exchanges.py``) puts the
batches into one order and lets samplers take the first candidates, so that all runs do the same
arithmetic; it counts the collectives of one step, which is then not timed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import harness, models, report
from benchmarks.worker import ROOT

_COUNTED = 2  # the step whose collectives are counted; DDP settles its buckets in the first ones
_TIMED = 3  # timed from this one on
_TOLERANCE = {'BN': 1e-4, 'SyncBN': 2e-3}  # of losses, relative; rounding grows from step to step

_CONFIG = """
_base_ = {base!r}
custom_imports = dict(imports=['benchmarks.exchanges'])
custom_hooks = [dict(type='CountExchanges', path={counts!r}, iteration={counted})]
log_config = dict(interval=1)
checkpoint_config = dict(interval=1000)
model = dict(pretrained=None, backbone=dict(norm_cfg=dict(type={norm!r})))
data = dict(
    imgs_per_gpu={images},
    workers_per_gpu={workers},
    train=dict(ann_file={annotations!r}, img_prefix={folder!r}, img_scale={scale}, flip_ratio=0.0),
)
total_epochs = {epochs}
load_from = {weights!r}
work_dir = {work_dir!r}
seed = 0
"""


@dataclass(frozen=True)
class Run:
    """What came of one number of processes.

    Args:
        seconds: of a step, and the part spent waiting for the batch, as medians.
        losses: of each step, the means over the processes, by name.
        exchanged: what ``exchanges.CountExchanges`` wrote; the collectives of a step.
    """

    processes: int
    seconds: float
    waiting: float
    losses: list[dict[str, float]]
    exchanged: dict


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Options."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.scaling',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--processes', type=int, nargs='+', default=[1, 2], help='(%(default)s)')
    parser.add_argument('--steps', type=int, default=8, help='of each run (%(default)s)')
    parser.add_argument('--norm', choices=tuple(_TOLERANCE), default='BN', help='(%(default)s)')
    parser.add_argument('--device', default='cpu', choices=('cpu', 'cuda'), help='(%(default)s)')
    parser.add_argument('--scale', type=int, nargs=2, default=[608, 400], help='(%(default)s)')
    parser.add_argument('--workers', type=int, default=0, help='of each process (%(default)s)')
    args = parser.parse_args(arguments)
    images = max(args.processes)
    if any(images % count for count in args.processes):
        parser.error(f'{images} images a step cannot be shared by each of {args.processes}')
    if args.steps <= _TIMED:
        parser.error(f'--steps: at least {_TIMED + 1}')
    return args


def train(args: argparse.Namespace, processes: int, folder: Path) -> Run:
    """One run in ``folder``.

    Raises:
        RuntimeError: the run failed; the message holds the end of what it printed.
    """
    options = harness.Options(folder, device=args.device)
    images = max(args.processes)
    width, height = args.scale
    data = models.make_data(options, (height * 3 // 4, width * 3 // 4), 4 * images)
    work_dir = folder / f'{processes}'
    work_dir.mkdir()
    config = work_dir / 'config.py'
    counts = work_dir / 'counts.json'
    config.write_text(
        _CONFIG.format(
            base=str(models.CONFIGS / f'{models.FASTER}.py'),
            counts=str(counts),
            counted=_COUNTED,
            norm=args.norm,
            images=images // processes,
            workers=args.workers,
            annotations=data['annotations'],
            folder=data['images'],
            scale=(width, height),
            epochs=-(-args.steps // 4),
            weights=models.make_weights(options, models.FASTER)['hrdet'],
            work_dir=str(work_dir),
        )
    )
    torchrun = ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={processes}']
    train = [str(ROOT / 'tools' / 'train.py'), str(config), '--launcher=pytorch', '--no-validate']
    command = [sys.executable, *torchrun, *train, *(['--gpus=0'] if args.device == 'cpu' else [])]
    environment = os.environ | {'OMP_NUM_THREADS': '1'}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f'{" ".join(command)}\n{(done.stdout + done.stderr)[-3000:]}')
    log = [json.loads(line) for line in (work_dir / 'log.jsonl').open()]
    steps = [entry for entry in log if entry['mode'] == 'train']
    return Run(
        processes,
        statistics.median(entry['time'] for entry in steps[_TIMED:]),
        statistics.median(entry['data_time'] for entry in steps[_TIMED:]),
        [{k: v for k, v in entry.items() if k.startswith('loss')} for entry in steps],
        json.loads(counts.read_text()),
    )


def difference(one: Run, other: Run) -> list[float]:
    """By step: the largest difference of a loss, relative to the loss of all."""
    return [
        max(abs(a[name] - b[name]) for name in a) / abs(a['loss'])
        for a, b in zip(one.losses, other.losses, strict=True)
    ]


def table(runs: Sequence[Run], images: int) -> str:
    """Markdown, a line for each run; the efficiency is against the first."""
    first = runs[0]
    lines = [
        '| processes | images each | s a step | .. for data | images/s | efficiency '
        '| collectives a step | MB sent to them |',
        '|---|---|---|---|---|---|---|---|',
    ]
    for run in runs:
        efficiency = first.seconds * first.processes / (run.seconds * run.processes)
        kinds = run.exchanged['kinds'].values()
        lines.append(
            f'| {run.processes} | {images // run.processes} | {run.seconds:.3f} '
            f'| {run.waiting:.3f} | {images / run.seconds:.3f} | {efficiency:.0%} '
            f'| {sum(calls for calls, _ in kinds)} | {sum(size for _, size in kinds) / 1e6:.2f} |'
        )
    return '\n'.join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The whole command; the exit status: 1 if losses differ by more than the tolerance."""
    args = parse_args(arguments)
    images = max(args.processes)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        runs = [train(args, count, Path(folder)) for count in args.processes]
    print(f'{report.machine(harness.Options(Path(), device=args.device))}\n- load before: {load}')
    print(f'- {models.FASTER}, {args.norm}, {args.scale}, {images} images a step\n')
    print(table(runs, images))
    wrong = False
    for run in runs:
        print(f'\n{run.processes} process(es): loss', *(f'{s["loss"]:.6f}' for s in run.losses))
        off = difference(runs[0], run)
        wrong |= not max(off) <= _TOLERANCE[args.norm]
        print('differs from the first line by', *(f'{value:.0e}' for value in off))
        for kind, (calls, size) in run.exchanged['kinds'].items():
            sizes = run.exchanged['sizes'][kind]
            print(f'{kind}: {calls} calls, {size} bytes; {min(sizes)} to {max(sizes)} each')
    if wrong:
        print(f'DIFFERENT: by more than {_TOLERANCE[args.norm]:g}')
    return int(wrong)


if __name__ == '__main__':
    raise SystemExit(main())
