"""The benchmark's table: every part is there, and the parts make up the whole."""

import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from hrdet.data.shapes import make_shapes
from tools.analysis import benchmark, steps
from tools.analysis.stopwatch import Stopwatch

QUICKSTART = Path(__file__).resolve().parents[3] / 'configs/quickstart'
LAYERS = ['to the device', 'preprocess', 'backbone', 'neck', 'heads']
SHORT = ['--device', 'cpu', '--iterations', '2', '--warmup', '1', '--batch', '2']


def table(monkeypatch, capsys, *arguments, detector='faster_rcnn'):
    """The printed rows: name to milliseconds; and the lines around the table."""
    config = str(QUICKSTART / f'{detector}_hrnetv2p_w18_small.py')
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', config, *SHORT, *map(str, arguments)])
    benchmark.main()
    lines = capsys.readouterr().out.splitlines()
    cells = [line.split('│')[1:3] for line in lines if line.startswith('│')]
    rows = {name.strip(): float(ms) for name, ms in cells}
    return rows, [line for line in lines if line[:1].isalnum()]


@pytest.mark.parametrize(
    ('mode', 'more'),
    [
        ('infer', ['post-processing']),
        ('train', ['targets and losses', 'backward', 'optimizer']),
    ],
)
def test_noise(monkeypatch, capsys, mode, more):
    rows, around = table(monkeypatch, capsys, '--mode', mode, '--shape', 64, 96)
    assert list(rows) == [*LAYERS, *more, 'whole step']
    whole = rows.pop('whole step')
    # Medians of two steps do add up, each rounded to 0.1; between the parts another process may
    # have had the processor.
    assert whole / 2 < sum(rows.values()) < whole + 1
    assert 'images (2, 3, 64, 96)' in around[0]
    assert float(around[1].split()[0]) == pytest.approx(2000 / whole, rel=0.02)
    assert 'MiB of memory' in around[1]
    assert len(around) == 2


@pytest.mark.parametrize('detector', ['htc', 'fcos'])
@pytest.mark.parametrize('mode', ['infer', 'train'])
def test_other_detectors(monkeypatch, capsys, mode, detector):
    """Noise has the masks and maps that they learn from, and their heads take time."""
    rows, _ = table(monkeypatch, capsys, '--mode', mode, '--shape', 64, 96, detector=detector)
    assert rows['heads'] > 0.01 * rows['whole step']


def printed(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', *map(str, arguments), *SHORT[:-2]])
    benchmark.main()
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize('mode', ['infer', 'train'])
@pytest.mark.parametrize('options', [(), ('--shape', 64, 96)])
def test_classifiers_and_segmentors(monkeypatch, capsys, task, mode, options):
    lines = printed(monkeypatch, capsys, task.config, '--mode', mode, *options)
    rows = {line.split('│')[1].strip() for line in lines if line.startswith('│')}
    assert {'backbone', 'heads', 'whole step'} <= rows
    assert ('backward' in rows) == (mode == 'train')


def test_the_columns_of_published_tables(monkeypatch, capsys, task):
    """200 images are predicted one by one; the measured times are replaced by 50 ms."""
    measured = []

    def measure(step, batches, watch, args):
        measured.append((args.mode, args.iterations, len(next(batches).metas)))
        watch.times['whole step'] = [50.0] * args.iterations
        return [(1, 3, 64, 80)]

    monkeypatch.setattr(steps, 'measure', measure)
    header, _, row, note = printed(monkeypatch, capsys, task.config, '--table')
    assert header == '| config | Mem (GB) | fps |'
    _, config, memory, fps, _ = row.split('|')
    assert config.strip() == 'config'
    assert 0.1 < float(memory) < 100
    assert float(fps) == 20
    assert measured == [('train', 2, 2), ('infer', 200, 1)]
    assert '200 images, the last one (1, 3, 64, 80)' in note
    lines = printed(monkeypatch, capsys, task.config, '--table', '--mode', 'infer', '--images', 3)
    assert lines[0] == '| config | fps |'
    assert measured[2:] == [('infer', 3, 1)]


def on_shapes(tmp_path) -> list[str]:
    """Options for a small data set."""
    make_shapes(tmp_path, 4, 4, (64, 64), 0)
    return [
        f'data.{part}.{key}={tmp_path}/{place}'
        for part, name in (('train', 'train'), ('test', 'val'))
        for key, place in (
            ('ann_file', f'annotations/instances_{name}.json'),
            ('img_prefix', f'{name}/'),
        )
    ]


@pytest.mark.parametrize('mode', ['infer', 'train'])
def test_data_set(monkeypatch, capsys, tmp_path, mode):
    options = on_shapes(tmp_path)
    _, around = table(monkeypatch, capsys, '--mode', mode, '--cfg-options', *options)
    assert around[2].startswith('data loading: ')
    assert 'for this step take ' in around[2]


def test_views(monkeypatch, capsys, tmp_path):
    options = [*on_shapes(tmp_path), 'data.test.img_scale=[(64,64),(96,96)]']
    _, around = table(monkeypatch, capsys, '--mode', 'infer', '--cfg-options', *options)
    assert 'images (2, 3, 64, 64), (2, 3, 96, 96), ' in around[0]


def test_a_part_called_twice_counts_twice_and_only_itself(monkeypatch):
    class Slow(nn.Module):
        def forward(self, x):
            clock['now'] += 0.25
            return x

    clock = {'now': 100.0}
    monkeypatch.setattr(time, 'perf_counter', lambda: clock['now'])
    watch, slow = Stopwatch(torch.device('cpu')), nn.Sequential(Slow())
    for module in slow.modules():  # what is inside another of the name counts once
        watch.watch(module, 'slow')
    for calls in (1, 2):
        with watch.span('all'):
            for _ in range(calls):
                slow(torch.zeros(1))
            clock['now'] += 1
        watch.finish_step()
    assert watch.times == {'slow': [250, 500], 'all': [1250, 1500]}


def test_mistakes_are_named(monkeypatch, capsys):
    arguments = ['--mode', 'infer', '--cfg-options', 'data.test.ann_file=nowhere.json']
    with pytest.raises(SystemExit, match=r'error: .*nowhere\.json'):
        table(monkeypatch, capsys, *arguments)
    with pytest.raises(SystemExit):
        table(monkeypatch, capsys, '--mode', 'infer', '--shape', 0, 4)
    assert 'must be at least 1' in capsys.readouterr().err
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', 'config.py'])
    with pytest.raises(SystemExit):
        benchmark.main()
    assert 'give --mode infer, --mode train or --table' in capsys.readouterr().err
