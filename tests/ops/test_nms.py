"""NMS and soft-NMS against golden data of the 2019 release and exact brute force."""

import functools

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hrdet.ops import nms, soft_nms
from tests.ops import brute_force

INF = float('inf')


def continuous(dets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Golden detections (M, 5) have inclusive corners."""
    return dets[:, :4] + torch.tensor([0.0, 0, 1, 1]), dets[:, 4]


@pytest.mark.parametrize('threshold', [0.3, 0.5, 0.7])
def test_golden_nms(golden, device, threshold):
    boxes, scores = continuous(golden('nms_dets'))
    indices, valid = nms(boxes.to(device), scores.to(device), threshold, 300)
    kept = indices[valid].cpu()
    assert kept.sort().values.equal(golden(f'nms_keep_cuda_thr{threshold}'))
    assert scores[kept].diff().le(0).all()


@pytest.mark.parametrize('threshold', [0.4, 0.5])
def test_golden_nms_at_the_threshold(golden, device, threshold):
    """An IoU equal to the threshold does not suppress."""
    boxes, scores = continuous(golden('nms_edge_dets'))
    indices, valid = nms(boxes.to(device), scores.to(device), threshold, 300)
    assert indices[valid].sort().values.cpu().equal(golden(f'nms_edge_keep_cuda_thr{threshold}'))


def test_golden_soft_nms(golden, device):
    boxes, scores = (part.to(device) for part in continuous(golden('nms_dets')))
    names = [name for name in golden.names if name.startswith('softnms') and 'dets' in name]
    assert len(names) == 12
    for name in names:
        _, method, sigma, threshold, min_score, _ = name.split('_')
        options = float(threshold[3:]), float(min_score[3:]), method, float(sigma[5:])
        indices, lowered, valid = soft_nms(boxes, scores, *options, max_output=300)
        assert indices[valid].cpu().equal(golden(name.replace('dets', 'inds')))
        # float32 on both sides; exp and the order of products differ in the last bits.
        expected = golden(name)[:, 4]
        torch.testing.assert_close(lowered[valid].cpu(), expected, rtol=1e-5, atol=1e-7)


# Whole-number boxes, so that brute force is exact; few sizes and scores, so that IoUs meet the
# threshold and scores tie; some rows of padding.
_side = st.integers(0, 6)
_box = st.tuples(_side, _side, _side, _side).map(
    lambda sides: (sides[0], sides[1], sides[0] + sides[2], sides[1] + sides[3])
)
_score = st.sampled_from([0.1, 0.3, 0.5, 0.9, -INF])
# Soft-NMS multiplies: equal scores reached on two ways may differ in the last bit, so these have
# no simple ratios, and no two rows of a problem share one.
_unlike = [prime**0.5 / 7 for prime in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31)] + [-INF]


def _problems(rows):
    """One to three problems with the same number of rows (box, score)."""
    return st.integers(0, 12).flatmap(lambda count: st.lists(rows(count), min_size=1, max_size=3))


_with_ties = _problems(
    lambda count: st.lists(st.tuples(_box, _score), min_size=count, max_size=count)
)
_without_ties = _problems(
    lambda count: st.tuples(
        st.lists(_box, min_size=count, max_size=count), st.permutations(_unlike)
    ).map(lambda columns: list(zip(*columns)))
)


def tensors(problems, dtype, device='cpu'):
    shape = len(problems), len(problems[0])
    boxes = torch.tensor([[row[0] for row in rows] for rows in problems], dtype=dtype)
    scores = torch.tensor([[row[1] for row in rows] for rows in problems], dtype=dtype)
    return boxes.reshape(*shape, 4).to(device), scores.reshape(shape).to(device)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    problems=_with_ties,
    threshold=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),  # exact in binary
    max_output=st.integers(0, 14),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_any_nms(device, problems, threshold, max_output, dtype):
    boxes, scores = tensors(problems, dtype, device)
    indices, valid = nms(boxes, scores, threshold, max_output)
    assert indices.shape == valid.shape == (len(problems), max_output)
    for b in range(len(problems)):
        expected = brute_force.nms(boxes[b].tolist(), scores[b].tolist(), threshold, max_output)
        assert valid[b].tolist() == [i < len(expected) for i in range(max_output)]
        assert indices[b].tolist() == expected + [0] * (max_output - len(expected))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    problems=_without_ties,
    threshold=st.sampled_from([0.0, 0.25, 0.5]),
    min_score=st.sampled_from([0.0, 0.05, 0.2]),
    method=st.sampled_from(['linear', 'gaussian']),
    max_output=st.integers(0, 14),
)
def test_any_soft_nms(device, problems, threshold, min_score, method, max_output):
    boxes, scores = tensors(problems, torch.float64, device)
    options = threshold, min_score, method, 0.5, max_output
    indices, lowered, valid = soft_nms(boxes, scores, *options)
    for b in range(len(problems)):
        expected = brute_force.soft_nms(boxes[b].tolist(), scores[b].tolist(), *options)
        rest = [0] * (max_output - len(expected))
        assert valid[b].tolist() == [True] * len(expected) + [False] * len(rest)
        assert indices[b].tolist() == [index for index, _ in expected] + rest
        assert lowered[b].tolist() == pytest.approx([score for _, score in expected] + rest)


def test_soft_nms_takes_the_first_of_equals(device):
    boxes = torch.tensor([[20.0, 0, 30, 10], [0, 0, 10, 10], [40, 0, 50, 10]])
    scores = torch.tensor([0.5, 0.5, 0.5])
    indices, _, _ = soft_nms(boxes.to(device), scores.to(device), 0.3, 0.05, 'linear', 0.5, 3)
    assert indices.tolist() == [0, 1, 2]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_problems_take_turns_in_bounded_memory():
    """80 classes of FCOS at six views; all their overlap masks at once would be 4 GB."""
    generator = torch.Generator('cuda').manual_seed(0)
    corner = torch.rand(80, 20_100, 2, device='cuda', generator=generator) * 1000
    boxes = torch.cat([corner, corner + 50], dim=2)
    scores = torch.rand(80, 20_100, device='cuda', generator=generator)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    together = nms(boxes, scores, 0.5, 100)
    # 256 MiB of masks; sorting takes a few times the 13 MB of order that it gives
    assert torch.cuda.max_memory_allocated() - before < 400 << 20
    for problem in (0, 4, 5, 42, 79):
        alone = nms(boxes[problem], scores[problem], 0.5, 100)
        for part, of_all in zip(alone, together):
            assert part.equal(of_all[problem])


@functools.cache
def clutter(count):
    """Three problems of ``count`` overlapping boxes, and the rows that NMS keeps."""
    generator = torch.Generator().manual_seed(count)
    corner = torch.randint(0, 40, (3, count, 2), generator=generator)
    size = torch.randint(1, 30, (3, count, 2), generator=generator)
    boxes = torch.cat([corner, corner + size], dim=2).float()
    scores = torch.randint(0, 20, (3, count), generator=generator).float()  # many ties
    scores[1, ::5] = -INF
    scores[2] = -INF
    rows = zip(boxes.tolist(), scores.tolist())
    return boxes, scores, [brute_force.nms(*problem, 0.5, count) for problem in rows]


@pytest.mark.parametrize('count', [1, 63, 64, 65, 130, 700])
def test_cluttered_nms(device, count):
    """Around the 64 boxes of a word of the CUDA kernel's mask."""
    boxes, scores, expected = clutter(count)
    indices, valid = nms(boxes.to(device), scores.to(device), 0.5, count)
    for b in range(3):
        assert indices[b][valid[b]].tolist() == expected[b]


def test_nan_scores_are_padding(device):
    boxes = torch.tensor([[0.0, 0, 9, 9]]).repeat(3, 1) + torch.arange(3).mul(20)[:, None]
    scores = torch.tensor([0.5, float('nan'), 0.7])
    indices, valid = nms(boxes.to(device), scores.to(device), 0.5, 3)
    assert indices[valid].tolist() == [2, 0]
    indices, _, valid = soft_nms(boxes.to(device), scores.to(device), 0.5, 0, 'linear', 0.5, 3)
    assert indices[valid].tolist() == [2, 0]


def test_soft_nms_keeps_weak_boxes_that_meet_none(device):
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]])
    scores = torch.tensor([0.9, 0.02, 0.01])
    indices, lowered, valid = soft_nms(
        boxes.to(device), scores.to(device), 0.3, 0.05, 'linear', 0.5, 3
    )
    assert indices[valid].tolist() == [0, 2]
    assert lowered.tolist() == pytest.approx([0.9, 0.01, 0])


