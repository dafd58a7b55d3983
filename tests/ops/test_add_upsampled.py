"""Enlarged maps added to another one, against torch's resizing in float64."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hrdet.ops import Taps, add_upsampled, bilinear_taps, nearest_taps

EDGES = st.tuples(st.integers(1, 40), st.integers(1, 50))


@settings(max_examples=300, deadline=None)
@given(
    size=EDGES,
    terms=st.lists(st.lists(EDGES, min_size=1, max_size=2), min_size=1, max_size=4),
    channels=st.integers(1, 40) | st.sampled_from([144, 270]),
    images=st.integers(1, 3),
    nearest=st.booleans(),
    relu=st.booleans(),
    half=st.booleans(),
    channels_last=st.booleans(),
    seed=st.integers(0, 99),
)
def test_sums(size, terms, channels, images, nearest, relu, half, channels_last, seed):
    """Each term is resized to one or two sizes in turn, smaller or larger."""
    dtype = torch.bfloat16 if half else torch.float32
    layout = torch.channels_last if channels_last else torch.contiguous_format
    generator = torch.Generator().manual_seed(seed)

    def noise(edges):
        values = torch.randn(images, channels, *edges, generator=generator)
        return values.to(dtype).contiguous(memory_format=layout)

    base, maps = noise(size), [noise(sizes[0]) for sizes in terms]
    mode = dict(mode='nearest') if nearest else dict(mode='bilinear', align_corners=False)
    wanted, largest = base.double(), base.double().abs()
    for map_, sizes in zip(maps, terms):
        grown = map_.float() if nearest else map_.double()  # where the nearest is, is float32
        for edges in (*sizes[1:], size):
            grown = F.interpolate(grown, size=edges, **mode)
        wanted, largest = wanted + grown, largest + grown.abs()
    taps = nearest_taps if nearest else bilinear_taps
    rows, columns = (
        [taps(*(edges[side] for edges in sizes), size[side]) for sizes in terms] for side in (0, 1)
    )
    got = add_upsampled(base, maps, rows, columns, relu)
    assert got.dtype == dtype
    if channels_last:
        assert got.data_ptr() == base.data_ptr()
    wanted = wanted.clamp(min=0) if relu else wanted
    error = (got.double() - wanted).abs()
    # Rounding of weights and sums, and of the result.
    assert (error <= 2e-6 * largest.max() + wanted.abs() * (2**-8 if half else 0)).all()


@pytest.mark.parametrize('edges', [(7, 14), (7, 13), (400, 799, 1598), (5, 40, 37), (12, 12)])
@pytest.mark.parametrize('mode', ['nearest', 'bilinear'])
def test_taps_tell_what_torch_computes(edges, mode):
    index, weight = (nearest_taps if mode == 'nearest' else bilinear_taps)(*edges)
    ramp = torch.randn(edges[0], generator=torch.Generator().manual_seed(0)).float()
    options = {} if mode == 'nearest' else dict(align_corners=False)
    grown = ramp.double().expand(1, 1, 3, -1)
    for edge in edges[1:]:
        grown = F.interpolate(grown, size=(3, edge), mode=mode, **options)
    torch.testing.assert_close((ramp[index.long()] * weight).sum(1), grown[0, 0, 0].float())
    assert index.shape[1] == (
        1 if mode == 'nearest' else 2 ** sum(a != b for a, b in pairwise(edges))
    )


def test_threads():
    base, term = torch.randn(2, 33, 40, 17), torch.randn(2, 33, 9, 5)
    rows, columns = [bilinear_taps(9, 40)], [bilinear_taps(5, 17)]
    before = torch.get_num_threads()
    results = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        results.append(add_upsampled(base.clone(), [term], rows, columns))
    torch.set_num_threads(before)
    assert torch.equal(*results)


def test_numbers_that_are_none():
    base = torch.full((1, 1, 1, 2), -1.0)
    base[..., 1] = torch.nan
    out = add_upsampled(
        base, [torch.zeros(1, 1, 1, 1)], [nearest_taps(1, 1)], [nearest_taps(1, 2)], True
    )
    assert out[..., 0] == 0
    assert out[..., 1].isnan()


ONE = Taps(torch.tensor([[0]], dtype=torch.int32), torch.ones(1, 1))
MAP = torch.zeros(1, 3, 1, 1)


@pytest.mark.parametrize(
    ('base', 'terms', 'rows', 'message'),
    [
        (MAP.double(), [MAP.double()], [ONE], 'base must be'),
        (MAP, [], [], 'there must be terms'),
        (MAP, [MAP], [], 'there must be terms'),
        (MAP, [MAP.bfloat16()], [ONE], 'terms must be'),
        (MAP, [MAP[:, :2]], [ONE], 'terms must be'),
        (MAP, [MAP.expand(2, -1, -1, -1)], [ONE], 'terms must be'),
        (MAP, [MAP], [nearest_taps(1, 2)], 'needs its taps'),
        (MAP, [MAP], [Taps(ONE.index + 1, ONE.weight)], 'outside of 0 to 0'),
        (MAP, [MAP], [Taps(ONE.index.long(), ONE.weight)], 'taps must be'),
    ],
)
def test_what_is_refused(base, terms, rows, message):
    with pytest.raises(RuntimeError, match=message):
        add_upsampled(base, terms, rows, [ONE] * len(terms))


def test_opcheck():
    base, term = torch.randn(1, 4, 6, 5), torch.randn(1, 2, 3, 5)
    taps = [[part] for of in (bilinear_taps(2, 4), bilinear_taps(3, 6)) for part in of]
    torch.library.opcheck(torch.ops.hrdet.add_upsampled.default, (base, [term], *taps, True))
