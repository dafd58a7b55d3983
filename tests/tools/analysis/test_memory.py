"""Peaks against what can be counted by hand, slopes against planes, and the printed answer."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from hrdet.engine.trainer import TrainStep
from hrdet.optim import build_optimizer
from tools.analysis import memory, steps

QUICKSTART = Path(__file__).resolve().parents[3] / 'configs/quickstart'
FASTER = str(QUICKSTART / 'faster_rcnn_hrnetv2p_w18_small.py')
COUNT = 100_000  # of weights


class Chain(nn.Module):
    """Keeps ``depth`` tensors of the weights' size for the backward."""

    def __init__(self, depth):
        super().__init__()
        self.weight, self.depth = nn.Parameter(torch.rand(COUNT)), depth

    def forward(self, batch, mode):
        value = self.weight
        for _ in range(self.depth):
            value = value.sin()  # keeps what it took: the weights, then its own results
        return {'loss': value.sum()}


@pytest.mark.parametrize('depth', [2, 7])
def test_peak_is_what_is_alive_at_once(depth):
    """Weights, momentum, the results at the end of the forward; two gradients at the first step
    back and the cosine it multiplies with, before the last result goes."""
    model, cpu = Chain(depth), torch.device('cpu')
    options = dict(type='SGD', lr=0.1, momentum=0.9)
    step = TrainStep(model, build_optimizer(model, options), cpu)
    batch = steps.noise(1, (32, 32), None)
    found = memory.peak(step, batch, cpu) - batch.images.nbytes
    numbers = found / 4 / COUNT
    assert 2 + depth < numbers < 2 + depth + 3.1


def test_plane():
    """Found again exactly, and with it the largest batch."""
    points = [(n, n * mega, 300 + 20 * n + 1000 * n * mega) for n in (1, 3) for mega in (0.1, 0.4)]
    slopes, error = memory.plane(points)
    assert slopes == pytest.approx([300, 20, 1000])
    assert error < 1e-9
    assert memory.largest_batch(slopes, (1000, 1000), 300 + 3 * 1020 + 1) == 3
    assert memory.largest_batch(slopes, (1000, 1000), 300 + 3 * 1020 - 1) == 2
    assert memory.largest_batch(slopes, (1000, 1000), 100) == 0
    points[0] = (*points[0][:2], points[0][2] * 1.2)
    assert memory.plane(points)[1] > 0.02


def told(monkeypatch, capsys, *options):
    """MiB of the model, of an image and of a megapixel; and the last line."""
    sizes = ['--sizes', '64x96', '128x128', '--batches', '1', '2', '--device', 'cpu']
    monkeypatch.setattr(sys, 'argv', ['memory.py', FASTER, *sizes, *options])
    memory.main()
    *_, slopes, answer = capsys.readouterr().out.splitlines()
    words = slopes.replace('within', '').split()
    return [float(words[i]) for i in (0, 3, 7)], answer


def test_recomputing_makes_the_slope_flat(monkeypatch, capsys):
    (*_, slope), answer = told(monkeypatch, capsys, '--cards', '8')
    assert answer.startswith('images of 800 x 1344: ')
    assert answer.endswith(' in 8 GiB (1.5 GiB left free)')
    options = '--cfg-options', 'model.backbone.with_cp=True'
    assert told(monkeypatch, capsys, *options)[0][2] < 0.6 * slope


def test_mistakes_are_named(monkeypatch, capsys):
    for options in (['--sizes', '64x64'], ['--batches', '1'], ['--size', '800']):
        with pytest.raises(SystemExit):
            told(monkeypatch, capsys, *options)
    assert 'written as 800x1344' in capsys.readouterr().err
    with pytest.raises(SystemExit, match='error: '):
        told(monkeypatch, capsys, '--cfg-options', 'model.backbon.with_cp=True')