def test_infinite_boxes_leave_others_alone(device):
    """A diverged model; their overlaps are NaN."""
    wild = [[-INF, -INF, INF, INF], [0, 0, INF, INF], [float('nan')] * 4, [0, 0, 1e38, 1e38]]
    boxes = torch.tensor([[[0.0, 0, 10, 10], *wild, [50, 50, 60, 60], [50, 50, 60, 59]]])
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]])
    boxes, scores = boxes.to(device), scores.to(device)
    for method in ('linear', 'gaussian'):
        indices, lowered, valid = soft_nms(boxes, scores, 0.3, 0.25, method, 0.5, 7)
        assert lowered[valid].isfinite().all()
        assert {0, 5} <= set(indices[valid].tolist())
    indices, valid = nms(boxes, scores, 0.5, 7)
    assert {0, 5} <= set(indices[valid].tolist())
    assert 6 not in indices[valid].tolist()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(device, dtype):
    boxes = torch.tensor([[[0.0, 0, 16, 16], [0, 0, 16, 15], [32, 32, 48, 48]]])
    scores = torch.tensor([[0.5, 0.75, 0.25]])
    indices, valid = nms(boxes.to(device, dtype), scores.to(device, dtype), 0.5, 3)
    assert indices.tolist() == [[1, 2, 0]]
    assert valid.tolist() == [[True, True, False]]


