"""Print a config: merged with its bases, with origins, or lowered.

    python tools/print_config.py CONFIG
    python tools/print_config.py CONFIG --origins
    python tools/print_config.py CONFIG --lowered
    python tools/print_config.py MODEL --data FOLDER > mine.py
    python tools/print_config.py CONFIG --cfg-options data.imgs_per_gpu=4 optimizer.lr=0.01

Prints the config with everything it inherits, as a file that can take its place.
--origins: each value, with the file and line that wrote it.
--lowered: what is built and run, as a config that means the same; beside each part the section
it comes from.
--data: the config of a published model for data of your own; docs/data.md lists the formats.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hrdet.command_line import (
    CONFIG_HELP,
    Parser,
    add_cfg_options,
    add_data_options,
    check_data_options,
)
from hrdet.config import load_config, lower, lowered_text, values_of
from hrdet.registry import ConfigError


def parse_args() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument('config', help=CONFIG_HELP)
    parser.add_argument('--origins', action='store_true', help='file and line of every value')
    parser.add_argument('--lowered', action='store_true', help='what is built and run')
    add_data_options(parser)
    add_cfg_options(parser)
    args = parser.parse_args()
    check_data_options(parser, args)
    return args


def _import_parts() -> None:
    """Import what registers the types of a config; it takes a second, so only where needed."""
    import hrdet.data
    import hrdet.evaluation
    import hrdet.models
    import hrdet.tracking  # noqa: F401


def _derived(args: argparse.Namespace) -> str:
    from hrdet.finetune import derive  # slow to import: not for --help
    from hrdet.run_tool import mistakes_in_one_line

    with mistakes_in_one_line():
        options = dict(args.cfg_options or {})
        bad = options.pop('on_bad_image', 'error')
        if options:
            raise ConfigError('--cfg-options: edit the config that --data prints instead')
        return derive(args.config, args.data, args.batch, on_bad_image=bad, epochs=args.epochs)


def _has_parts(value: Any) -> bool:
    return (isinstance(value, dict) and bool(value)) or _holds_nodes(value)


def _holds_nodes(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(i, dict) or _holds_nodes(i) for i in value)


def main() -> None:
    args = parse_args()
    try:
        if args.data is not None:
            print(_derived(args), end='')
            return
        config = load_config(args.config, args.cfg_options)
        if args.origins:
            for path, value, origin in values_of(config):
                if not _has_parts(value):
                    print(f'{path} = {value!r}  # {origin or "a default"}')
            return
        run = lower(config)
        _import_parts()
        run.check()
    except (ConfigError, FileNotFoundError) as error:
        raise SystemExit(f'error: {error}') from None
    if not args.lowered:
        print(config.pretty_text)
    else:
        print(lowered_text(run, config.get('custom_imports')), end='')
    for warning in run.warnings:
        print(f'warning: {warning}', file=sys.stderr)


if __name__ == '__main__':
    main()
