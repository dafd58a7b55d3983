"""Mask targets against the 2019 release's own, against OpenCV, and against RoIAlign in loops."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hrdet.models.roi.masks import mask_targets
from tests.no_sync import NoSync
from tests.ops import brute_force

# Means of samples in float32: those closer to a half than this may fall on either side of it.
UNDECIDED = 1e-5


def cut_and_resized(mask, box, size):
    """As the release does it: truncated inclusive corners, OpenCV's resize of bytes."""
    height, width = mask.shape
    box = box - np.float32([0, 0, 1, 1])
    x1, y1, x2, y2 = np.clip(box, 0, [width - 1, height - 1] * 2).astype(int)
    w, h = max(x2 - x1 + 1, 1), max(y2 - y1 + 1, 1)
    return cv2.resize(mask[y1 : y1 + h, x1 : x1 + w], (size, size))


def scene(rng, images, objects, height, width, boxes):
    """Masks of noise and of blobs, boxes that reach outside, and each box's object."""
    masks = (rng.random((images, objects, height, width)) < 0.5).astype(np.uint8)
    for mask in masks[:, ::2].reshape(-1, height, width):
        mask[:] = cv2.blur(mask * 255, (5, 5)) > 127
    corners = rng.uniform(-8, [width + 8, height + 8], (2, images, boxes, 2)).astype(np.float32)
    if rng.random() < 0.5:
        corners = corners.round()  # values that are exactly a half
    boxes = np.concatenate([corners.min(0), corners.max(0)], -1)
    return masks, boxes, rng.integers(0, objects, boxes.shape[:2])


def targets(masks, boxes, gt_index, size, convention):
    tensors = (torch.from_numpy(part) for part in (masks, boxes, gt_index))
    out = mask_targets(*tensors, size, convention)
    assert out.shape == (*boxes.shape[:2], size, size)
    assert out.dtype == torch.float32
    return out.numpy()


def test_golden(golden_ops):
    found = targets(
        golden_ops['masktarget_gt_masks'][None],
        (golden_ops['masktarget_proposals'] + np.float32([0, 0, 1, 1]))[None],
        golden_ops['masktarget_assigned'][None],
        28,
        'inclusive',
    )
    assert np.array_equal(found[0], golden_ops['masktarget_out28'])


@settings(max_examples=150)
@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 90), st.integers(1, 90)),
    size=st.integers(1, 30),
    seed=st.integers(0, 10000),
)
def test_any_inclusive(shape, size, seed):
    """Bit by bit as OpenCV: its weights are integers, and a value of a half rounds up."""
    masks, boxes, gt_index = scene(np.random.default_rng(seed), *shape, boxes=4)
    found = targets(masks, boxes, gt_index, size, 'inclusive')
    for image, row in np.ndindex(*gt_index.shape):
        expected = cut_and_resized(masks[image, gt_index[image, row]], boxes[image, row], size)
        assert np.array_equal(found[image, row], expected)


@settings(max_examples=25)
@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 30), st.integers(1, 30)),
    size=st.integers(1, 7),
    seed=st.integers(0, 10000),
)
def test_any_continuous(shape, size, seed):
    masks, boxes, gt_index = scene(np.random.default_rng(seed), *shape, boxes=3)
    # Proposals lie in the image. Further out, where values jump to 0 at a distance of a pixel,
    # float32 and float64 would not agree on which side of the jump a sample is.
    boxes = np.clip(boxes, 0, np.float32(shape[:1:-1] * 2))
    found = targets(masks, boxes, gt_index, size, 'continuous')
    for image in range(len(masks)):
        rois = np.concatenate([gt_index[image][:, None], boxes[image]], 1).astype(np.float64)
        maps = [masks[image][:, None].astype(np.float64)]
        means = brute_force.roi_align(maps, rois, size, size, [1], 0, half_pixel=True)[:, 0]
        decided = abs(means - 0.5) > UNDECIDED
        assert np.array_equal(found[image][decided], (means >= 0.5)[decided])


def test_half_an_object_counts_when_continuous():
    mask = np.zeros((1, 1, 4, 4), np.uint8)
    mask[..., :2] = 1
    box, index = np.float32([[[0, 0, 4, 4]]]), np.zeros((1, 1), np.int64)
    assert targets(mask, box, index, 1, 'continuous') == 1
    mask[0, 0, 0, 0] = 0
    assert targets(mask, box, index, 1, 'continuous') == 0


@pytest.mark.parametrize('convention', ['inclusive', 'continuous'])
@pytest.mark.parametrize(
    'device',
    [
        'cpu',
        pytest.param(
            'cuda',
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device'),
            ],
        ),
    ],
)
def test_waits_for_no_device(convention, device):
    arrays = scene(np.random.default_rng(0), 2, 3, 40, 50, boxes=6)
    expected = targets(*arrays, 14, convention)
    tensors = [torch.from_numpy(array).to(device) for array in arrays]
    if device == 'cuda':
        torch.cuda.set_sync_debug_mode('error')
    try:
        with NoSync():
            found = mask_targets(*tensors, 14, convention)
    finally:
        if device == 'cuda':
            torch.cuda.set_sync_debug_mode('default')
    assert np.array_equal(found.cpu(), expected)


@pytest.mark.parametrize('convention', ['inclusive', 'continuous'])
def test_no_boxes(convention):
    masks, boxes, gt_index = scene(np.random.default_rng(0), 2, 1, 8, 8, boxes=0)
    assert targets(masks, boxes, gt_index, 28, convention).size == 0
