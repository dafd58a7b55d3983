"""Batches: padding, truth beside it, and pad_size."""

import numpy as np
import pytest
import torch

from hrdet.data import (
    DataError,
    Pad,
    RandomCrop,
    RandResizeCrop,
    Resize,
    SegRescale,
    check_pad_size,
    collate,
)
from hrdet.structures import GroundTruth, ImageMeta, LoadedProposals, Sample


def sample(h, w, count=2, ignored=1, masks=False, original=None):
    image = np.full((h, w, 3), 200, np.uint8)
    truth = GroundTruth(
        boxes=np.tile(np.float32([1, 2, 30, 40]), (count, 1)),
        labels=np.arange(count) + 5,
        ignored=np.ones((ignored, 4), np.float32),
        masks=np.ones((count, h, w), np.uint8) if masks else None,
        semantic=np.full((h, w), 3, np.uint8) if masks else None,
    )
    meta = ImageMeta('x.jpg', 1, original or (h, w), (h, w), (h, w))
    return Sample(image, meta, truth)


def test_buffer_and_truth():
    batch = collate([sample(40, 60, 2, 0, True), sample(50, 45, 0, 3, True)], size_divisor=32)
    assert batch.images.shape == (2, 3, 64, 64)
    assert batch.images.dtype == torch.uint8
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    for image, (h, w) in zip(batch.images, [(40, 60), (50, 45)]):
        assert (image[:, :h, :w] == 200).all()
        assert int(image.long().sum()) == 200 * 3 * h * w
    truth = batch.truth
    assert truth.valid.tolist() == [[True, True], [False, False]]
    assert truth.ignored_valid.tolist() == [[False] * 3, [True] * 3]
    assert truth.boxes[0].tolist() == [[1, 2, 30, 40]] * 2
    assert truth.boxes[1].abs().sum() == 0
    assert truth.labels.tolist() == [[5, 6], [0, 0]]
    assert truth.masks.shape == (2, 2, 64, 64)
    assert truth.masks.sum(dim=(2, 3)).tolist() == [[2400, 2400], [0, 0]]
    assert truth.semantic.shape == (2, 64, 64)
    assert (truth.semantic[1, :50, :45] == 3).all()
    assert int((truth.semantic == 255).sum()) == 2 * 64 * 64 - 40 * 60 - 50 * 45
    assert batch.input_sizes.tolist() == [[40, 60], [50, 45]]
    assert batch.input_sizes.dtype == torch.float32


def test_no_boxes_at_all_leaves_an_invalid_row():
    batch = collate([sample(40, 60, 0, 0), sample(40, 60, 0, 0)])
    assert batch.truth.boxes.shape == (2, 1, 4)
    assert not batch.truth.valid.any()
    assert not batch.truth.ignored_valid.any()


def test_no_truth():
    bare = sample(40, 60)
    bare.truth = None
    assert collate([bare]).truth is None


def test_proposals_are_padded_with_score_minus_one():
    samples = [sample(40, 60), sample(40, 60)]
    samples[0].proposals = LoadedProposals(np.full((3, 5), 0.5, np.float32))
    samples[1].proposals = LoadedProposals(np.empty((0, 5), np.float32))
    proposals = collate(samples).proposals
    assert proposals.shape == (2, 3, 5)
    assert (proposals[1, :, 4] == -1).all()


def test_small_semantic_maps():
    rescale = SegRescale(0.125)
    samples = [rescale(s, None) for s in (sample(65, 100, masks=True), sample(70, 96, masks=True))]
    batch = collate(samples, size_divisor=32)
    assert batch.images.shape[2:] == (96, 128)
    assert batch.truth.semantic.shape == (2, 12, 16)
    assert (batch.truth.semantic[0, :9, :13] == 3).all()
    assert collate(samples).truth.semantic.shape == (2, 9, 13)


@pytest.mark.parametrize('case', ['land', 'port', 'square', 'nopad'])
def test_batch_shapes_of_the_release(golden, case):
    sizes = [tuple(shape[1:]) for shape in golden[f'collate_{case}_in'].tolist()]
    pad_size = None if case == 'nopad' else (192, 128)
    batch = collate([sample(h, w) for h, w in sizes], pad_size)
    assert tuple(batch.images.shape) == tuple(golden[f'collate_{case}_outshape'])


def test_too_large_is_an_error_not_a_crop(golden):
    sizes = [tuple(shape[1:]) for shape in golden['collate_toobig_in'].tolist()]
    with pytest.raises(DataError, match=r'x\.jpg: \[140, 200\].*pad_size=\(192, 128\)'):
        collate([sample(h, w) for h, w in sizes], (192, 128))


def test_mixed_orientations_take_both():
    assert collate([sample(100, 160), sample(160, 100)], (192, 128)).images.shape[2:] == (192, 192)


def test_rounded_to_square_keeps_the_orientation_of_the_file():
    square = sample(100, 100, original=(640, 641))
    assert collate([square], (192, 128)).images.shape[2:] == (128, 192)


class Sizes:
    """As much of a data set as check_pad_size looks at."""

    def __init__(self, sizes, transforms):
        self.sizes, self.transforms = np.array(sizes), transforms
        self.image_ids = list(range(len(sizes)))

    def __len__(self):
        return len(self.sizes)

    def largest_sizes(self):
        forms = self.sizes[None]
        for transform in self.transforms:
            forms = transform.largest_sizes(forms)
        return forms.max(axis=0)


def test_pad_sizes_of_the_release_are_large_enough():
    rng = np.random.default_rng(0)
    sizes = [*rng.integers(50, 700, (300, 2)).tolist(), [640, 640], [640, 641], [641, 640]]
    scales = [(1600, 1000), (1000, 600), (1333, 800)]
    check_pad_size(Sizes(sizes, [Resize(scales), Pad(32)]), (1600, 1024))
    crop = RandResizeCrop([(1400, 600), (1400, 800), (1400, 1000)], (1200, 800))
    check_pad_size(Sizes(sizes, [crop, Pad(1)]), (1216, 800))


def test_too_small_a_pad_size_is_found_at_start():
    dataset = Sizes([(480, 640), (640, 480)], [Resize((1333, 800)), Pad(32)])
    check_pad_size(dataset, None)
    check_pad_size(dataset, (1088, 800))
    with pytest.raises(DataError, match=r'too small for 2 of 2.*Set pad_size=\(1088, 800\)'):
        check_pad_size(dataset, (1056, 800))


def test_crops_fit_into_the_pad_size_that_was_accepted():
    """Whole, the images become 43 x 96 pixels; their squarest patches 64 x 64."""
    originals = [sample(40, 90, 1), sample(90, 40, 1)]
    sizes = [each.meta.original_size for each in originals]
    resize = Resize((96, 64))
    transforms = [RandomCrop(keep_orientation=True), resize]
    check_pad_size(Sizes(sizes, [resize]), (96, 43))
    with pytest.raises(DataError, match=r'too small for 2 of 2.*Set pad_size=\(96, 64\)'):
        check_pad_size(Sizes(sizes, transforms), (96, 43))
    check_pad_size(Sizes(sizes, transforms), (96, 64))
    for seed in range(40):
        rng = np.random.default_rng(seed)
        for original, expected in zip(originals, [(64, 96), (96, 64)]):
            cut = original
            for transform in transforms:
                cut = transform(cut, rng)
            assert collate([cut], (96, 64)).images.shape[2:] == expected
