"""Repeated, balanced and joined data sets."""

import numpy as np
import pytest

from hrdet.data import (
    ClassBalancedDataset,
    ConcatDataset,
    DataError,
    RepeatDataset,
    Resize,
    SampleKey,
    build_loader,
)


def mark(sample, rng):
    """Note the first random number in the image."""
    sample.image[0, 0, 0] = rng.integers(256)
    sample.image[0, 0, 1] = rng.integers(256)
    return sample


def test_repeat_draws_anew(coco_folder):
    dataset = RepeatDataset(coco_folder.load([mark]), 4)
    assert len(dataset) == 12
    assert dataset.image_ids == [7, 8, 9] * 4
    assert dataset.aspect_groups.tolist() == [1, 0, 0] * 4
    draws = {tuple(dataset[i].image[0, 0, :2]) for i in (0, 3, 6, 9)}
    assert len(draws) == 4
    assert dataset.report.count('images') == 1
    with pytest.raises(ValueError, match='times'):
        RepeatDataset(dataset, 0)


def test_balance_repeats_rare_classes(coco_folder):
    base = coco_folder.load(classes=('cat', 'dog'))
    # cats on images 0 and 2, dogs on 0 and 1: each class on 2 of 3 images.
    assert len(ClassBalancedDataset(base, 0.6)) == 3
    balanced = ClassBalancedDataset(base, 1.0)  # sqrt(1 / (2/3)) = 1.22: two copies of each
    assert balanced.image_ids == [7, 7, 8, 8, 9, 9]
    only_rare = coco_folder.content['annotations']
    only_rare[:] = [a for a in only_rare if a['id'] in (2, 5, 1)]
    rare = ClassBalancedDataset(coco_folder.load(), 0.9)
    # dogs on 1 of 3 images: sqrt(0.9 * 3) = 1.64; cats on 2 of 3: sqrt(1.35) = 1.16.
    assert rare.image_ids == [7, 7, 8, 8, 9, 9]
    rare = ClassBalancedDataset(coco_folder.load(), 0.5)
    assert rare.image_ids == [7, 8, 8, 9]
    np.testing.assert_array_equal(rare.sizes, [[48, 64], [64, 48], [64, 48], [50, 50]])
    with pytest.raises(ValueError, match='oversample_thr'):
        ClassBalancedDataset(base, 0)


def test_joined(coco_folder):
    a, b = coco_folder.load(), coco_folder.load([mark], with_crowd=False)
    joined = ConcatDataset([a, RepeatDataset(b, 2)])
    assert len(joined) == 9
    assert [joined[i].meta.image_id for i in range(9)] == [7, 8, 9] * 3
    assert len(joined[0].truth.ignored) == 1
    assert len(joined[3].truth.ignored) == 0
    assert joined.labels_of(5).tolist() == [0]
    assert joined.aspect_groups.tolist() == [1, 0, 0] * 3
    assert joined.report.count('\n') == 1
    assert joined.largest_sizes().shape == (9, 2)
    key = SampleKey(4, 2, 1)
    np.testing.assert_array_equal(joined[key].image, joined[key].image)
    with pytest.raises(DataError, match='share image ids'):
        joined.to_coco()


def test_joined_classes_must_agree(coco_folder):
    with pytest.raises(DataError, match=r"\('cat', 'dog'\).*\('dog', 'cat'\)"):
        ConcatDataset([coco_folder.load(), coco_folder.load(classes=('dog', 'cat'))])


def test_joined_truth(coco_folder):
    a = coco_folder.load(test_mode=True)
    for image in coco_folder.content['images']:
        image['id'] += 10
    for annotation in coco_folder.content['annotations']:
        annotation['image_id'] += 10
    content = ConcatDataset([a, coco_folder.load(test_mode=True)]).to_coco()
    assert [image['id'] for image in content['images']] == [7, 8, 9, 17, 18, 19]
    assert [annotation['id'] for annotation in content['annotations']] == list(range(1, 11))


def test_pad_size_is_checked_through_wrappers(coco_folder):
    dataset = RepeatDataset(ConcatDataset([coco_folder.load([Resize((100, 80))])]), 2)
    build_loader(dataset, 1, num_workers=0, pad_size=(100, 80))
    with pytest.raises(DataError, match='too small for 4 of 6'):
        build_loader(dataset, 1, num_workers=0, pad_size=(99, 80))
