"""Masks pasted into images against the 2019 release's own, OpenCV, grid_sample and pycocotools."""

import json

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from hrdet.ops import encode_masks

# Where a soft value is closer than this to the threshold, float32 and float64 may disagree.
UNDECIDED = 1e-5
# The float32 resize of OpenCV takes weights of its own rounding: it may be further away.
UNDECIDED_CV2 = 1e-4


def weights(count, low, extent, pixels):
    """(pixels, count): what each pixel reads of ``count`` values stretched over its box."""
    place = (np.arange(pixels) - low + 0.5) * count / extent - 0.5
    place = np.clip(place, 0, count - 1)[:, None]
    return np.maximum(1 - abs(place - np.arange(count)), 0)


def pasted_inclusive(mask, box, size):
    """Soft values (H, W), float64, -inf outside of the box: whole pixels of an inclusive box."""
    x1, y1, x2, y2 = (int(v) for v in (box - [0, 0, 1, 1]))  # truncates
    w, h = max(x2 - x1 + 1, 1), max(y2 - y1 + 1, 1)
    soft = weights(len(mask), y1, h, size[0]) @ mask @ weights(mask.shape[1], x1, w, size[1]).T
    y, x = np.indices(size)
    inside = (y >= y1) & (y < y1 + h) & (x >= x1) & (x < x1 + w)
    return np.where(inside, soft, -np.inf)


def pasted_continuous(mask, box, size):
    """Soft values (H, W), float64: every pixel's centre looked up in the mask, zero outside."""
    x1, y1, x2, y2 = box
    if x1 >= x2 or y1 >= y2:
        return np.zeros(size)
    y, x = (torch.arange(count, dtype=torch.float64) + 0.5 for count in size)
    x, y = (x - x1) / (x2 - x1) * 2 - 1, (y - y1) / (y2 - y1) * 2 - 1
    grid = torch.stack([x.expand(size), y[:, None].expand(size)], -1)[None]
    return F.grid_sample(torch.from_numpy(mask)[None, None], grid, align_corners=False)[0, 0]


def check(masks, boxes, sizes, threshold, inclusive):
    """Compare with the references; returns the decoded masks."""
    rles = encode_masks(
        torch.from_numpy(masks), torch.from_numpy(boxes), sizes, threshold, inclusive
    )
    assert [rle['size'] for rle in rles] == sizes.tolist()
    paste = pasted_inclusive if inclusive else pasted_continuous
    found = [coco.decode(rle) for rle in rles]
    for mask, box, size, rle, got in zip(masks, boxes, sizes.tolist(), rles, found):
        soft = np.asarray(paste(mask.astype(np.float64), box.astype(np.float64), tuple(size)))
        limit = float(np.float32(threshold))
        decided = abs(soft - limit) > UNDECIDED
        assert np.array_equal(got[decided], (soft > limit)[decided])
        # The text is the one that pycocotools writes.
        assert coco.encode(np.asfortranarray(got))['counts'] == rle['counts']
    return found


@pytest.mark.parametrize(
    ('name', 'size', 'scale'),
    [
        ('rescale', (120, 160), 1),
        ('rescale_sf1.37', (90, 120), 1.37),
        ('norescale_sf0.5', (120, 160), 1),
    ],
)
def test_golden(golden_ops, device, name, size, scale):
    labels = golden_ops['paste_labels']
    logits = golden_ops['paste_mask_logits'][np.arange(6), labels + 1]  # 0 is the background
    boxes = torch.from_numpy(golden_ops['paste_bboxes'] / np.float32(scale)) + torch.tensor(
        [0.0, 0, 1, 1]
    )
    found = encode_masks(
        torch.from_numpy(logits).sigmoid().to(device),
        boxes.to(device),
        torch.tensor([size] * 6),
        0.5,
        inclusive=True,
    )
    by_class = np.argsort(labels, kind='stable')
    expected = json.loads(str(golden_ops[f'paste_{name}_rle']))
    assert [found[i]['counts'].decode() for i in by_class] == [rle['counts'] for rle in expected]
    assert [rle['size'] for rle in found] == [list(size)] * 6


def test_as_opencv_pastes():
    rng = np.random.default_rng(0)
    for _ in range(40):
        mask = cv2.blur(rng.random((28, 28), np.float32), (5, 5))
        x, y = rng.integers(0, 60, 2)
        w, h = rng.integers(1, 120, 2)
        image = np.zeros((180, 180), np.float32)
        image[y : y + h, x : x + w] = cv2.resize(mask, (int(w), int(h)))
        box = torch.tensor([[x, y, x + w, y + h]]).float()
        sizes = torch.tensor([[180, 180]])
        [rle] = encode_masks(torch.from_numpy(mask)[None], box, sizes, 0.5, inclusive=True)
        decided = abs(image - 0.5) > UNDECIDED_CV2
        assert np.array_equal(coco.decode(rle)[decided], (image > 0.5)[decided])


_map_side, _image_side = st.integers(1, 9), st.integers(1, 40)
_low, _extent = st.floats(-30, 50, width=32), st.floats(-3, 90, width=32)


