import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hrdet.losses import CrossEntropyLoss, FocalLoss, one_hot, sigmoid_focal_loss
from hrdet.registry import ConfigError, build


@pytest.fixture(scope='module')
def ops(golden_ops):
    return {k: torch.from_numpy(golden_ops[k]) for k in golden_ops.files if k.startswith('loss')}


@pytest.fixture(scope='module')
def fcos(reference_dir):
    with np.load(reference_dir / 'fcos_ops.npz') as file:
        return {
            k: torch.from_numpy(np.asarray(file[k]))
            for k in file.files
            if 'focal' in k or 'ctr' in k
        }


def assert_scalar(loss, golden, rtol=1e-6):  # float32 sums of up to 5,000 terms
    torch.testing.assert_close(loss.reshape(1), golden.float().reshape(1), rtol=rtol, atol=0)


def test_softmax_cross_entropy_is_the_release_s(ops):
    arguments = ops['loss_ce_pred'], ops['loss_ce_label'], ops['loss_ce_weight']
    # Without avg_factor the release divides by the number of positive weights.
    count = (ops['loss_ce_weight'] > 0).sum()
    assert_scalar(CrossEntropyLoss()(*arguments, count), ops['loss_ce_out'])
    assert_scalar(CrossEntropyLoss()(*arguments, 64), ops['loss_ce_out_avg64'])
    assert_scalar(CrossEntropyLoss(loss_weight=0.5)(*arguments, 32), ops['loss_ce_out_avg64'])


def test_binary_cross_entropy_is_the_release_s(ops):
    arguments = ops['loss_bce_pred'], ops['loss_bce_label'], ops['loss_bce_weight']
    loss = CrossEntropyLoss(use_sigmoid=True)
    assert_scalar(loss(*arguments, 50), ops['loss_bce_out_avg50'])
    count = (ops['loss_bce_weight'] > 0).sum()
    assert_scalar(loss(*arguments, count), ops['loss_bce_out'])
    # The same as labels: 0 the one class, 1 the background.
    labels = 1 - ops['loss_bce_label'][:, 0]
    assert_scalar(loss(arguments[0], labels, arguments[2], 50), ops['loss_bce_out_avg50'])


def test_centerness_loss_is_mmdetection_s(fcos):
    loss = CrossEntropyLoss(use_sigmoid=True)(fcos['ctr_logits'], fcos['ctr_targets'])
    assert_scalar(loss, fcos['ctr_loss'])


def test_focal_loss_is_mmdetection_s(ops, fcos):
    weighted = sigmoid_focal_loss(ops['loss_bce_pred'], ops['loss_bce_label'])
    weighted = (weighted * ops['loss_bce_weight']).sum() / 7
    assert_scalar(weighted, ops['loss_focal_out_avg7'])
    logits, labels = fcos['focal_logits'], labels_of(fcos['focal_targets'], 80)
    assert_scalar(FocalLoss()(logits, labels, avg_factor=37), fcos['focal_avg37'])
    assert_scalar(FocalLoss()(logits, labels), fcos['focal_mean'])
    weight = fcos['focal_weight'][:, None]
    assert_scalar(FocalLoss()(logits, labels, weight, 37), fcos['focal_weighted_avg37'])


def labels_of(targets, num_classes):
    """mmdetection 1 counts the background as 0 and classes from 1."""
    return torch.where(targets == 0, num_classes, targets - 1)


@pytest.mark.parametrize('name', ['focal', 'focalext'])
def test_focal_elements_and_gradients_are_exact(fcos, name):
    """Also where the release's kernel clamps log(p): logits up to +-110."""
    logits = fcos[f'{name}_logits'].requires_grad_()
    num_classes = logits.shape[1]
    target = one_hot(labels_of(fcos[f'{name}_targets'], num_classes), num_classes)
    loss = sigmoid_focal_loss(logits, target)
    loss.backward(fcos[f'{name}_grad_out'])
    # A few float32 roundings of values up to 110.
    expected = fcos[f'{name}_loss_none_float64']
    torch.testing.assert_close(loss.double(), expected, rtol=2e-6, atol=1e-7)
    expected = fcos[f'{name}_grad_logits_float64']
    torch.testing.assert_close(logits.grad.double(), expected, rtol=2e-5, atol=1e-7)


@given(
    logit=st.floats(-30, 30),
    target=st.booleans(),
    gamma=st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0]),
    alpha=st.floats(0.05, 0.95),
)
def test_focal_loss_against_the_paper_s_formula(logit, target, gamma, alpha):
    z = logit if target else -logit
    log_p, log_q = -math.log1p(math.exp(-z)), -math.log1p(math.exp(z))
    expected = -(alpha if target else 1 - alpha) * math.exp(gamma * log_q) * log_p
    prediction = torch.tensor([[logit]], dtype=torch.float64, requires_grad=True)
    loss = FocalLoss(gamma=gamma, alpha=alpha)(prediction, torch.tensor([0 if target else 1]))
    assert loss.item() == pytest.approx(expected, rel=2e-7, abs=1e-15)  # alpha is float32
    loss.backward()
    assert prediction.grad.isfinite().all()


@pytest.mark.parametrize(
    ('loss', 'target'),
    [
        (CrossEntropyLoss(), torch.tensor([0, 3, 2, 1, 3])),
        (CrossEntropyLoss(use_sigmoid=True), torch.tensor([0, 4, 2, 1, 3])),
        (FocalLoss(), torch.tensor([0, 4, 2, 1, 3])),
    ],
)
def test_gradients(loss, target):
    torch.manual_seed(0)
    logits = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(5, dtype=torch.float64)
    weight = weight if loss == CrossEntropyLoss() else weight[:, None]
    assert torch.autograd.gradcheck(lambda x: loss(x, target, weight, 3.5), logits)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype):
    logits = (torch.arange(6000) % 13 - 6.0).reshape(2000, 3)
    labels = torch.arange(2000) % 3
    for loss in (CrossEntropyLoss(), CrossEntropyLoss(use_sigmoid=True), FocalLoss()):
        half = loss(logits.to(dtype), labels, avg_factor=1)
        assert half.dtype == torch.float32
        assert torch.equal(half, loss(logits, labels, avg_factor=1))  # these logits are exact


def test_nothing_to_learn_is_zero_with_a_gradient():
    for loss in (CrossEntropyLoss(), CrossEntropyLoss(use_sigmoid=True), FocalLoss()):
        logits = torch.zeros(0, 4, requires_grad=True)
        value = loss(logits, torch.zeros(0, dtype=torch.int64))
        value.backward()
        assert value == 0
        assert logits.grad.shape == (0, 4)


def test_softmax_focal_loss_is_refused():
    with pytest.raises(ConfigError, match=r'bbox_head\.loss_cls.*use_sigmoid'):
        build(dict(type='FocalLoss', use_sigmoid=False), 'model.bbox_head.loss_cls')
