"""Compare training runs: losses and metrics in one picture, and a table of the best and the last.

    python tools/analysis/curves.py work_dirs/first work_dirs/second
    python tools/analysis/curves.py work_dirs/* --metric bbox_AP bbox_AP50 --out both.png

RUN is the work folder of a training, or its log.jsonl.  A star marks the best value of a run.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from hrdet.command_line import Parser
from hrdet.registry import nearest


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Options."""
    parser = Parser(__doc__)
    parser.add_argument('runs', nargs='+', metavar='RUN', help='work folders, or log.jsonl files')
    parser.add_argument(
        '--metric',
        nargs='+',
        metavar='NAME',
        help='of log.jsonl, such as bbox_AP50, mAcc or bbox_AP.car (default: the first of each '
        'kind of result)',
    )
    parser.add_argument('--out', default='compared_runs.png', help='picture to write (%(default)s)')
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """The whole command; the exit status."""
    args = parse_args(arguments)
    # Slow to import: not for --help.
    from hrdet.visualize.compared_runs import plot_runs, runs_table
    from hrdet.visualize.curves import read_log

    files = [Path(run, 'log.jsonl') if Path(run).is_dir() else Path(run) for run in args.runs]
    folders = [file.resolve().parent for file in files]
    unique = len({folder.name for folder in folders}) == len(set(folders))
    try:
        runs = {
            folder.name if unique else str(file.parent): read_log(file)
            for folder, file in zip(folders, files)
        }
    except OSError as error:
        return _error(f'{error.filename}: {error.strerror}; a RUN is the work folder of a training')
    for title, (train, val, _) in runs.items():
        if not train:
            return _error(f'{title}: no losses in its log (yet)')
        known = {name for entry in val for name in entry}
        for name in args.metric or ():
            if name not in known:
                return _error(f'{title}: no metric {name!r} in its log{nearest(name, known)}')
    print(runs_table(runs, args.metric))
    plot_runs(runs, args.out, args.metric)
    print(f'look at: {args.out}')
    return 0


def _error(message: str) -> int:
    print(f'error: {message}', file=sys.stderr)
    return 1


if __name__ == '__main__':
    raise SystemExit(main())
