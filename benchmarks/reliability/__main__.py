"""Campaigns: what hrdet does with broken files, wrong configs, damaged checkpoints, killed runs.

    python -m benchmarks.reliability                      all five: about half an hour on two cores
    python -m benchmarks.reliability --quick              a tenth of each, about a minute
    python -m benchmarks.reliability images --seed 7      one of them, other inputs
    python -m benchmarks.reliability annotations --only 'coco 17'    one case again, as it was

Every case is made anew from the seed and runs in a process of its own.  The exit code is 1 if any
ended badly: a crash, a hang, a traceback, a wrong result, a refusal that comes late or names no
file, a lost evaluation.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.reliability import annotations, checkpoints, configs, images, kills, materials
from benchmarks.reliability.cases import GOOD, KINDS, Outcome, run_cases

CAMPAIGNS = {
    'annotations': annotations,
    'images': images,
    'configs': configs,
    'checkpoints': checkpoints,
    'kills': kills,
}


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Options."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.reliability',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('campaigns', nargs='*', help=', '.join(CAMPAIGNS))
    parser.add_argument('--seed', type=int, default=0, help='of all inputs (%(default)s)')
    parser.add_argument('--quick', action='store_true', help='a tenth of the cases')
    parser.add_argument(
        '--jobs', type=int, default=os.cpu_count(), help='cases at a time (%(default)s)'
    )
    parser.add_argument('--only', default='', help='cases whose name contains this')
    parser.add_argument(
        '--all', action='store_true', help='print how every case ended, not only the bad'
    )
    args = parser.parse_args(arguments)
    unknown = set(args.campaigns) - CAMPAIGNS.keys()
    if unknown:
        parser.error(f'no campaign {unknown.pop()!r}; there are {", ".join(CAMPAIGNS)}')
    args.campaigns = args.campaigns or list(CAMPAIGNS)
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    """Run campaigns; the exit code."""
    args = parse_args(arguments)
    results: dict[str, list[Outcome]] = {}
    with tempfile.TemporaryDirectory(prefix='reliability_') as scratch:
        base = Path(scratch) / 'base'
        materials.make(base)
        tempfile.tempdir = scratch
        for name in args.campaigns:
            campaign = CAMPAIGNS[name]
            count = max(1, campaign.COUNT // 10) if args.quick else campaign.COUNT
            cases = [c for c in campaign.cases(base, args.seed, count) if args.only in c.name]
            start, outcomes = time.monotonic(), []
            for outcome in run_cases(cases, args.jobs):
                outcomes.append(outcome)
                if args.all or outcome.kind not in GOOD:
                    print(ascii(str(outcome))[1:-1], flush=True)
            results[name] = outcomes
            print(f'{name}: {len(outcomes)} in {time.monotonic() - start:.0f} s', flush=True)
    print(table(results))
    return int(any(one.kind not in GOOD for outcomes in results.values() for one in outcomes))


def table(results: dict[str, list[Outcome]]) -> str:
    """How many cases of each campaign ended in each way, as a table in Markdown."""
    lines = [f'| | cases | {" | ".join(KINDS)} |', f'|---|{"---|" * (len(KINDS) + 1)}']
    for name, outcomes in results.items():
        counts = Counter(outcome.kind for outcome in outcomes)
        lines.append(f'| {name} | {len(outcomes)} | {" | ".join(str(counts[k]) for k in KINDS)} |')
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())
