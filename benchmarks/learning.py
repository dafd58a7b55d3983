"""The same training in hrdet and in a peer: does it end as well, and what does it take?

    python -m benchmarks.learning camvid --peer-python PEERS/bin/python --seeds 0 1 2
    python -m benchmarks.learning camvid --peer-python PEERS/bin/python --same-batches 12

Both sides of a seed train at the same time, each in one thread, then those of the next seed.  The
same command again resumes what was interrupted.  Each run has a folder in ``--work-dir`` with the
log and the checkpoints of that side; ``record.jsonl`` there holds the metric of every evaluation
with the seconds that passed and that the processes computed, those before an interruption included.
With ``--same-batches`` both sides start from the same weights and train on the same batches, which
hrdet loads: losses and learning rates of each step are compared.  ``--write`` puts table and curves
into a page, ``--show`` trains nothing.  The data are expected in ``data/``, as the configs say.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import harness, report
from benchmarks.worker import ROOT

PEERS = Path(__file__).with_name('learning_peers.py')  # run by the peers' interpreter
_POLL = 5.0  # seconds between two looks at a run: how exact its clocks are


@dataclass(frozen=True)
class Comparison:
    """A training of both sides.

    Args:
        config: hrdet's; ``options`` override its values.
        length: in iterations; the peer gets it as an argument.
        metric: as hrdet's log names it.
        peer_metric: as the peer's log names it, and what it is multiplied by to be hrdet's.
    """

    peer: str
    config: str
    options: tuple[str, ...]
    length: int
    metric: str
    peer_metric: tuple[str, float]


_CAMVID = ('runner.max_iters=800', 'evaluation.interval=100', 'checkpoint_config.interval=100')
_QUARTER = (
    'data.train.pipeline.2.img_scale=(240,180)',
    'data.train.pipeline.3.crop_size=(128,128)',
    'data.train.pipeline.7.size=(128,128)',
    'data.val.pipeline.1.img_scale=(240,180)',
)
_SEGMENTATION = ('mmsegmentation', 'configs/camvid/fcn_hr18s_camvid_cpu.py')
_DETECTION = ('mmdetection', 'benchmarks/learning_configs/bccd.py')
_CLASSIFICATION = ('mmpretrain', 'configs/hymenoptera/hrnet-w18-small_hymenoptera_cpu.py')
_MIOU = ('mIoU', ('mIoU', 0.01))
COMPARISONS = {
    'camvid': Comparison(*_SEGMENTATION, _CAMVID, 800, *_MIOU),
    # Crops of 128 x 128 from images of 240 x 180: a quarter of the pixels of the config.
    'camvid_quarter': Comparison(*_SEGMENTATION, _QUARTER + _CAMVID, 800, *_MIOU),
    'bccd': Comparison(*_DETECTION, (), 1000, 'bbox_AP', ('coco/bbox_mAP', 1)),
    # 15 epochs of 8 iterations.
    'hymenoptera': Comparison(*_CLASSIFICATION, (), 120, 'top1', ('accuracy/top1', 0.01)),
}


@dataclass(frozen=True)
class Run:
    """One side's training with one seed."""

    name: str
    side: str
    seed: int
    folder: Path

    def command(self, peer_python: str, *options: str) -> list[str]:
        """Trains, or resumes; ``options`` override values of hrdet's config or go to the peer."""
        about = COMPARISONS[self.name]
        if self.side != 'hrdet':
            values = [self.name, str(self.folder), str(self.seed), str(about.length)]
            return [peer_python, str(PEERS), *values, *options]
        return [
            *(
                sys.executable,
                str(ROOT / 'tools' / 'train.py'),
                str(ROOT / about.config),
            ),
            *('--gpus=0', f'--seed={self.seed}', f'--work-dir={self.folder}'),
            *(('--cfg-options', *about.options, *options) if about.options + options else ()),
        ]

    def logged(self, key: str) -> dict[int, dict[str, Any]]:
        """Entries of the side's own log that have the key, by iteration."""
        logs = [self.folder / 'log.jsonl', *sorted(self.folder.glob('*/vis_data/scalars.json'))]
        entries = [entry for log in logs for entry in _lines(log)]
        return {entry['step']: entry for entry in reversed(entries) if key in entry}

    def record(self) -> list[dict[str, float]]:
        """``step``, ``metric``, ``wall`` and ``cpu`` seconds of each evaluation."""
        return _lines(self.folder / 'record.jsonl')

    def ended(self) -> bool:
        return any(row['step'] >= COMPARISONS[self.name].length for row in self.record())


