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
    assert largest_batch('boxes', mib, MEGAPIXELS, width, learned, plain=True) == expected


@pytest.mark.parametrize(
    ('task', 'width', 'edge', 'expected'),
    [
        ('classes', 18, 224, (88, 190)),
        ('classes', 48, 224, (48, 107)),
        ('label maps', 18, 512, (16, 35)),
        ('label maps', 48, 512, (8, 19)),
    ],
)
def test_other_tasks_have_their_own_figures(task, width, edge, expected):
    megapixels = edge**2 / 1e6
    for gigabytes, count in zip((12, 24), expected):
        fits = largest_batch(task, gigabytes * 1024 - 1536, megapixels, width, True, True)
        assert fits == pytest.approx(count, rel=0.03)  # the table has a constant an image, too


def test_it_is_one_at_least_and_less_for_larger_models():
    assert largest_batch('boxes', 10, MEGAPIXELS, 18, False, True) == 1
    batches = [largest_batch('boxes', 50_000, MEGAPIXELS, w, False, True) for w in (18, 40, 48, 64)]
    assert batches == sorted(batches, reverse=True)
    assert largest_batch('boxes', 50_000, MEGAPIXELS, 18, False, plain=False) < batches[0]


def test_the_width_of_every_way_to_write_it():
    stage4 = dict(num_channels=(32, 64, 128, 256))
    backbones = (dict(width=18), dict(width='18-small'), dict(extra=dict(stage4=stage4)))
    assert [width_of(backbone) for backbone in backbones] == [18, 18, 32]
