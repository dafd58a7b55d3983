"""The settings that follow from the data."""

import pytest

from hrdet.config import Node
from hrdet.finetune.recipe import _scaled, _times


def test_every_size_is_scaled_by_the_edge_that_it_is():
    ratios = (0.5, 0.25)
    assert _times((1333, 800), ratios, 1) == (666, 200)
    assert _times((800, 1344), ratios, 32) == (192, 672)
    assert _times([(1600, 1000), (1000, 600)], ratios, 1) == [(800, 250), (500, 150)]
    assert _times(224, ratios, 32) == 64
    assert _times((10, 8), ratios, 32) == (32, 32)


@pytest.mark.parametrize(
    ('step', 'expected'),
    [
        (dict(type='SegRandomCrop', crop_size=(512, 1024)), dict(crop_size=(352, 480))),
        (dict(type='PadToSize', size=(64, 96)), dict(size=(64, 96))),
        (dict(type='RandResizeCrop', scales=[[1400, 600]], size=[1200, 800]),
         dict(scales=[[700, 150]], size=[608, 192])),
        (dict(type='CenterCrop', crop_size=224), dict(crop_size=64)),
        (dict(type='RandomFlip', ratio=0.5), {}),
    ],
)  # fmt: skip
def test_transforms_of_an_image_of_480_x_360(step, expected):
    assert _scaled(Node('', {}, **step), (0.5, 0.25), (360, 480)) == step | expected
