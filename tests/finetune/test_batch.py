"""The largest batch, against the tables of docs/results/memory.md and mmsegmentation."""

from pathlib import Path

import pytest
import torch

from hrdet.config import load_config, lower
from hrdet.finetune.batch import largest_batch, memory_of, shape_of
from tools.analysis.memory import measure

ROOT = Path(__file__).resolve().parents[2]
MEGAPIXELS = 800 * 1344 / 1e6


@pytest.mark.parametrize(
    ('shape', 'learned', 'gigabytes', 'expected'),
    [
        ('18', False, 12, 6),
        ('18', False, 24, 14),
        ('18', True, 12, 3),
        ('18', True, 24, 8),
        ('32', False, 12, 5),
        ('32', False, 24, 11),
        ('48', False, 12, 3),
        ('48', False, 24, 8),
    ],
)
def test_it_is_that_of_the_published_table(shape, learned, gigabytes, expected):
    mib = gigabytes * 1024 - 1536
    assert largest_batch(mib, *memory_of('boxes', MEGAPIXELS, shape, learned)) == expected


@pytest.mark.parametrize(
    ('task', 'shape', 'edge', 'expected'),
    [
        ('classes', '18', 224, (88, 190)),
        ('classes', '18-small', 224, (153, 333)),
        ('classes', '18-small-v1', 224, (264, 572)),
        ('classes', '48', 224, (48, 107)),
        ('label maps', '18-small', 512, (28, 60)),
        ('label maps', '18', 512, (16, 35)),
        ('label maps', '48', 512, (8, 19)),
    ],
)
def test_other_tasks_have_their_own_figures(task, shape, edge, expected):
    megapixels = edge**2 / 1e6
    for gigabytes, count in zip((12, 24), expected):
        fits = largest_batch(gigabytes * 1024 - 1536, *memory_of(task, megapixels, shape))
        assert fits == pytest.approx(count, rel=0.03)  # the table has a constant an image, too


def test_it_is_one_at_least_and_less_for_larger_models():
    assert largest_batch(10, *memory_of('boxes', MEGAPIXELS, '18')) == 1
    shapes = ('18', '40', '48', '64')
    batches = [largest_batch(50_000, *memory_of('boxes', MEGAPIXELS, shape)) for shape in shapes]
    assert batches == sorted(batches, reverse=True)
    heads = ((False, False), (False, True), (True, False), (True, True))
    needed = [sum(memory_of('boxes', 0.1, '18', False, *head)) for head in heads]
    assert needed == sorted(set(needed))


@pytest.mark.parametrize(
    ('config', 'task', 'shape', 'sizes'),
    [
        (
            f'{ROOT}/configs/hrnet/hrnet-w18-small-v1_4xb32_in1k.py', 'classes', '18-small-v1',
            [(160, 160), (224, 224)],
        ),
        (
            'fcn_hr18s_512x512_40k_voc12aug', 'label maps', '18-small', [(192, 192), (256, 320)],
        ),
    ],
)  # fmt: skip
def test_it_is_near_the_measured_peak(config, task, shape, sizes):
    run = lower(load_config(config))
    for images, megapixels, peak in measure(run, sizes, (2,), torch.device('cpu')):
        model, image = memory_of(task, megapixels / images, shape)
        assert model + images * image == pytest.approx(peak / 2**20, rel=0.1)


@pytest.mark.parametrize(
    ('backbone', 'shape'),
    [
        (dict(width=18), '18'),
        (dict(width='18-small'), '18-small'),
        (dict(extra=dict(stage4=dict(num_channels=(32, 64, 128, 256), num_blocks=(4,) * 4))), '32'),
        (dict(extra=dict(stage4=dict(num_channels=(18,), num_blocks=(2,) * 4))), '18-small'),
        (dict(extra=dict(stage4=dict(num_channels=(16,), num_blocks=(2,) * 4))), '18-small-v1'),
    ],
)
def test_the_shape_of_every_way_to_write_it(backbone, shape):
    assert shape_of(backbone) == shape


def test_the_shape_of_published_models():
    expected = {
        'fcn_hr18s_512x1024_40k_cityscapes': '18-small',
        'fcn_hr18_512x1024_40k_cityscapes': '18',
        'hrnet-w32_3rdparty_8xb32_in1k': '32',
        'htc_hrnetv2p_w48_20e': '48',
    }
    for name, shape in expected.items():
        assert shape_of(lower(load_config(name)).model['backbone']) == shape
