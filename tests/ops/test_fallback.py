"""Torchvision's kernels, which stand in on CUDA, against hrdet's own, both on the CPU."""

import numpy as np
import pytest
import torch

pytest.importorskip('torchvision', reason='needs torchvision, an optional extra')

from hrdet.ops import fallback

SCALES = [1 / 4, 1 / 8]


def scene(dtype):
    rng = np.random.default_rng(0)
    maps = [torch.from_numpy(rng.normal(size=(2, 6, 128 // s, 160 // s))).to(dtype) for s in (4, 8)]
    corner, size = rng.uniform(-40, 160, (60, 2)), rng.uniform(-5, 200, (60, 2))
    image = rng.integers(-1, 2, (60, 1))
    rois = torch.from_numpy(np.concatenate([image, corner, corner + size], axis=1)).float()
    return maps, rois


# float32 sums in another order; half-precision results may round the other way.
@pytest.mark.parametrize(('dtype', 'error'), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize('sampling_ratio', [0, 2])
@pytest.mark.parametrize('half_pixel', [False, True])
@pytest.mark.parametrize('levels', [None, torch.arange(60) % 2])
def test_roi_align(dtype, error, sampling_ratio, half_pixel, levels):
    maps, rois = scene(dtype)
    arguments = maps, rois, levels, SCALES, 56.0, 5, 7, sampling_ratio, half_pixel
    ours, theirs = torch.ops.hrdet.roi_align(*arguments), fallback.roi_align(*arguments)
    assert theirs.dtype == dtype
    torch.testing.assert_close(theirs, ours, rtol=error, atol=error)

    sizes = [2, 6, *maps[0].shape[2:], *maps[1].shape[2:]]
    arguments = ours, rois, levels, sizes, True, SCALES, 56.0, sampling_ratio, half_pixel, False
    ours = torch.ops.hrdet.roi_align_backward(*arguments)
    theirs = fallback.roi_align_backward(*arguments)
    for our, their in zip(ours, theirs):
        assert their.stride() == our.stride()
        torch.testing.assert_close(their, our, rtol=error, atol=error)


def test_nms():
    generator = torch.Generator().manual_seed(0)
    boxes = (torch.rand(3, 90, 4, generator=generator) * 30).cumsum(dim=2)
    scores = torch.rand(3, 90, generator=generator)
    scores[0, ::7], scores[1, 3], scores[2] = -torch.inf, torch.nan, -torch.inf
    for ours, theirs in zip(
        torch.ops.hrdet.nms(boxes, scores, 0.5, 20), fallback.nms(boxes, scores, 0.5, 20)
    ):
        assert torch.equal(ours, theirs)
