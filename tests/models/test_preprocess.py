"""Preprocessing against the release's normalised images and against plain numpy."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hrdet.models.preprocess import Preprocess
from hrdet.structures import Batch

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def batch_of(images, sizes):
    """A batch of uint8 images (N, H, W, 3) in the memory layout of the loader."""
    sizes = torch.tensor(sizes, dtype=torch.float32)
    return Batch(torch.from_numpy(images).permute(0, 3, 1, 2), [], sizes, sizes)


def test_equals_the_release_bit_for_bit(reference_dir):
    golden = np.load(reference_dir / 'transforms.npz', allow_pickle=False)
    prefix = 'img1_s512x320_flip0_coco_img'
    image = cv2.imdecode(golden['img1_imrescale512x320_png'], cv2.IMREAD_COLOR)
    out = Preprocess(MEAN, STD, 'rgb')(batch_of(image[None], [image.shape[:2]]))
    assert tuple(out.shape) == tuple(golden[f'{prefix}_shape'])
    values = out.contiguous().flatten()[torch.from_numpy(golden[f'{prefix}_flatidx'])]
    assert np.array_equal(values.numpy(), golden[f'{prefix}_values'])


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    divisor=st.sampled_from([1, 16, 32]),
    order=st.sampled_from(['rgb', 'bgr']),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_equals_numpy(height, width, divisor, order, seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    sizes = [(height, width), (rng.integers(1, height + 1), rng.integers(1, width + 1)), (1, 1)]
    out = Preprocess(MEAN, STD, order, divisor)(batch_of(images, sizes))
    shape = [-(-side // divisor) * divisor for side in (height, width)]
    assert out.dtype == torch.float32
    expected = np.zeros((3, 3, *shape), np.float32)
    for target, image, (h, w) in zip(expected, images, sizes):
        channels = image[..., ::-1] if order == 'rgb' else image
        values = (channels[:h, :w].astype(np.float32) - np.float32(MEAN)) / np.float32(STD)
        target[:, :h, :w] = values.transpose(2, 0, 1)
    assert np.array_equal(out.numpy(), expected)


def test_keeps_the_layout_and_the_input():
    images = np.full((2, 33, 40, 3), 7, np.uint8)
    batch = batch_of(images, [(33, 40), (10, 10)])
    out = Preprocess(MEAN, STD)(batch)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert (images == 7).all()


def test_leaves_nothing_in_a_checkpoint():
    assert not Preprocess(MEAN, STD).state_dict()


def test_errors():
    with pytest.raises(ValueError, match="channel_order must be 'rgb' or 'bgr', not 'RGB'"):
        Preprocess(MEAN, STD, 'RGB')
    with pytest.raises(ValueError, match=r'std must be above 0'):
        Preprocess(MEAN, [1, 1, 0])
