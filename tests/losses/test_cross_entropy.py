"""Cross entropy against mmsegmentation, and against the formulae in numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hrdet.losses.cross_entropy import hard_pixels, pixel_cross_entropy, soft_cross_entropy

WEIGHT = torch.tensor([0.5, 1, 2, 1, 0.1])


@pytest.fixture(scope='module')
def golden(reference_dir):
    with np.load(reference_dir / 'seg_ops.npz') as file:
        names = [name for name in file.files if name.startswith('loss_')]
        return {name: file[name] for name in names}


def check(golden, name, factor=1.0, **options):
    """Value and gradient, to the rounding of float32 sums of 84 terms."""
    logits = torch.from_numpy(golden['loss_logits']).requires_grad_()
    labels = torch.from_numpy(golden['loss_labels'])
    loss = factor * pixel_cross_entropy(logits, labels, **options)
    loss.backward()
    assert loss.item() == pytest.approx(float(golden[name]), rel=1e-6)
    expected = torch.from_numpy(golden[f'{name}_grad'])
    torch.testing.assert_close(logits.grad, expected, rtol=1e-5, atol=1e-8)


def test_ignored_pixels_count_in_the_mean(golden):
    check(golden, 'loss_default')
    check(golden, 'loss_weight04', factor=0.4)


def test_mean_of_the_pixels_that_are_not_ignored(golden):
    check(golden, 'loss_avg_non_ignore', avg_non_ignore=True)


def test_class_weights_as_in_mmsegmentation_1(golden):
    check(golden, 'loss_class_weight', class_weight=WEIGHT, avg_class_weight=True)
    # There 1.x raises an error; here ignored pixels have never been in this divisor.
    assert golden['loss_class_weight_non_ignore_raises'] == 'IndexError'
    both = dict(avg_class_weight=True, avg_non_ignore=True)
    check(golden, 'loss_class_weight', class_weight=WEIGHT, **both)


@pytest.mark.parametrize('avg_non_ignore', [False, True])
def test_class_weights_as_in_mmsegmentation_0(golden, avg_non_ignore):
    logits, labels = golden['loss_logits'].astype(np.float64), golden['loss_labels']
    log_total = np.log(np.exp(logits).sum(axis=1))
    total = 0.0
    for n, y, x in np.argwhere(labels != 255):
        k = labels[n, y, x]
        total += WEIGHT[k].item() * (log_total[n, y, x] - logits[n, k, y, x])
    count = (labels != 255).sum() if avg_non_ignore else labels.size
    loss = pixel_cross_entropy(
        torch.from_numpy(golden['loss_logits']),
        torch.from_numpy(labels),
        class_weight=WEIGHT,
        avg_non_ignore=avg_non_ignore,
    )
    assert loss.item() == pytest.approx(total / count, rel=1e-6)


@pytest.mark.parametrize(
    'options',
    [
        {},
        {'avg_non_ignore': True},
        {'class_weight': WEIGHT, 'avg_class_weight': True},
    ],
)
def test_without_a_pixel_to_learn_from_the_loss_is_0(options):
    logits = torch.randn(1, 5, 3, 3, requires_grad=True)
    loss = pixel_cross_entropy(logits, torch.full((1, 3, 3), 255, dtype=torch.uint8), **options)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_half_precision_is_summed_in_float32():
    logits = torch.randn(1, 3, 300, 300, generator=torch.Generator().manual_seed(0)).bfloat16()
    labels = torch.ones(1, 300, 300, dtype=torch.uint8)
    loss = pixel_cross_entropy(logits, labels)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(pixel_cross_entropy(logits.double(), labels).item(), 1e-6)


def hard_by_loops(logits, labels, thresh, min_kept):
    """``OHEMPixelSampler`` in words: see ``hard_pixels``."""
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    places = [tuple(place) for place in np.argwhere(labels != 255)]
    right = {(n, y, x): probability[n, labels[n, y, x], y, x] for n, y, x in places}
    hard = np.zeros(labels.shape)
    order = sorted(places, key=right.get)
    kept = min_kept * len(labels)
    if thresh is None:
        chosen = order[:kept]
    elif places:
        bound = max(right[order[min(kept, len(order) - 1)]], thresh)
        chosen = [place for place in places if right[place] < bound]
    else:
        chosen = []
    for place in chosen:
        hard[place] = 1
    return hard


@given(
    seed=st.integers(0, 10_000),
    thresh=st.sampled_from([None, 0.1, 0.5, 0.95]),
    min_kept=st.sampled_from([0, 1, 5, 30, 1000]),
    ignored=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
)
def test_hard_pixels_against_loops(seed, thresh, min_kept, ignored):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (2, 3, 4, 5))
    labels = rng.integers(0, 3, (2, 4, 5))
    labels[rng.random(labels.shape) < ignored] = 255
    found = hard_pixels(torch.from_numpy(logits), torch.from_numpy(labels), thresh, min_kept)
    np.testing.assert_array_equal(found, hard_by_loops(logits, labels, thresh, min_kept))


def test_a_loss_of_hard_pixels_is_divided_by_all_pixels(golden):
    logits, labels = (torch.from_numpy(golden[f'loss_{n}']) for n in ('logits', 'labels'))
    weight = hard_pixels(logits, labels, thresh=0.2, min_kept=3)
    only = torch.where(weight > 0, labels, 255)
    assert 0 < weight.sum() < (labels != 255).sum()
    loss = pixel_cross_entropy(logits, labels, pixel_weight=weight)
    torch.testing.assert_close(loss, pixel_cross_entropy(logits, only))


@given(seed=st.integers(0, 1000), smoothing=st.sampled_from([0.0, 0.1, 0.5]), soft=st.booleans())
def test_soft_cross_entropy_against_the_formula(seed, smoothing, soft):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (4, 6))
    labels = rng.integers(0, 6, 4)
    target = np.eye(6)[labels]
    if soft:  # mixup with the images in reverse order
        target = 0.3 * target + 0.7 * target[::-1]
    smooth = target * (1 - smoothing) + smoothing / 6
    log_probability = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -(smooth * log_probability).sum(axis=1).mean()
    given_target = torch.from_numpy(target if soft else labels.astype(np.int32))
    loss = soft_cross_entropy(torch.from_numpy(logits), given_target, smoothing)
    assert loss.item() == pytest.approx(expected, rel=1e-9)
