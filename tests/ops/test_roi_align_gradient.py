"""Gradients of RoIAlign: golden data, gradcheck, determinism; and what torch asks of operators."""

import pytest
import torch

from hrdet.ops import roi_align
from tests.ops.scene import LAYOUTS, STRIDES, inclusive, scene

# Golden data and the kernels are both float32 but sum in another order; sums reach 30.
GRADIENT_ERROR = 2e-5


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


@pytest.mark.parametrize('deterministic', [False, True])
def test_many_bins(device, deterministic):
    """As many as fit the shared memory of the deterministic kernel."""
    maps, rois = scene(rois=3, channels=2)
    grad = torch.ones(3, 2, 256, 256, dtype=torch.float64)
    found = []
    for place in ('cpu', device):
        leaves = [map_.to(place).requires_grad_() for map_ in maps]
        torch.use_deterministic_algorithms(deterministic)
        try:
            out = roi_align(leaves, rois.to(place), 256, STRIDES, 1, half_pixel=True)
            found.append(torch.autograd.grad(out, leaves, grad.to(place)))
        finally:
            torch.use_deterministic_algorithms(False)
    for one, other in zip(*found):  # float64, in another order
        torch.testing.assert_close(one, other.cpu(), rtol=1e-10, atol=1e-8)


def test_backward_of_an_empty_level_is_refused(device):
    grad, rois = torch.zeros(1, 2, 3, 3, device=device), torch.zeros(1, 5, device=device)
    for sizes in ([1, 2, 0, 4], [1, 2, 4, -1]):
        arguments = (grad, rois, None, sizes, False, [1.0], 56.0, 2, False, True)
        with pytest.raises(RuntimeError, match='feature level 0 is empty'):
            torch.ops.hrdet.roi_align_backward(*arguments)


@pytest.mark.parametrize('shape', [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 3, 1), (2, 2, 3, 3)])
def test_backward_of_a_wrong_shape_is_refused(device, shape):
    grad, rois = torch.zeros(shape, device=device), torch.zeros(1, 5, device=device)
    arguments = (grad, rois, None, [1, 2, 4, 4], False, [1.0], 56.0, 2, False, True)
    with pytest.raises(RuntimeError, match=r'grad must have the shape \(R, C, h, w\)'):
        torch.ops.hrdet.roi_align_backward(*arguments)


@pytest.mark.parametrize('sizes', [[2**31, 2, 4, 4], [1, 2, 2**31, 1], [1, 2, 1, 2**40]])
def test_backward_of_sizes_beyond_int_is_refused(device, sizes):
    grad, rois = torch.zeros(1, 2, 3, 3, device=device), torch.zeros(1, 5, device=device)
    arguments = (grad, rois, None, sizes, False, [1.0], 56.0, 2, False, True)
    with pytest.raises(RuntimeError, match=r'sizes must be below 2\^31'):
        torch.ops.hrdet.roi_align_backward(*arguments)


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