def _lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file that may still be written."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.open() if line.endswith('\n')]


class Watched:
    """A run's process; ``look`` records what is new in its log.

    Checkpoints are written where evaluations are: a resumed run repeats what came after the last
    recorded one, and its clocks go on from there.
    """

    def __init__(self, run: Run, command: Sequence[str]) -> None:
        run.folder.mkdir(parents=True, exist_ok=True)
        self._run, self._start, self._cpu = run, time.monotonic(), 0.0
        self._before = (run.record() or [dict(wall=0.0, cpu=0.0)])[-1]
        one = dict.fromkeys(('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENCV_FOR_THREADS_NUM'), '1')
        with (run.folder / 'output.txt').open('a') as output:
            self._process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | one,
                start_new_session=True,  # by which its processes are found
            )

    def look(self) -> bool:
        """Whether it still runs.

        Raises:
            SystemExit: it failed.
        """
        status = self._process.poll()
        self._cpu = max(self._cpu, cpu_seconds(self._process.pid))
        clocks = dict(
            wall=self._before['wall'] + time.monotonic() - self._start,
            cpu=self._before['cpu'] + self._cpu,
        )
        about = COMPARISONS[self._run.name]
        metric, scale = about.peer_metric if self._run.side == about.peer else (about.metric, 1)
        known = {row['step'] for row in self._run.record()}
        with (self._run.folder / 'record.jsonl').open('a') as record:
            for step, entry in sorted(self._run.logged(metric).items()):
                if step not in known:
                    row = dict(step=step, metric=scale * entry[metric], **clocks)
                    record.write(json.dumps(row) + '\n')
        if status:
            output = self._run.folder / 'output.txt'
            raise SystemExit(f'error: a training failed, {output}:\n{output.read_text()[-1500:]}')
        return status is None

    def stop(self) -> None:
        """End it where it is."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()


def cpu_seconds(session: int) -> float:
    """User and system time of a session's processes and of those they have waited for."""
    ticks = 0
    for path in Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = path.read_text().rpartition(')')[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(fields[3]) == session:
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf('SC_CLK_TCK')


def train(commands: Iterable[tuple[Run, Sequence[str]]]) -> None:
    """Run all at the same time, to the end."""
    watched = [Watched(run, command) for run, command in commands]
    try:
        running = list(watched)
        while running := [one for one in running if one.look()]:
            time.sleep(_POLL)
    finally:
        for one in watched:
            one.stop()


def same_batches(ours: Run, peer: Run, peer_python: str, count: int) -> str:
    """Losses and learning rates of the first steps on the same batches, as a Markdown table."""
    batches = ours.folder / 'batches'
    batches.mkdir(parents=True)
    hook = dict(type='SaveBatches', folder=str(batches), count=count)
    options = (
        "custom_imports={'imports':['benchmarks.batches']}",
        f'custom_hooks={[hook]}',
        'log_config.interval=1',
    )
    train([(ours, ours.command(peer_python, *options))])
    train([(peer, peer.command(peer_python, str(batches)))])
    lines = ['| step | learning rate | loss: hrdet | peer | difference |', '|---|---|---|---|---|']
    theirs = peer.logged('loss')
    for step, entry in sorted(ours.logged('loss').items()):
        a, b = entry['loss'], theirs[step]['loss']
        same_rate = math.isclose(entry['lr'], theirs[step]['lr'], rel_tol=1e-6)
        rate = f'{entry["lr"]:.6f}' + ('' if same_rate else f', peer {theirs[step]["lr"]:.6f}')
        lines.append(f'| {step} | {rate} | {a:.6f} | {b:.6f} | {abs(a - b) / b:.0e} |')
    return '\n'.join(lines)


def table(runs: Sequence[Run]) -> str:
    """Markdown: the metric by iteration, a column for each run; what each took; the difference."""
    about = COMPARISONS[runs[0].name]
    records = [{row['step']: row for row in run.record()} for run in runs]
    titles = [f'{run.side}, seed {run.seed}' for run in runs]
    lines = [f'| iteration | {" | ".join(titles)} |', '|---' * (len(runs) + 1) + '|']
    for step in sorted({step for rows in records for step in rows}):
        cells = [f'{rows[step]["metric"]:.3f}' if step in rows else '' for rows in records]
        lines.append(f'| {step} | {" | ".join(cells)} |')
    for clock, title in (('cpu', 'CPU time'), ('wall', 'time')):
        last = [rows[max(rows)][clock] / 60 if rows else 0 for rows in records]
        lines.append(f'| {title} | {" | ".join(f"{value:.1f} min" for value in last)} |')
    last = {side: [] for side in ('hrdet', about.peer)}
    for run, rows in zip(runs, records):
        last[run.side] += [rows[about.length]['metric']] if about.length in rows else []
    if all(last.values()):
        lines += ['', difference(*last.values(), about)]
    return '\n'.join(lines)


def difference(ours: Sequence[float], theirs: Sequence[float], about: Comparison) -> str:
    """A sentence: the means at the end, and the standard error of their difference."""
    off = statistics.mean(ours) - statistics.mean(theirs)
    side = 'above' if off >= 0 else 'below'
    text = f'At the end {about.metric} of hrdet is {abs(off):.3f} {side} that of {about.peer}'
    if min(len(ours), len(theirs)) < 2:
        return f'{text}; one seed does not tell whether that is chance.'
    error = math.sqrt(sum(statistics.variance(x) / len(x) for x in (ours, theirs)))
    return f'{text} in the mean of {len(ours)} seeds; the standard error is {error:.3f}.'


def curves(runs: Sequence[Run], path: Path) -> None:
    """The metric over iterations and over CPU time, a line for each run."""
    import matplotlib as mpl

    mpl.use('agg')
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.2), sharey=True, layout='constrained')
    for run in runs:
        rows = run.record()
        values = [row['metric'] for row in rows]
        colour = 'tab:blue' if run.side == 'hrdet' else 'tab:orange'
        label = run.side if run.seed == runs[0].seed else None
        axes[0].plot([row['step'] for row in rows], values, '.-', color=colour, label=label)
        axes[1].plot([row['cpu'] / 60 for row in rows], values, '.-', color=colour)
    axes[0].set(xlabel='iteration', ylabel=COMPARISONS[runs[0].name].metric)
    axes[1].set(xlabel='minutes of CPU time')
    axes[0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def write(page: Path, name: str, text: str) -> None:
    """Replace what stands between the page's markers of a comparison.

    Raises:
        SystemExit: it lacks them.
    """
    begin, end = (f'<!-- learning {name}: {edge} -->' for edge in ('begin', 'end'))
    before, found, rest = page.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise SystemExit(f'error: {page}: needs one line {begin} and one line {end}')
    page.write_text(f'{before}{begin}\n\n{text}\n\n{end}{after}')


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Options."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.learning',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('comparison', choices=tuple(COMPARISONS))
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], help='(%(default)s)')
    parser.add_argument(
        '--peer-python',
        default=os.environ.get('HRDET_PEER_PYTHON'),
        help='interpreter of the environment with the peers ($HRDET_PEER_PYTHON)',
    )
    parser.add_argument('--work-dir', default='work_dirs/learning', help='(%(default)s)')
    parser.add_argument('--same-batches', type=int, metavar='STEPS', help='compare single steps')
    parser.add_argument('--show', action='store_true', help='what is recorded; train nothing')
    parser.add_argument('--write', metavar='PAGE', help='put table and curves into the page')
    args = parser.parse_args(arguments)
    if not (args.peer_python or args.show):
        parser.error('--peer-python: which interpreter has the peer?')
    if args.same_batches and not args.comparison.startswith('camvid'):
        parser.error('--same-batches: only of label maps; detectors draw samples at random')
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    """The whole command."""
    args = parse_args(arguments)
    name, sides = args.comparison, ('hrdet', COMPARISONS[args.comparison].peer)
    folder = Path(args.work_dir).absolute() / ('same_batches' if args.same_batches else '')
    runs = [
        Run(name, side, seed, folder / f'{name}_{side}_{seed}')
        for side in sides
        for seed in args.seeds
    ]
    if args.same_batches:
        print(same_batches(runs[0], runs[-1], args.peer_python, args.same_batches))
        return 0
    for seed in args.seeds if not args.show else ():
        pair = [run for run in runs if run.seed == seed and not run.ended()]
        train((run, run.command(args.peer_python)) for run in pair)
    print(text := table(runs))
    if args.write:
        picture = Path(args.write).with_suffix('') / f'{name}.png'
        curves(runs, picture)
        about = report.machine(harness.Options(folder, args.peer_python))
        link = f'![learning curves]({picture.parent.name}/{picture.name})'
        write(Path(args.write), name, f'{text}\n\n{link}\n\n{about}')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
