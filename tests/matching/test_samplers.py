"""The samplers: their rules exactly, their chances against plain NumPy samplers.

Frequencies over many draws of one assignment are compared with those of an independent NumPy
version of the 2019 rule; with fixed seeds the outcome is always the same.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hrdet.matching import (
    Assignment,
    CombinedSampler,
    InstanceBalancedPosSampler,
    IoUBalancedNegSampler,
    OHEMSampler,
    PseudoSampler,
    RandomSampler,
)
from hrdet.registry import ConfigError, build

assignments = st.integers(1, 3).flatmap(
    lambda n: st.integers(1, 25).flatmap(
        lambda a: st.lists(
            st.lists(st.integers(-2, 3), min_size=a, max_size=a), min_size=n, max_size=n
        )
    )
)


def assignment_of(rows, iou=None):
    gt_index = torch.tensor(rows)
    if iou is None:
        iou = torch.where(gt_index >= 0, 0.8, 0.1)
    return Assignment(gt_index, torch.as_tensor(iou).expand(gt_index.shape))


@given(
    rows=assignments,
    num=st.integers(1, 30),
    fraction=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    bound=st.sampled_from([-1, 0, 1, 1.5, 3]),
    kind=st.sampled_from([RandomSampler, InstanceBalancedPosSampler, IoUBalancedNegSampler]),
    seed=st.integers(0, 9),
)
def test_numbers_and_fields_of_samples(rows, num, fraction, bound, kind, seed):
    torch.manual_seed(seed)
    samples = kind(num, fraction, bound).sample(assignment_of(rows))
    for field in (samples.index, samples.positive, samples.valid, samples.gt_index):
        assert field.shape == (len(rows), num)
    for row, index, positive, valid, gt_index in zip(
        rows,
        samples.index.tolist(),
        samples.positive.tolist(),
        samples.valid.tolist(),
        samples.gt_index.tolist(),
    ):
        num_positive = min(sum(r >= 0 for r in row), int(num * fraction))
        num_negative = min(sum(r == -1 for r in row), num - num_positive)
        if bound >= 0:
            num_negative = min(num_negative, int(bound * max(1, num_positive)))
        total = num_positive + num_negative
        assert positive == [i < num_positive for i in range(num)]
        assert valid == [i < total for i in range(num)]
        assert len(set(index[:total])) == total
        assert [row[i] for i in index[:num_positive]] == gt_index[:num_positive]
        assert all(row[i] == -1 for i in index[num_positive:total])
        assert index[total:] == [0] * (num - total)
        assert gt_index[num_positive:] == [0] * (num - num_positive)


def frequencies(sampler, row, iou, draws=4000):
    """How often each box is a sample."""
    torch.manual_seed(0)
    assignment = Assignment(
        torch.tensor(row).expand(draws, -1), torch.tensor(iou).expand(draws, -1)
    )
    samples = sampler.sample(assignment)
    counts = torch.zeros(len(row)).index_add(
        0, samples.index.flatten(), samples.valid.flatten() * 1.0
    )
    return counts.numpy() / draws


def assert_same_chances(measured, expected, draws=4000):
    # Five standard deviations of the difference of two such frequencies.
    chance = np.clip(expected, 5 / draws, 1 - 5 / draws)
    limit = 5 * np.sqrt(2 * chance * (1 - chance) / draws)
    assert (np.abs(measured - expected) <= limit).all(), (measured, expected)


def test_every_box_has_the_same_chance():
    row = [0] * 10 + [-1] * 40 + [-2] * 5
    measured = frequencies(RandomSampler(16, 0.25), row, [0.5] * 55)
    assert_same_chances(measured, [0.4] * 10 + [0.3] * 40 + [0] * 5)


def test_pairs_are_drawn_independently():
    """Without replacement a pair of 10 comes with 3 draws in 1 of 15 cases."""
    torch.manual_seed(1)
    samples = RandomSampler(3, 0).sample(
        Assignment(torch.full((6000, 10), -1), torch.zeros(6000, 10))
    )
    drawn = torch.zeros(6000, 10).scatter(1, samples.index, 1)
    pairs = (drawn.mT @ drawn / 6000)[np.triu_indices(10, 1)]
    np.testing.assert_allclose(pairs, 1 / 15, rtol=0, atol=5 * (1 / 15 / 6000) ** 0.5)


def numpy_instance_balanced(rng, row, wanted):
    positives = np.flatnonzero(row >= 0)
    if len(positives) <= wanted:
        return positives
    objects = np.unique(row[positives])
    share = round(wanted / len(objects)) + 1
    chosen = np.concatenate([rng.permutation(np.flatnonzero(row == g))[:share] for g in objects])
    if len(chosen) < wanted:
        rest = np.setdiff1d(positives, chosen)
        return np.concatenate([chosen, rng.permutation(rest)[: wanted - len(chosen)]])
    return rng.permutation(chosen)[:wanted]


@pytest.mark.parametrize('sizes', [(30, 4, 1), (30, 20, 9), (2, 1, 1), (40, 1)])
def test_instance_balance_is_the_release_s(sizes):
    row = np.repeat(np.arange(len(sizes)), sizes)
    rng = np.random.default_rng(0)
    expected = np.zeros(len(row))
    for _ in range(4000):
        expected[numpy_instance_balanced(rng, row, 8)] += 1 / 4000
    sampler = InstanceBalancedPosSampler(16, 0.5)
    measured = frequencies(sampler, row.tolist(), [0.8] * len(row))
    assert_same_chances(measured, expected)


def numpy_iou_balanced(rng, row, iou, wanted, floor_thr, floor_fraction, bins):
    """mmdetection's IoUBalancedNegSampler in sets."""
    negatives = set(np.flatnonzero(row == -1))

    def draw(candidates, count):
        return list(rng.permutation(sorted(candidates))[:count])

    if len(negatives) <= wanted:
        return list(negatives)
    if floor_thr > 0:
        floor = negatives & set(np.flatnonzero((iou >= 0) & (iou < floor_thr)))
    elif floor_thr == 0:
        floor = negatives & set(np.flatnonzero(iou == 0))
    else:
        floor = set()
    above, start = negatives - floor, max(floor_thr, 0)
    wanted_above = int(wanted * (1 - floor_fraction))
    if len(above) > wanted_above:
        chosen = []
        if bins >= 2:
            width = (iou.max() - start) / bins
            for i in range(bins):
                inside = (iou >= start + i * width) & (iou < start + (i + 1) * width)
                chosen += draw(above & set(np.flatnonzero(inside)), wanted_above // bins)
        chosen += draw(above - set(chosen), wanted_above - len(chosen))
    else:
        chosen = list(above)
    chosen += draw(floor, wanted - len(chosen))
    return chosen + draw(negatives - set(chosen), wanted - len(chosen))


@pytest.mark.parametrize(
    'options',
    [
        dict(),
        dict(floor_thr=0.1, floor_fraction=0.5),
        dict(floor_thr=0, floor_fraction=0.25),
        dict(floor_thr=0.1, floor_fraction=0.75, num_bins=1),
        dict(floor_thr=0.4, floor_fraction=0.1, num_bins=2),
        dict(num_bins=5),
    ],
)
def test_iou_balance_is_the_release_s(options):
    rng = np.random.default_rng(0)
    iou = np.concatenate([np.zeros(20), rng.uniform(0.01, 0.49, 30) ** 2 * 2]).astype(np.float32)
    row = np.array([-1] * 45 + [0, 1, -2, -2, 0])
    full = dict(floor_thr=-1, floor_fraction=0, num_bins=3) | options
    expected = np.zeros(len(row))
    for _ in range(4000):
        expected[numpy_iou_balanced(rng, row, iou, 12, *full.values())] += 1 / 4000
    measured = frequencies(IoUBalancedNegSampler(12, 0, **options), row.tolist(), iou)
    assert_same_chances(measured, expected)


def test_combined_sampler_ranks_each_side_by_its_own():
    row = [0] * 30 + [1] * 4 + [2] + [-1] * 30
    iou = [0.8] * 35 + [0.0] * 28 + [0.3, 0.31]
    numbers = dict(num=16, pos_fraction=0.5)
    combined = CombinedSampler(
        **numbers,
        pos_sampler=InstanceBalancedPosSampler(**numbers),
        neg_sampler=IoUBalancedNegSampler(**numbers, floor_thr=0.1, floor_fraction=0.5),
    )
    measured = frequencies(combined, row, iou)
    balanced = frequencies(InstanceBalancedPosSampler(**numbers), row, iou)
    by_overlap = frequencies(
        IoUBalancedNegSampler(**numbers, floor_thr=0.1, floor_fraction=0.5), row, iou
    )
    assert_same_chances(measured[:35], balanced[:35])
    assert_same_chances(measured[35:], by_overlap[35:])
    assert (measured[-2:] == 1).all()
    assert measured[34] > 0.8  # one of 35 positives, and the only one of its object


def test_ohem_takes_the_highest_losses():
    assignment = assignment_of([[0, 1, 0, -1, -1, -1, -2], [-1, -2, -1, -1, 0, -2, -1]])
    losses = torch.tensor([[1.0, 3, 2, 0, 5, 4, 9], [1, 9, 4, 2, 0.5, 9, 3]])
    samples = OHEMSampler(4, 0.5).sample(assignment, losses)
    assert samples.index.tolist() == [[1, 2, 4, 5], [4, 2, 6, 3]]
    assert samples.positive.tolist() == [[True, True, False, False], [True] + [False] * 3]
    assert samples.gt_index.tolist() == [[1, 0, 0, 0], [0, 0, 0, 0]]
    assert samples.valid.all()


def test_pseudo_sampler_keeps_everything_in_order():
    samples = PseudoSampler().sample(assignment_of([[2, -1, -2, 0]]))
    assert samples.index.tolist() == [[0, 1, 2, 3]]
    assert samples.positive.tolist() == [[True, False, False, True]]
    assert samples.valid.tolist() == [[True, True, False, True]]
    assert samples.gt_index.tolist() == [[2, 0, 0, 0]]


def test_no_boxes_at_all():
    samples = RandomSampler(4, 0.5).sample(
        Assignment(torch.zeros(2, 0, dtype=torch.int64), torch.zeros(2, 0))
    )
    assert not samples.valid.any()
    assert samples.index.tolist() == [[0] * 4] * 2


def test_the_global_generator_decides():
    assignment = assignment_of([[-1] * 50])
    sampler = RandomSampler(8, 0.5)
    torch.manual_seed(3)
    first, second = sampler.sample(assignment), sampler.sample(assignment)
    torch.manual_seed(3)
    assert torch.equal(sampler.sample(assignment).index, first.index)
    assert not torch.equal(first.index, second.index)


@pytest.mark.parametrize(
    ('node', 'message'),
    [
        (
            dict(type='RandomSampler', num=0, pos_fraction=0.5),
            'num: 0 is not an integer of 1',
        ),
        (
            dict(type='RandomSampler', num=8, pos_fraction=1.5),
            r'pos_fraction: 1\.5 is not a',
        ),
        (
            dict(type='IoUBalancedNegSampler', num=8, pos_fraction=0.5, num_bins=0),
            'num_bins: 0 is not an integer of 1 or more',
        ),
        (dict(type='OHEMSampler', num=8), 'pos_fraction: OHEMSampler needs this argument'),
    ],
)
def test_bad_arguments_are_config_errors(node, message):
    with pytest.raises(ConfigError, match=message):
        build(node, 'train_cfg.rcnn.sampler')
