"""Check whether a commit is slower than the one before, by paired runs of both in turn.

    python -m benchmarks.regression                       the work tree against HEAD
    python -m benchmarks.regression HEAD~1 HEAD           two commits
    python -m benchmarks.regression v0.1 HEAD inference --match "batch 1" --rounds 15

Commits are checked out into temporary work trees.  Their operators are compiled there, unless
csrc/ and setup.py equal the work tree's, whose operators are then used.  The benchmarks themselves
are always the work tree's.  A case is slower if the lower quartile of its
ratio, over the rounds, is above ``--limit``; the exit status is then 1, as where sources are too
old to be run by these benchmarks.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import __main__ as command
from benchmarks import harness, report
from benchmarks.worker import ROOT, WorkerError

_OPERATORS = ('csrc', 'setup.py')


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Options."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.regression',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('old', nargs='?', default='HEAD', help='a commit (%(default)s)')
    parser.add_argument('new', nargs='?', help='a commit; left out: the work tree')
    parser.add_argument('subjects', nargs='*', metavar='SUBJECT')
    parser.add_argument('--match', default='', help='only cases whose names contain this')
    parser.add_argument('--device', default='cpu', choices=('cpu', 'cuda'))
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--limit', type=float, default=1.05, help='ratio that counts (%(default)s)')
    parser.add_argument('--tiny', action='store_true', help='small inputs')
    args = parser.parse_args(arguments)
    command.check_subjects(parser, args.subjects)
    for commit in filter(None, (args.old, args.new)):
        if not _is_commit(commit):
            parser.error(f'git knows no commit {commit}; two commits come before the subjects')
    return args


@contextlib.contextmanager
def source_of(commit: str | None) -> Iterator[Path]:
    """A folder with the sources of a commit and their operators; None: the work tree."""
    if commit is None:
        yield ROOT
        return
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, 'tree')
        _git('worktree', 'add', '--detach', str(tree), commit)
        try:
            if _git('diff', commit, '--', *_OPERATORS):
                subprocess.run(
                    ['./compile.sh'],
                    cwd=tree,
                    check=True,
                    stdout=subprocess.DEVNULL,
                    env=os.environ | {'PYTHON': sys.executable},
                )
            else:
                for library in (ROOT / 'hrdet').glob('_ops_*.so'):
                    shutil.copy(library, tree / 'hrdet')
            yield tree
        finally:
            _git('worktree', 'remove', '--force', str(tree))


def _is_commit(name: str) -> bool:
    check = ['git', '-C', str(ROOT), 'rev-parse', '--verify', '--quiet', f'{name}^{{commit}}']
    return subprocess.run(check, capture_output=True).returncode == 0


def _git(*arguments: str) -> str:
    command = ['git', '-C', str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def compare(
    case: harness.Case, options: harness.Options, sources: Sequence[Path]
) -> list[tuple[str, harness.Spread]]:
    """By name of what is measured: how many times as much it takes with the second source."""
    ours, _ = case.files()
    ratios = []
    for side in case.sides:
        if side.peer:
            continue
        side = replace(side, arguments=side.arguments | ours)
        pair = [(side, source) for source in sources]
        for kind, (old, new) in harness.measure(pair, case.measures, options).items():
            ratios.append((f'{kind}, {case.name}, {side.name}', harness.ratio(old, new)))
    return ratios


def main(arguments: Sequence[str] | None = None) -> int:
    """The whole command; the exit status: 1 if a case is slower, or could not be run."""
    args = parse_args(arguments)
    slower = 0
    with (
        source_of(args.old) as old,
        source_of(args.new) as new,
        tempfile.TemporaryDirectory() as folder,
    ):
        options = harness.Options(
            Path(folder),
            device=args.device,
            threads=args.threads,
            rounds=args.rounds,
            tiny=args.tiny,
        )
        for case in command.cases(args, options):
            try:
                ratios = compare(case, options, (old, new))
            except WorkerError as error:  # such as a name that the older sources lack
                slower += 1
                print(f'FAILED {case.name}: {error}', file=sys.stderr, flush=True)
                continue
            for name, ratio in ratios:
                verdict = 'SLOWER' if ratio.low > args.limit else 'ok'
                slower += ratio.low > args.limit
                print(f'{verdict:6} {report.number(ratio)} times as much: {name}', flush=True)
    return int(slower > 0)


if __name__ == '__main__':
    raise SystemExit(main())
