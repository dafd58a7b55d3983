"""Test-time augmentation: the views of an image, and batches of them."""

import numpy as np
import pytest

from hrdet.data import AugmentedViews, Pad, RandomFlip, Resize, build_loader, collate
from hrdet.structures import Views

SCALES = [(96, 64), (160, 128)]


def views_of_all():
    return AugmentedViews(
        [[Resize(s), *flip, Pad(32)] for s in SCALES for flip in ([], [RandomFlip(ratio=1)])]
    )


@pytest.fixture
def dataset(coco_folder):
    return coco_folder.load([views_of_all()], test_mode=True)


def test_views_of_a_sample(dataset, coco_folder):
    """Image 0 is 48 x 64 pixels: at both scales the short edge decides, 64 / 48 and 128 / 48."""
    views = dataset[0]
    assert len(views) == 4
    for i, view in enumerate(views):
        long, short = SCALES[i // 2]
        ratio = min(long / 64, short / 48)
        assert view.meta.scale == pytest.approx((ratio, ratio))
        assert view.meta.original_size == (48, 64)
        assert view.meta.input_size == (round(48 * ratio), round(64 * ratio))
        assert view.meta.flipped is bool(i % 2)
    for plain, mirrored in (views[:2], views[2:]):
        np.testing.assert_array_equal(plain.image, mirrored.image[:, ::-1])
    alone = coco_folder.load([Resize(SCALES[1]), Pad(32)], test_mode=True)[0]
    np.testing.assert_array_equal(views[2].image, alone.image)
    assert views[2].meta == alone.meta
    assert dataset.image(0).shape == (48, 64, 3)


def test_a_batch_for_each_view(dataset):
    samples = [dataset[0], dataset[1]]
    together = collate(samples, size_divisor=32)
    assert isinstance(together, Views)
    assert len(together.batches) == 4
    assert [meta.image_id for meta in together.metas] == [7, 8]
    for i, batch in enumerate(together.batches):
        alone = collate([one[i] for one in samples], size_divisor=32)
        assert batch.metas == alone.metas
        assert batch.images.equal(alone.images)
        assert batch.images.shape[2] % 32 == 0
    shapes = [tuple(batch.images.shape[2:]) for batch in together.batches]
    assert shapes[0] == shapes[1] != shapes[2] == shapes[3]


@pytest.mark.parametrize('workers', [0, 1])
def test_views_through_the_loader(dataset, workers):
    batches = list(build_loader(dataset, 2, workers, training=False, size_divisor=32))
    assert [len(views.metas) for views in batches] == [2, 1]
    expected = collate([dataset[2]], size_divisor=32).to('cpu')
    for got, want in zip(batches[1].batches, expected.batches, strict=True):
        assert got.images.equal(want.images)
        assert got.input_sizes.equal(want.input_sizes)
        assert got.metas == want.metas