@settings(max_examples=150)
@given(
    shape=st.tuples(st.integers(0, 4), _map_side, _map_side),
    boxes=st.lists(st.tuples(_low, _low, _extent, _extent), min_size=4, max_size=4),
    sizes=st.lists(st.tuples(_image_side, _image_side), min_size=4, max_size=4),
    threshold=st.sampled_from([0.1, 0.5, 0.8]),
    inclusive=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_box(shape, boxes, sizes, threshold, inclusive, seed):
    """Also boxes outside of the image, partly outside, without size, and inside out."""
    rng = np.random.default_rng(seed)
    corners = [(x, y, x + w, y + h) for x, y, w, h in boxes[: shape[0]]]
    check(
        rng.random(shape, np.float32) ** rng.choice([0.2, 1, 5]),
        np.array(corners, np.float32).reshape(-1, 4),
        torch.tensor(sizes[: shape[0]], dtype=torch.int64).reshape(-1, 2),
        threshold,
        inclusive,
    )


@pytest.mark.parametrize('inclusive', [True, False])
def test_whole_images(inclusive):
    """Columns that touch are one run; the first and the last pixel belong to the mask."""
    full = np.ones((1, 28, 28), np.float32)
    boxes = np.array([[-9, -9, 29, 19]], np.float32)
    [mask] = check(full, boxes, torch.tensor([[10, 20]]), 0.5, inclusive)
    assert mask.all()
    [rle] = encode_masks(
        torch.from_numpy(full), torch.from_numpy(boxes), torch.tensor([[10, 20]]), 0.5, inclusive
    )
    assert rle['counts'] == coco.encode(np.ones((10, 20), np.uint8, order='F'))['counts']


def test_large_image():
    """Runs of millions of pixels, and weights along edges of thousands."""
    mask = cv2.blur(np.random.default_rng(1).random((28, 28), np.float32), (5, 5))
    boxes = torch.tensor([[100.0, 50, 3900, 2950]])
    sizes = torch.tensor([[3000, 4000]])
    [rle] = encode_masks(torch.from_numpy(mask)[None], boxes, sizes, 0.5, inclusive=True)
    soft = np.zeros((3000, 4000), np.float32)
    soft[50:2950, 100:3900] = cv2.resize(mask, (3800, 2900))
    found = coco.decode(rle)
    decided = abs(soft - 0.5) > UNDECIDED_CV2
    assert np.array_equal(found[decided], (soft > 0.5)[decided])
    assert coco.encode(np.asfortranarray(found)) == rle


@pytest.mark.parametrize('size', [(2**20, 3), (3, 2**20)])
def test_longest_sides(size):
    mask, box = torch.ones(1, 28, 28), torch.tensor([[0.0, 0, size[1], size[0]]])
    [rle] = encode_masks(mask, box, torch.tensor([size]), 0.5, inclusive=True)
    assert coco.area(rle) == 3 * 2**20


def test_the_threshold_itself():
    """2019: above it; mmdetection 3: at least it."""
    mask, box = torch.full((1, 28, 28), 0.5), torch.tensor([[2.0, 2, 30, 30]])
    sizes = torch.tensor([[40, 40]])
    areas = [
        int(coco.area(encode_masks(mask, box, sizes, 0.5, inclusive)[0]))
        for inclusive in (True, False)
    ]
    assert areas == [0, 28 * 28]


@pytest.mark.parametrize('inclusive', [True, False])
def test_boxes_that_are_no_numbers(inclusive):
    """A diverged model predicts nonsense, and is told so by its metrics, not by a crash."""
    boxes = torch.tensor([[0.0, 0, float('nan'), 9], [0, 0, float('inf'), 9], [1e30, 0, 2e30, 9]])
    sizes = torch.tensor([[10, 10]] * 3)
    for rle in encode_masks(torch.ones(3, 4, 4), boxes, sizes, 0.5, inclusive):
        assert coco.area(rle) == 0


def test_half_precision():
    mask = torch.rand(1, 28, 28).half()
    arguments = torch.tensor([[3.0, 4, 20, 30]]), torch.tensor([[40, 40]]), 0.5, False
    assert encode_masks(mask, *arguments) == encode_masks(mask.float(), *arguments)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'probabilities': torch.ones(4, 4)}, r'probabilities must have the shape \(R, h, w\)'),
        ({'boxes': torch.ones(3, 4)}, r'boxes must have the shape \(R, 4\), with R = 2'),
        ({'image_sizes': torch.ones(2, 3).long()}, r'image_sizes must have the shape \(R, 2\)'),
        ({'image_sizes': torch.ones(2, 2)}, 'image_sizes int64'),
        ({'image_sizes': torch.zeros(2, 2).long()}, 'image_sizes must be positive .*, not 0 x 0'),
        (
            {'image_sizes': torch.full((2, 2), 2**40)},
            r'less than 2\^32 pixels, not 1099511627776 x',
        ),
        (
            {'image_sizes': torch.tensor([[8, 8], [2**20 + 1, 1]])},
            'at most 1048576 pixels on a side, not 1048577 x 1',
        ),
        (
            {'image_sizes': torch.tensor([[8, 8], [1, 2**32 - 1]])},
            'at most 1048576 pixels on a side, not 1 x 4294967295',
        ),
        ({'threshold': 0.0}, 'threshold must be positive, not 0'),
    ],
)
def test_wrong_arguments(change, message):
    arguments = {
        'probabilities': torch.ones(2, 4, 4),
        'boxes': torch.tensor([[0.0, 0, 4, 4]] * 2),
        'image_sizes': torch.tensor([[8, 8]] * 2),
        'threshold': 0.5,
        'inclusive': True,
    }
    assert len(encode_masks(**arguments)) == 2
    with pytest.raises((RuntimeError, ValueError), match=message):
        encode_masks(**arguments | change)


def test_opcheck():
    """The length of the text depends on the masks, so only a traced graph of one size has it."""
    boxes, sizes = torch.tensor([[1.0, 2, 9, 8], [0, 0, 4, 4]]), torch.tensor([[10, 12], [9, 9]])
    arguments = torch.rand(2, 6, 6), boxes, sizes, 0.5, True
    torch.library.opcheck(torch.ops.hrdet.encode_masks.default, arguments)
