"""Download weights into the cache folder.

    python tools/download.py htc_hrnetv2p_w18_20e hrnet-w18_3rdparty_8xb32_in1k
    python tools/download.py open-mmlab://msra/hrnetv2_w18 timm/hrnet_w32.ms_in1k
    python tools/download.py all --task segmentation

SOURCE is the name of a published model, or an address (docs/model_zoo.md).  The files' names are
printed; what is here already is not fetched again.  Files that cannot be had are listed at the end,
and the exit status is then 1.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hrdet.command_line import Parser
from hrdet.registry import ConfigError


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Options."""
    parser = Parser(__doc__)
    parser.add_argument('sources', nargs='+', metavar='SOURCE', help='names, addresses, or: all')
    parser.add_argument(
        '--task',
        choices=('detection', 'classification', 'segmentation'),
        help='of all, the models of this task',
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """The whole command; the exit status."""
    args = parse_args(arguments)
    from hrdet import zoo  # slow to import: not for --help

    models = [m for m in zoo.MODELS.values() if args.task in (None, m.task) and m.url]
    sources = [model.name for model in models] if args.sources == ['all'] else args.sources
    problems = list(filter(None, map(_fetch, sources)))
    for problem in problems:
        print(f'error: {problem}', file=sys.stderr)
    return 1 if problems else 0


def _fetch(source: str) -> str | None:
    """Print the file of a source; returns why there is none."""
    from hrdet.weights import find

    try:
        file = find(source)
    except (ConfigError, OSError) as error:
        return str(error)
    if not file.is_file():
        return f'{source}: neither a published model nor an address nor a file'
    print(file)
    return None


if __name__ == '__main__':
    raise SystemExit(main())