def test_empty_batches(device):
    for shape in ((0, 5), (3, 0)):
        boxes, scores = torch.zeros(*shape, 4, device=device), torch.zeros(shape, device=device)
        for valid in (nms(boxes, scores, 0.5, 4)[1], soft_nms(boxes, scores, *_SOFT)[2]):
            assert valid.shape == (shape[0], 4)
            assert not valid.any()


_SOFT = (0.5, 0.05, 'linear', 0.5, 4)


def test_opcheck(device):
    boxes = torch.rand(2, 9, 4, device=device).cumsum(dim=2)
    scores = torch.rand(2, 9, device=device)
    torch.library.opcheck(torch.ops.hrdet.nms.default, (boxes, scores, 0.5, 4))
    torch.library.opcheck(
        torch.ops.hrdet.soft_nms.default, (boxes, scores, 0.5, 0.05, True, 0.5, 4)
    )


def test_compiles_without_graph_break():
    boxes, scores = torch.rand(2, 9, 4).cumsum(dim=2), torch.rand(2, 9)
    compiled = torch.compile(nms, fullgraph=True, backend='aot_eager')(boxes, scores, 0.5, 4)
    assert all(map(torch.equal, compiled, nms(boxes, scores, 0.5, 4)))
    compiled = torch.compile(soft_nms, fullgraph=True, backend='aot_eager')(boxes, scores, *_SOFT)
    assert all(map(torch.equal, compiled, soft_nms(boxes, scores, *_SOFT)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_cuda_does_not_wait():
    boxes, scores = torch.rand(4, 500, 4).cumsum(dim=2).cuda(), torch.rand(4, 500).cuda()
    nms(boxes, scores, 0.5, 100)  # loads the kernels
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode('error')
    try:
        nms(boxes, scores, 0.5, 100)
        soft_nms(boxes, scores, 0.5, 0.05, 'gaussian', 0.5, 100)
    finally:
        torch.cuda.set_sync_debug_mode('default')


def test_bad_input_is_named(device):
    boxes, scores = torch.zeros(2, 5, 4, device=device), torch.zeros(2, 5, device=device)
    with pytest.raises(RuntimeError, match=r'nms: boxes must have the shape \(B, M, 4\)'):
        nms(boxes[..., :3], scores, 0.5, 4)
    with pytest.raises(RuntimeError, match=r'scores must have the shape \(B, M\), here \(2, 5\)'):
        nms(boxes, scores[:, :4], 0.5, 4)
    with pytest.raises(RuntimeError, match='both be float32 or both float64'):
        nms(boxes, scores.double(), 0.5, 4)
    with pytest.raises(RuntimeError, match='max_output must not be negative'):
        nms(boxes, scores, 0.5, -1)
    for shape in ((2**31, 1), (1, 2**31)):  # views of one box; kernels index with int
        many, same = boxes[0, 0].expand(*shape, 4), scores[0, 0].expand(shape)
        with pytest.raises(RuntimeError, match=r'nms: B and M must be below 2\^31, not'):
            nms(many, same, 0.5, 4)
        with pytest.raises(RuntimeError, match=r'soft_nms: B and M must be below 2\^31, not'):
            soft_nms(many, same, *_SOFT)
    with pytest.raises(ValueError, match="'linear' or 'gaussian', not 'cubic'"):
        soft_nms(boxes, scores, 0.5, 0.05, 'cubic', 0.5, 4)
    with pytest.raises(ValueError, match='sigma must be positive, not 0'):
        soft_nms(boxes, scores, 0.5, 0.05, 'gaussian', 0, 4)
