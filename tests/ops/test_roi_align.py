"""RoIAlign against golden data of the 2019 release and against one sample at a time in float64."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hrdet.ops import roi_align
from tests.ops import brute_force
from tests.ops.scene import LAYOUTS, STRIDES, inclusive, scene

# Golden data and the kernels are both float32 but sum in another order; values reach 3.
FORWARD_ERROR = 2e-6


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('sampling_ratio', [0, 2])
@pytest.mark.parametrize('stride', STRIDES)
def test_golden_forward(golden, device, stride, sampling_ratio, layout):
    features = golden(f'roialign_feat_s{stride}').to(device).contiguous(memory_format=layout)
    rois = inclusive(golden('roialign_rois')).to(device)
    for size in (7, 14):
        out = roi_align(features, rois, size, stride, sampling_ratio, half_pixel=False)
        expected = golden(f'roialign_out_s{stride}_sn{sampling_ratio}_o{size}')
        # Rois without area: the mean of no samples was NaN there, and is 0 here.
        torch.testing.assert_close(out.cpu(), expected.nan_to_num(0), rtol=0, atol=FORWARD_ERROR)


def test_golden_pyramid(golden, device):
    maps = [golden(f'roialign_feat_s{stride}').to(device) for stride in STRIDES]
    rois = inclusive(golden('roiextract_rois')).to(device)
    expected = golden('roiextract_out')
    out = roi_align(maps, rois, 7, STRIDES, 2, half_pixel=False)
    torch.testing.assert_close(out.cpu(), expected, rtol=0, atol=FORWARD_ERROR)
    levels = golden('roiextract_levels').to(device)
    out = roi_align(maps, rois, 7, STRIDES, 2, half_pixel=False, levels=levels)
    torch.testing.assert_close(out.cpu(), expected, rtol=0, atol=FORWARD_ERROR)


def test_golden_level_map(golden, device):
    """The level that the kernel picks is seen in a pyramid where level i is all i."""
    rois = inclusive(golden('levelmap_rois')).clone()
    rois[:, 0] = 0
    maps = [torch.full((1, 1, 600 // s, 600 // s), float(i)) for i, s in enumerate(STRIDES)]
    size = rois[:, 3:] - rois[:, 1:3]
    rois = torch.cat([rois[:, :1], torch.ones_like(size), 1 + size], dim=1)  # onto the maps
    out = roi_align([m.to(device) for m in maps], rois.to(device), 1, STRIDES, 1, half_pixel=True)
    assert out.flatten().cpu().tolist() == golden('levelmap_levels').tolist()


@pytest.mark.parametrize(
    ('size', 'level'), [(0, 0), (111.9, 0), (112 * (1 - 4e-7), 1), (112, 1), (224, 2), (9999, 3)]
)
def test_level_boundary(device, size, level):
    """1e-6 is added before the logarithm is floored: a hair below the boundary counts as above."""
    maps = [torch.full((1, 1, 8, 8), float(i)).double().to(device) for i in range(4)]
    rois = torch.tensor([[0, 1, 1, 1 + size, 1 + size]], dtype=torch.float64, device=device)
    out = roi_align(maps, rois, (1, 1), [1e4] * 4, 1, half_pixel=True)
    assert out.item() == level


@pytest.mark.parametrize('half_pixel', [False, True])
@pytest.mark.parametrize('sampling_ratio', [0, 1, 3])
@pytest.mark.parametrize('layout', LAYOUTS)
def test_brute_force(device, half_pixel, sampling_ratio, layout):
    maps, rois = scene()
    options = (STRIDES, sampling_ratio, half_pixel)
    expected = brute_force.roi_align([m.numpy() for m in maps], rois.numpy(), 3, 4, *options)
    maps = [m.to(device).contiguous(memory_format=layout) for m in maps]
    out = roi_align(maps, rois.to(device), (3, 4), *options)
    # float64 throughout; only the order of sums differs.
    np.testing.assert_allclose(out.cpu().numpy(), expected, rtol=0, atol=1e-12)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    x=st.floats(-50, 50),
    y=st.floats(-50, 50),
    width=st.floats(-8, 120),
    height=st.floats(-8, 120),
    bins=st.integers(1, 5),
    sampling_ratio=st.integers(0, 3),
    half_pixel=st.booleans(),
    map_size=st.tuples(st.integers(1, 9), st.integers(1, 20)),
)
def test_any_roi(device, x, y, width, height, bins, sampling_ratio, half_pixel, map_size):
    features = torch.linspace(-1, 1, 3 * map_size[0] * map_size[1], dtype=torch.float64)
    features = features.sin().reshape(1, 3, *map_size)
    rois = torch.tensor([[0, x, y, x + width, y + height]], dtype=torch.float64)
    out = roi_align(features.to(device), rois.to(device), bins, 4, sampling_ratio, half_pixel)
    out = out.cpu()
    expected = brute_force.roi_align(
        [features.numpy()], rois.numpy(), bins, bins, [4], sampling_ratio, half_pixel
    )
    # A sample on the edge of the map counts or not by the last bit: compare where it is clear.
    if not np.allclose(out.numpy(), expected, rtol=0, atol=1e-9):
        nudged = rois + torch.tensor([0, 1, 1, 1, 1]) * 1e-9
        near = brute_force.roi_align(
            [features.numpy()], nudged.numpy(), bins, bins, [4], sampling_ratio, half_pixel
        )
        np.testing.assert_allclose(out.numpy(), near, rtol=0, atol=1e-6)


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_sums_in_float32(device, dtype, layout):
    maps, rois = scene(dtype=torch.float32)
    maps = [m.to(device, dtype).contiguous(memory_format=layout).requires_grad_() for m in maps]
    exact = [map_.detach().float().requires_grad_() for map_ in maps]
    out = roi_align(maps, rois.to(device), 7, STRIDES, 2, half_pixel=True)
    expected = roi_align(exact, rois.to(device), 7, STRIDES, 2, half_pixel=True)
    # The same sums, rounded once.
    assert out.dtype == dtype
    torch.testing.assert_close(out, expected.to(dtype), rtol=0, atol=0)
    grad = torch.ones_like(out)
    out.backward(grad)
    expected.backward(grad.float())
    for map_, reference in zip(maps, exact):
        assert map_.grad.is_contiguous(memory_format=layout)
        torch.testing.assert_close(map_.grad, reference.grad.to(dtype))


@pytest.mark.parametrize(
    ('at', 'value'), [(-1.5, 0), (-1, 10), (0, 10), (0.5, 15), (3, 40), (4, 40), (4.5, 0)]
)
def test_edges_of_the_map(device, at, value):
    """A sample counts up to one pixel outside of the outermost centres, that distance included."""
    features = torch.tensor([10.0, 20, 30, 40], device=device)
    rois = torch.tensor([[0.0, at, 0, at, 0]], device=device)
    for map_, roi in (
        (features.reshape(1, 1, 1, 4), rois),
        (features.reshape(1, 1, 4, 1), rois[:, [0, 2, 1, 4, 3]]),
    ):
        assert roi_align(map_, roi, 1, 1, 1, half_pixel=False).item() == value


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_autocast_leaves_coordinates_alone(device, dtype):
    maps, rois = scene(dtype=torch.float32)
    maps, rois = [map_.to(device, dtype) for map_ in maps], rois.to(device)
    outside = roi_align(maps, rois, 7, STRIDES, 2, half_pixel=True)
    with torch.autocast(device, dtype=dtype):
        inside = roi_align(maps, rois, 7, STRIDES, 2, half_pixel=True)
    assert torch.equal(inside, outside)


def test_padding_rows(device):
    maps, rois = scene(dtype=torch.float32)
    rois[::3, 0] = -1
    maps = [map_.to(device).requires_grad_() for map_ in maps]
    out = roi_align(maps, rois.to(device), 7, STRIDES, 2, half_pixel=False)
    assert not out[::3].any()
    gradients = torch.autograd.grad(out[::3].sum(), maps)
    assert not any(gradient.any() for gradient in gradients)


def test_no_rois(device):
    maps, rois = scene(dtype=torch.float32)
    maps = [map_.to(device).requires_grad_() for map_ in maps]
    out = roi_align(maps, rois[:0].to(device), (7, 5), STRIDES, 0, half_pixel=False)
    assert out.shape == (0, 5, 7, 5)
    out.sum().backward()
    assert not any(map_.grad.any() for map_ in maps)


def test_wild_rois(device):
    """NaN, infinite and enormous boxes neither crash nor hang, and leave other rois alone."""
    maps, _ = scene(dtype=torch.float32)
    wild = [float('nan'), float('inf'), -float('inf'), 1e30, -1e30]
    rois = torch.tensor([[0, 0, 0, value, 50] for value in wild] + [[0, 10, 10, 90, 90]])
    maps, rois = [map_.to(device) for map_ in maps], rois.to(device)
    out = roi_align(maps, rois, 7, STRIDES, 0, half_pixel=False)
    assert torch.equal(out[-1:], roi_align(maps, rois[-1:], 7, STRIDES, 0, half_pixel=False))
    assert not out[0].any()


def test_strided_maps_are_read_right(device):
    maps, rois = scene(dtype=torch.float32)
    wide = torch.stack([maps[0]] * 2, dim=-1).flatten(-2).to(device)[..., ::2]  # every other column
    crop = maps[0].to(device)[:, :, 2:, 3:]  # rows with gaps
    for map_ in (wide, crop):
        out = roi_align(map_, rois.to(device), 7, 4, 2, half_pixel=False)
        expected = roi_align(map_.contiguous(), rois.to(device), 7, 4, 2, half_pixel=False)
        assert torch.equal(out, expected)


def test_bad_input_is_named(device):
    maps, rois = scene(dtype=torch.float32)
    maps, rois = [map_.to(device) for map_ in maps], rois.to(device)

    def refuse(message, maps=maps, rois=rois, strides=STRIDES, size=7, ratio=2, levels=None):
        with pytest.raises(RuntimeError, match=message):
            roi_align(maps, rois, size, strides, ratio, False, levels=levels)

    refuse(r'rois must have the shape \(R, 5\)', rois=rois[:, 1:])
    refuse('rois must be float32', rois=rois.double())
    refuse('4 feature levels need as many strides, not 1', strides=4)
    refuse('takes 1 to 8 feature levels, not 9', maps=maps[:1] * 9, strides=[4] * 9)
    for size in (0, 257, 2**32 + 7):
        refuse('the output size must be positive, and at most 256', size=size)
    for ratio in (-1, 2**32):
        refuse('sampling_ratio must be 0', ratio=ratio)
    refuse('level 1 must have the shape', maps=[maps[0], maps[1][0], *maps[2:]])
    refuse('level 1 has 2 images of 4 channels', maps=[maps[0], maps[1][:, :4], *maps[2:]])
    refuse('one dtype', maps=[maps[0], maps[1].half(), *maps[2:]])
    refuse('the dtype must be', maps=[m.int() for m in maps])
    refuse('one level for each of 40 rois', levels=torch.zeros(3, dtype=torch.int64, device=device))
    refuse('levels must be int64', levels=torch.zeros(40, device=device))


@pytest.mark.parametrize('dim', range(4))
def test_sizes_beyond_int_are_refused(device, dim):
    """Kernels index with int; a view that repeats a pixel needs no memory to be this large."""
    shape = [1, 1, 1, 1]
    shape[dim] = 2**31
    features = torch.zeros(1, 1, 1, 1, device=device).expand(shape)
    rois = torch.zeros(1, 5, device=device)
    with pytest.raises(RuntimeError, match='has a size of 2147483648; sizes must be below'):
        roi_align(features, rois, 7, 4, 2, half_pixel=False)
    with pytest.raises(RuntimeError, match=r'fewer than 2\^31 rois, not 2147483648'):
        roi_align(features[:1, :1, :1, :1], rois.expand(2**31, 5), 7, 4, 2, half_pixel=False)


def test_indices_outside_the_batch():
    maps, rois = scene(dtype=torch.float32)
    rois[17] = torch.tensor([2.0, 0, 0, 9, 9])
    with pytest.raises(RuntimeError, match='roi 17 is on image 2 of a batch of 2'):
        roi_align(maps, rois, 7, STRIDES, 2, half_pixel=False)
    rois[17, 0] = float('nan')
    with pytest.raises(RuntimeError, match='roi 17 is on image nan'):
        roi_align(maps, rois, 7, STRIDES, 2, half_pixel=False)
    rois[:, 0] = 0
    levels = torch.zeros(40, dtype=torch.int64)
    levels[5] = 4
    with pytest.raises(RuntimeError, match=r'roi 5 is on a level outside 0\.\.3'):
        roi_align(maps, rois, 7, STRIDES, 2, half_pixel=False, levels=levels)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_devices_must_agree():
    maps, rois = scene(dtype=torch.float32)
    with pytest.raises(RuntimeError, match='one device'):
        roi_align([map_.cuda() for map_ in maps], rois, 7, STRIDES, 2, half_pixel=False)
