"""Print the table of measurements, or write it into a page, with a description of the machine."""

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.harness import Options, Row, Spread
from benchmarks.worker import Worker

BEGIN, END = '<!-- benchmarks: begin -->', '<!-- benchmarks: end -->'
_TITLES = {'time': '{}', 'cpu': '{}: CPU time', 'start': '{}', 'peak': '{}: peak memory'}
_PACKAGES = (
    'torch',
    'torchvision',
    'onedl-mmdetection',
    'onedl-mmcv',
    'onedl-mmpretrain',
    'onedl-mmsegmentation',
    'mmcv-lite',
    'timm',
    'mmdet',
    'mmcv',
    'pycocotools',
    'hotcoco',
    'orjson',
    'numpy',
    'opencv-python-headless',
)


def table(rows: Sequence[Row]) -> str:
    """Markdown, a line for each hrdet side and peer."""
    lines = [
        '| what | device | hrdet | | peer | | peer / hrdet | agreement |',
        '|---|---|---|---|---|---|---|---|',
    ]
    for row in rows:
        theirs = _quantity(row.theirs, row.measure) if row.theirs else ''
        times = f'**{number(row.ratio)}**' if row.ratio else ''
        ours = _quantity(row.ours, row.measure)
        lines.append(
            f'| {_TITLES[row.measure].format(row.case)} | {row.device} | {row.side} | {ours} '
            f'| {row.peer or "none installed"} | {theirs} | {times} | {row.agreement} |'
        )
    return '\n'.join(lines)


def _quantity(values: Spread, measure: str) -> str:
    if measure == 'peak':
        return f'{values.median:.0f} MB'
    unit, factor = ('s', 1) if values.median >= 1 else ('ms', 1e3)
    return f'{number(Spread(*(factor * v for v in values)))} {unit}'


def number(values: Spread) -> str:
    """Median and quartiles to three digits."""

    def short(value: float) -> str:
        return f'{value:#.3g}'.rstrip('.') if value < 1000 else f'{value:.0f}'

    return f'{short(values.median)} ({short(values.low)}-{short(values.high)})'


def machine(options: Options) -> str:
    """Processor, cores, threads, system, and the versions on both sides, as a Markdown list."""
    cpu = platform.processor() or platform.machine()
    info = Path('/proc/cpuinfo')
    if info.exists():
        names = [
            x.split(':')[1].strip() for x in info.read_text().splitlines() if 'model name' in x
        ]
        cpu = names[0] if names else cpu
    lines = [f'{cpu}, {os.cpu_count()} cores, {options.threads} thread(s), {platform.platform()}']
    sides = {'hrdet': sys.executable, 'peers': options.peer_python}
    for name, python in sides.items():
        if python:
            with Worker(python) as worker:
                versions = worker.ask('about', packages=list(_PACKAGES), device=options.device)
            lines.append(f'{name}: ' + ', '.join(f'{k} {v}' for k, v in versions.items()))
    return '\n'.join(f'- {line}' for line in lines)


def write(path: Path, rows: Sequence[Row], about: str, subjects: Sequence[str] = ()) -> None:
    """Write rows into the table between the page's markers; its other rows stay.

    The numbers of all rows are in a JSON file beside the page, from which its table is made.
    ``about`` is what the rows were measured on, kept for each device and choice of subjects.

    Raises:
        ValueError: the page lacks the markers.
    """
    page = path.read_text()
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f'{path}: needs one line {BEGIN} and one line {END} around the table')
    store = path.with_suffix('.json')
    stored = json.loads(store.read_text()) if store.exists() else {'machine': {}, 'rows': []}
    known = {row.key: row for row in map(_row, stored['rows'])}
    known |= {row.key: row for row in rows}
    stored['machine'] |= {', '.join([row.device, *subjects]): about for row in rows}
    stored['rows'] = [asdict(row) for row in known.values()]
    store.write_text(json.dumps(stored, indent=1) + '\n')
    text = '\n\n'.join(f'On {device}:\n\n{text}' for device, text in stored['machine'].items())
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    path.write_text(f'{before}{BEGIN}\n{text}\n\n{table(list(known.values()))}\n{END}{after}')


def _row(values: dict[str, Any]) -> Row:
    spreads = {name: values[name] and Spread(*values[name]) for name in ('ours', 'theirs', 'ratio')}
    return Row(**values | spreads)
