import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from hrdet.boxes import aligned_iou, box_area, flip_boxes, pairwise_iof, pairwise_iou

ONE = torch.tensor([0.0, 0, 1, 1])

coordinate = st.integers(-20, 20).map(lambda i: i / 2) | st.floats(-1000, 1000, width=32)
boxes = st.lists(st.tuples(*[coordinate] * 4), min_size=0, max_size=6).map(
    lambda rows: torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)
)


def area64(box):
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def overlap64(a, b):
    return area64((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def iou64(a, b):
    overlap = overlap64(a, b) if area64(a) and area64(b) else 0.0
    union = area64(a) + area64(b) - overlap
    return overlap / union if union else 0.0


def iof64(a, b):
    return overlap64(a, b) / area64(a) if area64(a) else 0.0


def loops(function, first, second):
    rows = [[function(a, b) for b in second.tolist()] for a in first.tolist()]
    return torch.tensor(rows, dtype=torch.float64).reshape(len(first), len(second))


def test_overlaps_are_the_release_s(golden_ops):
    a, b = (torch.from_numpy(golden_ops[f'overlaps_{n}']) + ONE for n in 'ab')
    # The release calls a box inverted on both axes positive, hrdet calls it empty (row 2 is empty
    # in both, with 0/0 in the release).
    proper = (a[:, 2:] > a[:, :2]).all(1)
    assert proper.sum() >= 15
    for name, function in (('iou', pairwise_iou), ('iof', pairwise_iof)):
        expected = torch.from_numpy(golden_ops[f'overlaps_{name}'])
        # The stored corners are rounded once more than the release's: 1e-5 of a pixel in ten.
        torch.testing.assert_close(function(a, b)[proper], expected[proper], rtol=0, atol=2e-6)
        assert function(a, b).isfinite().all()
    expected = torch.from_numpy(golden_ops['overlaps_iou_aligned'])
    torch.testing.assert_close(
        aligned_iou(a, b[: len(a)])[proper], expected[proper], rtol=0, atol=2e-6
    )


@given(first=boxes, second=boxes)
def test_overlaps_against_float64(first, second):
    # The size of a box is rounded once from corners up to 1000: with 1e-7 of them, and areas whose
    # difference is the union, 1e-5 is what float32 gives for boxes of a pixel.  Thinner ones lose
    # more, so the reference sees only such boxes and empty ones.
    for box_set in (first, second):
        thin = (box_set[:, 2:] - box_set[:, :2] < 1).any(1)
        box_set[thin, 2:] = box_set[thin, :2]
    torch.testing.assert_close(
        pairwise_iou(first, second).double(), loops(iou64, first, second), rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(
        pairwise_iof(first, second).double(), loops(iof64, first, second), rtol=1e-3, atol=1e-3
    )


@given(first=boxes, second=boxes)
def test_iou_is_symmetric_bounded_and_aligned_is_its_diagonal(first, second):
    iou = pairwise_iou(first, second)
    assert torch.equal(iou, pairwise_iou(second, first).mT)
    assert ((iou >= 0) & (iou <= 1 + 1e-6)).all()
    count = min(len(first), len(second))
    assert torch.equal(aligned_iou(first[:count], second[:count]), iou.diagonal())
    own = pairwise_iou(first, first).diagonal()
    assert torch.equal(own, (box_area(first) > 0).float())


def test_a_batch_is_its_images_and_broadcasts():
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(3, 5, 2, generator=generator) * 50
    first = torch.cat([corner, corner + 20], -1)
    second = first.flip(1)[:, :4] + 3
    both = pairwise_iou(first, second)
    assert both.shape == (3, 5, 4)
    for i in range(3):
        assert torch.equal(both[i], pairwise_iou(first[i], second[i]))
    assert torch.equal(pairwise_iou(first[0], second)[2], pairwise_iou(first[0], second[2]))


@given(first=boxes, width=st.integers(1, 2000))
def test_flip_twice_changes_nothing_but_rounding(first, width):
    again = flip_boxes(flip_boxes(first, width), width)
    np.testing.assert_allclose(again, first, rtol=0, atol=5e-4)  # two roundings at up to 3000
    torch.testing.assert_close(
        box_area(flip_boxes(first.double(), width)), box_area(first.double()), rtol=1e-9, atol=1e-9
    )
