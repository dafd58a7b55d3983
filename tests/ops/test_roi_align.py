"""RoIAlign against golden data of the 2019 release and against one sample at a time in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hrdet.ops import roi_align
from tests.ops import brute_force

STRIDES = (4, 8, 16, 32)
# Golden data and the kernels are both float32 but sum in another order; values reach 3, sums of
# gradients 30.
FORWARD_ERROR, GRADIENT_ERROR = 2e-6, 2e-5
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def inclusive(rois: torch.Tensor) -> torch.Tensor:
    """Golden rois have inclusive corners."""
    return rois + torch.tensor([0.0, 0, 0, 1, 1])


def scene(seed=0, images=2, channels=5, rois=40, dtype=torch.float64):
    """Maps of a 128 x 160 image and rois on, across and outside of it, of all kinds of sizes."""
    rng = np.random.default_rng(seed)
    maps = [
        torch.from_numpy(rng.normal(size=(images, channels, 128 // s, 160 // s))) for s in STRIDES
    ]
    corner = rng.uniform(-40, 160, (rois, 2))
    size = rng.uniform(0, 1, (rois, 1)) ** 2 * 300 * rng.uniform(-0.1, 1, (rois, 2))
    image = rng.integers(-1, images, (rois, 1))
    table = torch.from_numpy(np.concatenate([image, corner, corner + size], axis=1))
    return [map_.to(dtype) for map_ in maps], table.to(dtype)


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


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('sampling_ratio', [0, 2])
@pytest.mark.parametrize('deterministic', [False, True])
def test_golden_backward(golden, device, sampling_ratio, layout, deterministic):
    rows = golden('roialign_bwd_keep_sn0') if sampling_ratio == 0 else slice(None)
    features = golden('roialign_feat_s8').to(device).contiguous(memory_format=layout)
    rois = inclusive(golden('roialign_rois'))[rows].to(device)
    features.requires_grad_()
    torch.use_deterministic_algorithms(deterministic)
    try:
        out = roi_align(features, rois, 7, 8, sampling_ratio, half_pixel=False)
        out.backward(golden('roialign_bwd_grad_out_s8_sn2_o7')[rows].to(device))
    finally:
        torch.use_deterministic_algorithms(False)
    assert features.grad.is_contiguous(memory_format=layout)
    expected = golden(f'roialign_bwd_grad_feat_s8_sn{sampling_ratio}_o7')
    torch.testing.assert_close(features.grad.cpu(), expected, rtol=0, atol=GRADIENT_ERROR)


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


@settings(max_examples=40, deadline=None)
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
def test_any_roi(x, y, width, height, bins, sampling_ratio, half_pixel, map_size):
    features = torch.linspace(-1, 1, 3 * map_size[0] * map_size[1], dtype=torch.float64)
    features = features.sin().reshape(1, 3, *map_size)
    rois = torch.tensor([[0, x, y, x + width, y + height]], dtype=torch.float64)
    out = roi_align(features, rois, bins, 4, sampling_ratio, half_pixel)
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


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('half_pixel', [False, True])
def test_gradcheck(device, layout, half_pixel):
    maps, rois = scene(images=1, channels=2, rois=6)
    maps = [m[:, :, :6, :5].to(device).contiguous(memory_format=layout) for m in maps[:2]]
    rois = rois.to(device) * rois.new_tensor([1, 0.2, 0.2, 0.2, 0.2]).to(device)
    levels = torch.tensor([0, 1, 0, 1, 0, 1], device=device)

    def function(*maps):
        return roi_align(maps, rois, (2, 3), (4, 8), 2, half_pixel, levels=levels)

    maps = [map_.requires_grad_() for map_ in maps]
    nondet = 1e-12 if device == 'cuda' else 0.0  # atomics
    torch.autograd.gradcheck(function, maps, nondet_tol=nondet)
    torch.autograd.gradgradcheck(function, maps, nondet_tol=nondet)


def test_opcheck(device):
    maps, rois = scene(rois=8, dtype=torch.float32)
    maps, rois = [map_.to(device).requires_grad_() for map_ in maps], rois.to(device)
    scales = [1 / stride for stride in STRIDES]
    forward = (maps, rois, None, scales, 56.0, 3, 3, 2, False)
    torch.library.opcheck(torch.ops.hrdet.roi_align.default, forward)
    grad = torch.randn(len(rois), 5, 3, 3, device=device, requires_grad=True)
    sizes = [2, 5, *(size for map_ in maps for size in map_.shape[2:])]
    backward = (grad, rois, None, sizes, True, scales, 56.0, 2, False, True)
    torch.library.opcheck(torch.ops.hrdet.roi_align_backward.default, backward)


def test_compiles_without_graph_break():
    maps, rois = scene(rois=8, dtype=torch.float32)

    def loss(maps, rois):
        return roi_align(maps, rois, 7, STRIDES, 2, half_pixel=False).square().sum()

    eager = [map_.clone().requires_grad_() for map_ in maps]
    loss(eager, rois).backward()
    compiled = [map_.clone().requires_grad_() for map_ in maps]
    torch.compile(loss, fullgraph=True, backend='aot_eager')(compiled, rois).backward()
    for ours, theirs in zip(compiled, eager):
        assert torch.equal(ours.grad, theirs.grad)


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


@pytest.mark.parametrize('layout', LAYOUTS)
def test_gradient_does_not_depend_on_threads(layout):
    maps, rois = scene(channels=33, rois=200, dtype=torch.float32)
    gradients = []
    threads = torch.get_num_threads()
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        leaves = [m.contiguous(memory_format=layout).clone().requires_grad_() for m in maps]
        roi_align(leaves, rois, 7, STRIDES, 2, half_pixel=False).sin().sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    torch.set_num_threads(threads)
    for other in gradients[1:]:
        assert all(map(torch.equal, gradients[0], other))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('layout', LAYOUTS)
def test_cuda_is_deterministic_and_does_not_wait(layout):
    maps, rois = scene(channels=64, rois=500, dtype=torch.float32)
    rois, gradients = rois.cuda(), []
    maps = [map_.cuda().contiguous(memory_format=layout) for map_ in maps]
    torch.cuda.synchronize()
    torch.use_deterministic_algorithms(True)
    torch.cuda.set_sync_debug_mode('error')
    try:
        for _ in range(3):
            leaves = [map_.clone().requires_grad_() for map_ in maps]
            out = roi_align(leaves, rois, 7, STRIDES, 2, half_pixel=False)
            gradients.append(torch.autograd.grad(out, leaves, torch.ones_like(out)))
    finally:
        torch.cuda.set_sync_debug_mode('default')
        torch.use_deterministic_algorithms(False)
    for other in gradients[1:]:
        assert all(map(torch.equal, gradients[0], other))


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
    refuse('the output size must be positive', size=0)
    refuse('sampling_ratio must be 0', ratio=-1)
    refuse('level 1 must have the shape', maps=[maps[0], maps[1][0], *maps[2:]])
    refuse('level 1 has 2 images of 4 channels', maps=[maps[0], maps[1][:, :4], *maps[2:]])
    refuse('one dtype', maps=[maps[0], maps[1].half(), *maps[2:]])
    refuse('the dtype must be', maps=[m.int() for m in maps])
    refuse('one level for each of 40 rois', levels=torch.zeros(3, dtype=torch.int64, device=device))
    refuse('levels must be int64', levels=torch.zeros(40, device=device))


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
