"""Labels of enlarged logits against resizing and argmax in float64."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hrdet.models.segmentors.label_maps import ResizedLogits
from hrdet.ops import Taps, interpolate_argmax

EDGES = st.tuples(st.integers(1, 40), st.integers(1, 60))
IDENTITY = Taps(torch.tensor([[0]], dtype=torch.int32), torch.ones(1, 1))


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(EDGES, min_size=1, max_size=3),
    num_classes=st.integers(1, 40) | st.sampled_from([150, 255]),
    seed=st.integers(0, 99),
    channels_last=st.booleans(),
)
def test_labels_of_resized_logits(sizes, num_classes, seed, channels_last):
    """Where the two largest logits differ by more than rounding."""
    logits = torch.randn(1, num_classes, *sizes[0], generator=torch.Generator().manual_seed(seed))
    if channels_last:
        logits = logits.contiguous(memory_format=torch.channels_last)
    labels = ResizedLogits([logits[0]], sizes, num_classes).labels()
    assert labels.shape == sizes[-1]
    assert labels.dtype == torch.uint8
    whole = logits.double()
    for size in sizes[1:]:
        whole = F.interpolate(whole, size=size, mode='bilinear', align_corners=False)
    if num_classes == 1:
        assert not labels.any()
        return
    best = whole[0].topk(2, dim=0)
    clear = best.values[0] - best.values[1] > 1e-5
    torch.testing.assert_close(labels.long()[clear], best.indices[0][clear])
    assert clear.float().mean() > 0.9


@pytest.mark.parametrize('num_classes', [2, 16, 19, 33, 255])
def test_the_first_of_equal_logits(num_classes):
    logits = torch.full((1, 1, num_classes), -7.0)
    for first in range(num_classes):
        logits[0, 0, first:] = 3.0
        assert interpolate_argmax(logits, IDENTITY, IDENTITY).item() == first
        logits[...] = -7.0


def test_extreme_logits():
    logits = torch.tensor([[[-1e30, -3e38, -1e29]]])
    assert interpolate_argmax(logits, IDENTITY, IDENTITY).item() == 2
    # A confident model in half precision: a weight of zero must not turn infinity into no number.
    taps = Taps(torch.tensor([[0, 1]], dtype=torch.int32), torch.tensor([[1.0, 0.0]]))
    logits = torch.tensor([[[0.0, 1.0, 0.5]], [[torch.inf, 0.0, 0.0]]])
    assert interpolate_argmax(logits, taps, IDENTITY).item() == 1


@pytest.mark.parametrize(
    ('logits', 'index', 'weight', 'message'),
    [
        (torch.zeros(2, 2), [[0]], [[1.0]], 'logits must be'),
        (torch.zeros(1, 1, 256), [[0]], [[1.0]], 'logits must be'),
        (torch.zeros(1, 1, 0), [[0]], [[1.0]], 'logits must be'),
        (torch.zeros(1, 1, 3, dtype=torch.float64), [[0]], [[1.0]], 'logits must be'),
        (torch.zeros(1, 1, 3), [[1]], [[1.0]], 'outside of 0 to 0'),
        (torch.zeros(1, 1, 3), [[-1]], [[1.0]], 'outside of 0 to 0'),
        (torch.zeros(1, 1, 3), [[0]], [[1.0, 0.0]], 'taps must be'),
        (torch.zeros(1, 1, 3), [[0] * 17], [[1.0] * 17], 'taps must be'),
    ],
)
def test_what_is_refused(logits, index, weight, message):
    taps = Taps(torch.tensor(index, dtype=torch.int32), torch.tensor(weight))
    for rows, columns in ((taps, IDENTITY), (IDENTITY, taps)):
        with pytest.raises(RuntimeError, match=message):
            interpolate_argmax(logits, rows, columns)


def test_opcheck():
    taps = Taps(torch.tensor([[0, 1], [1, 0]], dtype=torch.int32), torch.full((2, 2), 0.5))
    arguments = (torch.randn(2, 2, 5), *taps, *taps)
    torch.library.opcheck(torch.ops.hrdet.interpolate_argmax.default, arguments)
