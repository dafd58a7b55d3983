"""Resizing of feature maps against mmsegmentation, and the 1x1 convolution that goes first."""

import numpy as np
import pytest
import torch
from torch import nn

from hrdet.models.layers.resize import resize_concat, resize_concat_conv, upsample_fuse


@pytest.fixture(scope='module')
def golden(reference_dir):
    with np.load(reference_dir / 'seg_ops.npz') as file:
        names = [name for name in file.files if name.startswith(('concat_', 'fuse_'))]
        return {name: torch.from_numpy(file[name]) for name in names}


@pytest.fixture
def maps(golden):
    return [golden[f'concat_in{i}'] for i in range(4)]


def test_resize_concat(golden, maps):
    torch.testing.assert_close(resize_concat(maps), golden['concat_out'], rtol=0, atol=1e-6)


def test_fuse_resizes_in_two_steps(golden):
    sizes = {2: (6, 8), 4: (10, 14), 8: (20, 27)}
    for factor, size in sizes.items():
        found = upsample_fuse(golden['fuse_in'], factor, size)
        expected = golden[f'fuse_x{factor}_to_{size[0]}x{size[1]}']
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    one_step = nn.functional.interpolate(golden['fuse_in'], size=(20, 27), mode='bilinear')
    assert (one_step - found).abs().max() > 0.01, 'the second step matters'


@pytest.mark.parametrize('bias', [False, True])
def test_convolution_first_gives_the_same_maps_and_gradients(maps, bias):
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 5, 1, bias=bias)
    results = []
    for merged in (lambda xs: conv(resize_concat(xs)), lambda xs: resize_concat_conv(xs, conv)):
        inputs = [m.clone().requires_grad_() for m in maps]
        conv.zero_grad()
        output = merged(inputs)
        output.square().sum().backward()
        gradients = [x.grad for x in (*inputs, *conv.parameters())]
        results.append([output.detach(), *(g.clone() for g in gradients)])
    for first, second in zip(*results):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)
