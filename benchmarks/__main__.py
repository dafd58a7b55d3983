"""Benchmark hrdet against other libraries ("peers").

python -m benchmarks                                    everything, hrdet alone
python -m benchmarks inference --peer-python PYTHON     one subject, beside a peer
python -m benchmarks operators --match nms --rounds 15
python -m benchmarks --tiny                             whether it all works and agrees
"""

import argparse
import importlib
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import harness, report
from benchmarks.worker import WorkerError

SUBJECTS = (
    'agreement',
    'operators',
    'masks',
    'pipeline',
    'evaluation',
    'startup',
    'inference',
    'training',
    'classification',
    'segmentation',
)


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Options."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('subjects', nargs='*', metavar='SUBJECT', help=', '.join(SUBJECTS))
    parser.add_argument(
        '--peer-python',
        default=os.environ.get('HRDET_PEER_PYTHON'),
        help='interpreter of the environment with the peers ($HRDET_PEER_PYTHON)',
    )
    parser.add_argument(
        '--peer-configs',
        default=os.environ.get('HRDET_PEER_CONFIGS'),
        help="mmdetection's folder configs, where its package has none ($HRDET_PEER_CONFIGS)",
    )
    parser.add_argument('--device', default='cpu', choices=('cpu', 'cuda'), help='(%(default)s)')
    parser.add_argument('--threads', type=int, default=1, help='of each side (%(default)s)')
    parser.add_argument('--rounds', type=int, default=7, help='samples of each side (%(default)s)')
    parser.add_argument('--match', default='', help='only cases whose names contain this')
    parser.add_argument('--tiny', action='store_true', help='small inputs: a check, no measurement')
    parser.add_argument(
        '--cpu-time',
        action='store_true',
        help='measure CPU time instead of wall time, for a busy machine',
    )
    parser.add_argument('--list', action='store_true', help='the names of the cases')
    parser.add_argument('--write', metavar='PAGE', help='put the rows into docs/results/speed.md')
    args = parser.parse_args(arguments)
    check_subjects(parser, args.subjects)
    if args.tiny and args.write:
        parser.error('--tiny is a check only: its times are not written')
    return args


def check_subjects(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """Exit with a message for an unknown subject."""
    for name in names:
        if name not in SUBJECTS:
            parser.error(f'there is no subject {name}; there are {", ".join(SUBJECTS)}')


def main(arguments: Sequence[str] | None = None) -> int:
    """The whole command; the exit status: 1 if a case failed or a result differed."""
    args = parse_args(arguments)
    if not args.peer_python:
        print('no --peer-python: the peers are skipped', file=sys.stderr)
    failures, rows = 0, []
    with tempfile.TemporaryDirectory() as folder:
        options = harness.Options(
            Path(folder),
            args.peer_python,
            args.peer_configs,
            args.device,
            args.threads,
            args.rounds,
            args.tiny,
            args.cpu_time,
        )
        for case in cases(args, options):
            if args.list:
                print(case.name)
                continue
            try:
                if case.measures:
                    rows += (some := harness.run(case, options))
                    print(report.table(some), flush=True)
                else:
                    notes = harness.compare(case, options) or {'nothing': 'no peer'}
                    for name, words in notes.items():
                        print(f'{case.name}, {name}: {words}', flush=True)
            except (harness.DisagreementError, WorkerError) as error:
                failures += 1
                print(f'FAILED {case.name}: {error}', file=sys.stderr, flush=True)
        if rows:
            about = report.machine(options)
            print(f'\n{about}\n\n{report.table(rows)}')
            if args.write:
                quiet = [
                    row
                    for row in rows
                    if row.load < options.threads + 1 or row.measure in ('cpu', 'peak')
                ]
                report.write(Path(args.write), quiet, about, args.subjects)
                print(f'{len(quiet)} of {len(rows)} rows written; the others ran on a busy machine')
    return int(failures > 0)


def cases(args: argparse.Namespace, options: harness.Options) -> list[harness.Case]:
    """The cases of ``args.subjects`` (default: all) whose names contain ``args.match``.

    Raises:
        SystemExit: there is no such case.
    """
    modules = [importlib.import_module(f'benchmarks.{s}') for s in args.subjects or SUBJECTS]
    selected = [case for m in modules for case in m.cases(options) if args.match in case.name]
    if not selected:
        raise SystemExit(
            f'error: no case has {args.match!r} in its name; python -m benchmarks --list lists all'
        )
    return selected


if __name__ == '__main__':
    raise SystemExit(main())
