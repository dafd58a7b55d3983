"""The assigner against the 2019 release and against plain loops in exact arithmetic."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from hrdet.matching import MaxIoUAssigner, assigner
from hrdet.registry import ConfigError, build
from hrdet.structures import GroundTruth

ONE = torch.tensor([0.0, 0, 1, 1])
GOLDEN = {
    'rpn': dict(pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3),
    'rcnn': dict(pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5),
    'rpn_ignore05': dict(pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, ignore_iof_thr=0.5),
    'rpn_minpos0': dict(pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0),
    'rpn_not_all': dict(pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, gt_max_assign_all=False),
    'negtuple': dict(pos_iou_thr=0.5, neg_iou_thr=(0.1, 0.5), min_pos_iou=0.5),
}


def truth_of(images):
    """Padded ``GroundTruth`` of (boxes, ignored) pairs; the padding is rubbish, not zeros."""

    def pad(lists):
        longest = max(len(rows) for rows in lists)
        rubbish = [[3.0, 3, 9, 9]]
        rows = [list(rows) + rubbish * (longest - len(rows)) for rows in lists]
        valid = [[i < len(rows) for i in range(longest)] for rows in lists]
        return (
            torch.tensor(rows, dtype=torch.float32).reshape(len(lists), longest, 4),
            torch.tensor(valid, dtype=torch.bool).reshape(len(lists), longest),
        )

    boxes, valid = pad([boxes for boxes, _ in images])
    ignored, ignored_valid = pad([ignored for _, ignored in images])
    labels = torch.zeros(valid.shape, dtype=torch.int64)
    return GroundTruth(boxes, labels, ignored, valid=valid, ignored_valid=ignored_valid)


@pytest.mark.parametrize('piece', [1 << 18, 100])
@pytest.mark.parametrize('name', GOLDEN)
def test_assignments_are_the_release_s(golden_ops, monkeypatch, name, piece):
    monkeypatch.setitem(assigner.CHUNK_ELEMENTS, 'cpu', piece)
    boxes, objects, ignored = (
        torch.from_numpy(golden_ops[f'assign_{n}']) + ONE for n in ('bboxes', 'gts', 'gts_ignore')
    )
    truth = truth_of([(objects.tolist(), ignored.tolist()), ([], [])])
    assignment = MaxIoUAssigner(**GOLDEN[name])(boxes, None, truth)
    golden = torch.from_numpy(golden_ops[f'assign_{name}_gt_inds'])  # 1-based, 0 and -1
    expected = torch.where(golden > 0, golden - 1, torch.where(golden == 0, -1, -2))
    assert torch.equal(assignment.gt_index[0], expected)
    # One rounding of a quotient below 1.
    np.testing.assert_allclose(
        assignment.max_iou[0], golden_ops[f'assign_{name}_max_overlaps'], rtol=0, atol=1.2e-7
    )
    assert (assignment.gt_index[1] == -1).all()


def intersection(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    return width * max(0, min(a[3], b[3]) - max(a[1], b[1]))


def area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def assign_one_image(boxes, valid, objects, ignored, config):
    """The rule of the release (mmdetection's MaxIoUAssigner), box by box, in fractions."""
    exact = {k: Fraction(str(v)) for k, v in config.items() if isinstance(v, float)}
    low, high = (Fraction(str(t)) for t in config['neg_iou_thr'])

    def in_crowd(box):
        part = 0
        for crowd in ignored:
            whole = area(box) if config['ignore_wrt_candidates'] else area(crowd)
            part = max(part, Fraction(intersection(box, crowd), whole))
        return exact['ignore_iof_thr'] > 0 and part > exact['ignore_iof_thr']

    taking_part = [v and not in_crowd(b) for b, v in zip(boxes, valid)]
    iou = {
        (a, g): Fraction(
            intersection(b, o), area(b) + area(o) - intersection(b, o)
        ) if taking_part[a] else -1
        for a, b in enumerate(boxes)
        for g, o in enumerate(objects)
    }  # fmt: skip
    result = []
    for a in range(len(boxes)):
        if not taking_part[a]:
            result.append(-2)
            continue
        if not objects:
            result.append(-1)
            continue
        best = max(iou[a, g] for g in range(len(objects)))
        row = min(g for g in range(len(objects)) if iou[a, g] == best)
        if best >= exact['pos_iou_thr']:
            result.append(row)
        else:
            result.append(-1 if low <= best < high else -2)
    for g in range(len(objects) if config['match_low_quality'] else 0):
        best = max((iou[a, g] for a in range(len(boxes)) if taking_part[a]), default=-1)
        if best < exact['min_pos_iou']:
            continue
        equal = [a for a in range(len(boxes)) if taking_part[a] and iou[a, g] == best]
        for a in equal if config['gt_max_assign_all'] else equal[:1]:
            result[a] = g
    return result


# Small whole numbers: many ties, and overlaps exactly at the thresholds.
box = st.tuples(*[st.integers(0, 7)] * 2, *[st.integers(1, 6)] * 2).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
configs = st.fixed_dictionaries(
    dict(
        pos_iou_thr=st.sampled_from([0.25, 0.5, 0.75, 1.0]),
        neg_iou_thr=st.sampled_from([(0.0, 0.25), (0.0, 0.5), (0.125, 0.5)]),
        min_pos_iou=st.sampled_from([0.0, 0.25, 0.5]),
        gt_max_assign_all=st.booleans(),
        ignore_iof_thr=st.sampled_from([-1.0, 0.25, 0.5]),
        ignore_wrt_candidates=st.booleans(),
        match_low_quality=st.booleans(),
    )
)
images = st.lists(
    st.tuples(st.lists(box, max_size=4), st.lists(box, max_size=2)), min_size=1, max_size=3
)


@given(
    boxes=st.lists(box, max_size=9),
    images=images,
    config=configs,
    piece=st.sampled_from([1, 7, 1 << 18]),
    shared=st.booleans(),
    data=st.data(),
)
def test_assignments_against_loops(boxes, images, config, piece, shared, data):
    n = len(images)
    valid = data.draw(
        st.lists(st.lists(st.booleans(), min_size=len(boxes), max_size=len(boxes)), min_size=n,
                 max_size=n)
    )  # fmt: skip
    tensor = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    valid_tensor = torch.tensor(valid, dtype=torch.bool).reshape(n, -1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(assigner.CHUNK_ELEMENTS, 'cpu', piece)
        assignment = MaxIoUAssigner(**config)(
            tensor if shared else tensor.expand(n, -1, -1), valid_tensor, truth_of(images)
        )
    expected = [
        assign_one_image(boxes, v, objects, ignored, config)
        for v, (objects, ignored) in zip(valid, images)
    ]
    assert assignment.gt_index.tolist() == expected
    assert assignment.gt_index.dtype == torch.int64
    assert ((assignment.max_iou < 0) <= (assignment.gt_index == -2)).all()


class LargestTensor(TorchDispatchMode):
    """Remembers the size in bytes of the largest tensor made under it."""

    bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for item in result if isinstance(result, list | tuple) else (result,):
            if isinstance(item, torch.Tensor):
                self.bytes = max(self.bytes, item.numel() * item.element_size())
        return result


def test_memory_is_bounded_whatever_the_number_of_objects(monkeypatch):
    monkeypatch.setitem(assigner.CHUNK_ELEMENTS, 'cpu', 1 << 16)
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(3000, 2, generator=generator) * 1000
    boxes = torch.cat([corner, corner + 50], -1)
    truth = truth_of([(boxes[:400].tolist(), []), (boxes[1000:1300].tolist(), [])])
    with LargestTensor() as largest:
        assignment = MaxIoUAssigner(0.7, 0.3, 0.3)(boxes, None, truth)
    # One matrix in one piece would take 12.8 MB; the largest tensor may be a piece of float32.
    assert largest.bytes <= 4 << 16
    assert (assignment.gt_index[0, :400] == torch.arange(400)).all()
    assert (assignment.gt_index[1, 1000:1300] == torch.arange(300)).all()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(pos_iou_thr=0, neg_iou_thr=0.3), 'pos_iou_thr must be in'),
        (dict(pos_iou_thr=0.7, neg_iou_thr=(0.1, 0.2, 0.3)), 'a number or .low, high.'),
        (dict(pos_iou_thr=0.7, neg_iou=0.3), "did you mean 'neg_iou_thr'"),
    ],
)
def test_bad_arguments_are_config_errors(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(dict(type='MaxIoUAssigner', **arguments), 'train_cfg.rpn.assigner')


@pytest.mark.parametrize('objects', [1, 40, 4000])
def test_memory_does_not_grow_with_the_number_of_objects(monkeypatch, objects):
    """Five matrices of a piece, the assignment itself, and what is per object."""
    piece, count = 1 << 16, 5000
    monkeypatch.setitem(assigner.CHUNK_ELEMENTS, 'cpu', piece)
    rows = torch.arange(objects).float()
    boxes = torch.stack([rows, rows, rows + 9, rows + 9], -1)
    truth = truth_of([(boxes.tolist(), [])])
    anchors = torch.rand(count, 4).cumsum(1)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        MaxIoUAssigner(0.7, 0.3, 0.3)(anchors, None, truth)
    events = [e for e in record.profiler.kineto_results.events() if e.name() == '[memory]']
    alive = itertools.accumulate(e.nbytes() for e in sorted(events, key=lambda e: e.start_ns()))
    assert max(alive) < 5 * 4 * piece + 60 * count + 200 * objects
