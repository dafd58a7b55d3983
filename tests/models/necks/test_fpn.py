"""FPN against its definition, map by map."""

import pytest
import torch
import torch.nn.functional as F

from hrdet.models.necks import FPN


def test_levels():
    torch.manual_seed(0)
    neck = FPN([4, 6, 8], out_channels=5, num_outs=5).double()
    features = [
        torch.rand(2, c, *size, dtype=torch.float64)
        for c, size in ((4, (13, 20)), (6, (7, 10)), (8, (4, 5)))
    ]
    state = neck.state_dict()

    def conv(x, name, padding):
        return F.conv2d(x, state[f'{name}.conv.weight'], state[f'{name}.conv.bias'], 1, padding)

    merged = None
    expected = []
    for i in (2, 1, 0):
        lateral = conv(features[i], f'lateral_convs.{i}', 0)
        if merged is not None:  # the nearest pixel of the coarser map, by its definition
            rows, columns = (
                torch.arange(n) * m // n for n, m in zip(lateral.shape[2:], merged.shape[2:])
            )
            lateral = lateral + merged[:, :, rows][..., columns]
        merged = lateral
        expected.insert(0, conv(merged, f'fpn_convs.{i}', 1))
    for _ in range(2):
        expected.append(expected[-1][:, :, ::2, ::2])
    for found, wanted in zip(neck(features), expected, strict=True):
        torch.testing.assert_close(found, wanted)


def test_too_few_levels():
    with pytest.raises(ValueError, match='num_outs=2: there are 3 maps'):
        FPN([4, 6, 8], num_outs=2)
