"""The largest batch, against the tables of docs/results/memory.md and mmsegmentation."""

import pytest

from hrdet.finetune.batch import largest_batch, width_of

MEGAPIXELS = 800 * 1344 / 1e6


@pytest.mark.parametrize(
    ('width', 'learned', 'gigabytes', 'expected'),
    [
        (18, False, 12, 6),
        (18, False, 24, 14),
        (18, True, 12, 3),
        (18, True, 24, 8),
        (32, False, 12, 5),
        (32, False, 24, 11),
        (48, False, 12, 3),
        (48, False, 24, 8),
    ],
)
def test_it_is_that_of_the_published_table(width, learned, gigabytes, expected):
    mib = gigabytes * 1024 - 1536
    assert largest_batch(mib, MEGAPIXELS, width, learned, plain=True) == expected


def test_it_is_one_at_least_and_less_for_larger_models():
    assert largest_batch(10, MEGAPIXELS, 18, False, True) == 1
    batches = [largest_batch(50_000, MEGAPIXELS, width, False, True) for width in (18, 40, 48, 64)]
    assert batches == sorted(batches, reverse=True)
    assert largest_batch(50_000, MEGAPIXELS, 18, False, plain=False) < batches[0]


def test_the_width_of_every_way_to_write_it():
    stage4 = dict(num_channels=(32, 64, 128, 256))
    backbones = (dict(width=18), dict(width='18-small'), dict(extra=dict(stage4=stage4)))
    assert [width_of(backbone) for backbone in backbones] == [18, 18, 32]
