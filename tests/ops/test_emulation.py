"""Emulated CUDA kernels against the CPU operators, in any order of threads; and the emulation."""

import os
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ops.scene import LAYOUTS, STRIDES, scene

OPS = torch.ops.hrdet
SANITIZER = os.environ.get('HRDET_SANITIZER')  # under which all takes ten times as long
ORDERS = [2] if SANITIZER else [1, 2, 3]  # descending, and two shuffled ones; ascending is 0
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
INF, NAN = float('inf'), float('nan')
EXAMPLES = 5 if SANITIZER else 50


def candidates(seed, problems, count, dtype=torch.float32):
    """Boxes (B, M, 4) in clusters, with ties, padding and a few numbers of a diverged model."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.randint(0, 60, (problems, count, 2), generator=generator) / 2
    size = torch.randint(-1, 30, (problems, count, 2), generator=generator)
    boxes = torch.cat([corner, corner + size], dim=2).to(dtype)
    scores = torch.randint(1, 40, (problems, count), generator=generator).to(dtype) / 40
    rare = torch.rand(problems, count, generator=generator)
    scores[rare < 0.1] = -INF
    scores[(rare > 0.1) & (rare < 0.12)] = NAN
    scores[(rare > 0.12) & (rare < 0.14)] = INF
    for value, low in ((NAN, 0.9), (INF, 0.92), (1e30, 0.94), (-INF, 0.96)):
        boxes[(rare > low) & (rare < low + 0.01), seed % 4] = value
    return boxes, scores


@pytest.mark.parametrize('dtype', DTYPES[:2])
@settings(max_examples=EXAMPLES)
@given(
    seed=st.integers(0, 10**6),
    problems=st.integers(1, 4),
    count=st.sampled_from([1, 2, 31, 63, 64, 65, 127, 128, 129, 200, 257, 300]),
    threshold=st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0, NAN]),
    max_output=st.sampled_from([1, 5, 64, 65, 300, 400]),
    order=st.sampled_from([0, *ORDERS]),
)
def test_nms(emulation, dtype, seed, problems, count, threshold, max_output, order):
    """Bit for bit: both compare the same IoUs."""
    arguments = (*candidates(seed, problems, count, dtype), threshold, max_output)
    with emulation.order(order):
        found = torch.ops.hrdet_emulated.nms(*arguments)
    for ours, theirs in zip(found, OPS.nms(*arguments)):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize('dtype', DTYPES[:2])
@pytest.mark.parametrize('gaussian', [False, True])
@settings(max_examples=EXAMPLES // 2)
@given(
    seed=st.integers(0, 10**6),
    problems=st.integers(1, 3),
    count=st.sampled_from([1, 2, 100, 255, 256, 257, 600]),
    threshold=st.sampled_from([0.0, 0.3, 0.5, NAN]),
    min_score=st.sampled_from([0.0, 0.05, 0.5]),
    max_output=st.sampled_from([1, 20, 60]),
    order=st.sampled_from([0, *ORDERS]),
)
def test_soft_nms(
    emulation, dtype, gaussian, seed, problems, count, threshold, min_score, max_output, order
):
    """Bit for bit: both multiply the same scores in the same order."""
    boxes, scores = candidates(seed, problems, count, dtype)
    arguments = (boxes, scores, threshold, min_score, gaussian, 0.5, max_output)
    with emulation.order(order):
        found = torch.ops.hrdet_emulated.soft_nms(*arguments)
    for ours, theirs in zip(found, OPS.soft_nms(*arguments)):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)


def test_nms_reads_no_word_of_the_mask_that_it_did_not_write(emulation):
    """Deterministic algorithms fill new memory with ones, which would suppress everything."""
    arguments = (*candidates(0, 3, 300), 0.5, 300)
    expected = OPS.nms(*arguments)
    torch.use_deterministic_algorithms(True)
    try:
        found = torch.ops.hrdet_emulated.nms(*arguments)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(map(torch.equal, found, expected))


def roi_arguments(seed, dtype, layout, ratio, half_pixel, given_levels, channels=5, rois=23):
    """What roi_align takes, for maps of ``dtype``; some rois are padding and some diverged."""
    maps, table = scene(seed, channels=channels, rois=rois, dtype=torch.float32)
    maps = [map_.to(dtype).contiguous(memory_format=layout) for map_ in maps]
    table[5, 1], table[6, 3], table[7, 2:] = INF, 1e30, NAN
    table = table.to(torch.float64 if dtype is torch.float64 else torch.float32)
    levels = torch.arange(rois) % 4 if given_levels else None
    scales = [1 / stride for stride in STRIDES]
    return maps, table, levels, scales, 56.0, 3, 4, ratio, half_pixel


def tolerance(dtype):
    """Sums in another order, rounded once to ``dtype``."""
    eps = torch.finfo(dtype).eps
    return {'rtol': 4 * eps, 'atol': 40 * min(eps, torch.finfo(torch.float32).eps)}


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('channels', [1, 4, 5, 36])  # packed, by fours, one by one, several blocks
@pytest.mark.parametrize(
    ('ratio', 'half_pixel', 'given_levels'), [(0, False, False), (2, True, True), (3, False, True)]
)
def test_roi_align(emulation, layout, dtype, channels, ratio, half_pixel, given_levels):
    arguments = roi_arguments(1, dtype, layout, ratio, half_pixel, given_levels, channels)
    expected = OPS.roi_align(*arguments)
    results = []
    for order in (0, *ORDERS[:2]):
        with emulation.order(order):
            results.append(torch.ops.hrdet_emulated.roi_align(*arguments))
    torch.testing.assert_close(results[0], expected, **tolerance(dtype))
    assert all(torch.equal(other, results[0]) for other in results[1:])

    maps, rois, levels, scales, finest, _, _, *sampling = arguments
    sizes = [*maps[0].shape[:2], *(side for map_ in maps for side in map_.shape[2:])]
    grad = torch.randn(expected.shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    for deterministic in (False, True):
        last = layout is torch.channels_last
        backward = (grad, rois, levels, sizes, last, scales, finest, *sampling, deterministic)
        expected_grads = OPS.roi_align_backward(*backward)
        results = []
        for order in (0, *ORDERS[:2]):
            with emulation.order(order):
                results.append(torch.ops.hrdet_emulated.roi_align_backward(*backward))
        for found, wanted in zip(results[0], expected_grads):
            assert found.stride() == wanted.stride()
            torch.testing.assert_close(found, wanted, **tolerance(dtype))
        if deterministic:
            for other in results[1:]:
                assert all(map(torch.equal, other, results[0]))


def test_as_many_bins_as_shared_memory_holds(emulation):
    maps, rois, levels, scales, finest, *_ = roi_arguments(
        2, torch.float64, torch.contiguous_format, 1, True, False, channels=2, rois=9
    )
    arguments = (maps, rois, levels, scales, finest, 256, 256, 1, True)
    expected = OPS.roi_align(*arguments)
    found = torch.ops.hrdet_emulated.roi_align(*arguments)
    torch.testing.assert_close(found, expected, **tolerance(torch.float64))
    sizes = [2, 2, *(side for map_ in maps for side in map_.shape[2:])]
    backward = (expected, rois, levels, sizes, False, scales, finest, 1, True, True)
    for ours, theirs in zip(
        torch.ops.hrdet_emulated.roi_align_backward(*backward), OPS.roi_align_backward(*backward)
    ):  # float64, sums of thousands in another order
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-9)


def test_rows_outside_of_the_batch_are_padding(emulation):
    """On CUDA, where checking would wait for the device."""
    maps, rois, _, scales, *options = roi_arguments(
        0, torch.float32, torch.contiguous_format, 2, False, False
    )
    levels = torch.zeros(len(rois), dtype=torch.int64)
    rois[0, 0], rois[1, 0], rois[2, 0], rois[3, 0] = 2, NAN, INF, 1e30
    rois[4:, 0] = 0
    levels[5], levels[6], levels[7] = 4, -1, 2**40
    bad = torch.tensor([0, 1, 2, 3, 5, 6, 7])
    out = torch.ops.hrdet_emulated.roi_align(maps, rois, levels, scales, *options)
    assert not out[bad].any()
    rois[bad, 0], levels[bad] = -1, 0
    assert torch.equal(
        out, torch.ops.hrdet_emulated.roi_align(maps, rois, levels, scales, *options)
    )
    torch.testing.assert_close(out, OPS.roi_align(maps, rois, levels, scales, *options))


def test_the_emulated_device_launches_kernels(emulation, device, request):
    before = emulation.launches()
    OPS.nms(*(part.to(device) for part in candidates(0, 1, 8)), 0.5, 4)
    emulated = request.node.callspec.params['device'] == 'emulated'
    assert emulation.launches() - before == (2 if emulated else 0)


# The launcher: checked in 64 bits, as no test could allocate what exceeds 32.


def test_launches_that_fit(emulation):
    assert emulation.refusal(2**31 - 1, 65535, 65535, 1024, 40000) == ''
    assert emulation.refusal(1) == ''


@pytest.mark.parametrize(
    ('shape', 'message'),
    [
        ((2**31,), 'at most 2147483647 x 65535 x 65535 blocks, not 2147483648 x 1 x 1'),
        ((2**32 + 1,), 'not 4294967297 x 1 x 1'),  # 1 in 32 bits
        ((1, 65536), 'not 1 x 65536 x 1'),
        ((1, 1, 65536), 'not 1 x 1 x 65536'),
        ((0,), 'not 0 x 1 x 1'),
        ((1, 1, 1, 1025), 'at most 1024 threads, not 1025'),
        ((1, 1, 1, 256, 40001), '40000 bytes of dynamic shared memory, not 40001'),
        ((1, 1, 1, 256, 2**32), 'not 4294967296'),
    ],
)
def test_launches_that_do_not_fit(emulation, shape, message):
    assert message in emulation.refusal(*shape)


def test_more_boxes_than_shared_memory_has_bits(emulation):
    boxes = torch.zeros(1, 1, 4).expand(1, 320_001, 4)
    with pytest.raises(RuntimeError, match='takes up to 320000 boxes on CUDA, not 320001'):
        torch.ops.hrdet_emulated.nms(boxes, torch.zeros(1, 320_001), 0.5, 1)


def test_more_channels_than_blocks_in_y(emulation):
    """32 channels are a block of the deterministic backward."""
    channels = 32 * 65535 + 1
    grad, rois = torch.zeros(0, channels, 1, 1), torch.zeros(0, 5)
    arguments = (grad, rois, None, [1, channels, 1, 1], False, [1.0], 56.0, 1, False, True)
    with pytest.raises(RuntimeError, match=r'backward: too large for CUDA.*1 x 65536 x 1'):
        torch.ops.hrdet_emulated.roi_align_backward(*arguments)


# The emulation itself.


@pytest.mark.parametrize('order', [0, *ORDERS])
def test_emulated_operations(emulation, order):
    values = [(7 * i) % 13 - 6 for i in range(32)]
    with emulation.order(order):
        assert emulation.self_test('reverse', values) == (values[::-1], '')
        assert emulation.self_test('indices', [0] * 12 * 24) == (list(range(12 * 24)), '')
        found, error = emulation.self_test('warp', values)
        assert error == ''
        positive = sum(value > 0 for value in values)
        above = [values[0], *values[:-1]]
        assert found == [sum(values) + 1000 * positive + 100000 * value for value in above]
        halves = [int(value > 0) for value in values]
        bits = [sum(halves[first + i] << i for i in range(16)) for first in (0, 16)]
        found, error = emulation.self_test('halves', halves)
        assert (found, error) == ([bits[0]] * 16 + [bits[1]] * 16, '')


def test_shared_memory_starts_as_garbage(emulation):
    garbage = int.from_bytes(b'\xa5' * 4, 'little', signed=True)
    assert emulation.self_test('uninitialised', [0] * 64) == ([garbage] * 64, '')


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('barrier_of_some', 'a thread has ended while others wait at a barrier, at .*self_test.cu'),
        ('different_barriers', 'threads of a block wait at different barriers, at .*self_test.cu'),
        ('ballot_of_some', 'a warp operation waits for lanes that never reach it, at .*self_test'),
        ('lane_outside_of_its_mask', 'a lane that is not in its mask, at .*self_test.cu'),
    ],
)
def test_undefined_behaviour_is_an_error(emulation, name, message):
    for order in (0, *ORDERS):
        with emulation.order(order):
            _, error = emulation.self_test(name, [0] * 32)
        assert re.search(message, error)
    assert emulation.self_test('reverse', [1, 2, 3]) == ([3, 2, 1], '')  # the next launch is well
