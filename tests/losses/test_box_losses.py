import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hrdet.losses import IoULoss, L1Loss, SmoothL1Loss, iou_loss
from hrdet.registry import ConfigError, build

ONE = torch.tensor([0.0, 0, 1, 1])


@pytest.fixture(scope='module')
def golden_iou(reference_dir):
    with np.load(reference_dir / 'fcos_ops.npz') as file:
        return {k: torch.from_numpy(np.asarray(file[k])) for k in file.files if 'iou_' in k}


@pytest.mark.parametrize(('beta', 'name'), [(1.0, 'beta1'), (1 / 9, 'beta1_9')])
def test_smooth_l1_is_the_release_s(golden_ops, beta, name):
    prediction, target, weight = (
        torch.from_numpy(golden_ops[f'loss_sl1_{n}']) for n in ('pred', 'target', 'weight')
    )
    loss = SmoothL1Loss(beta)(prediction, target, weight, 50)
    expected = torch.from_numpy(golden_ops[f'loss_sl1_{name}_avg50'])[0]
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)  # a float32 sum of 200
    if name == 'beta1':
        # Without avg_factor the release divides by the number of weighted boxes.
        loss = SmoothL1Loss(beta)(prediction, target, weight, (weight > 0).sum() / 4 + 1e-6)
        expected = torch.from_numpy(golden_ops['loss_sl1_beta1'])[0]
        torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)


def test_iou_loss_is_the_release_s(golden_iou):
    """With disjoint, identical, point-like and inverted boxes; gradients included."""
    prediction = (golden_iou['iou_pred'] + ONE).requires_grad_()
    target = golden_iou['iou_target'] + ONE
    loss = iou_loss(prediction, target)
    torch.testing.assert_close(loss, golden_iou['iou_loss_none'], rtol=1e-6, atol=1e-6)
    loss.sum().backward()
    torch.testing.assert_close(prediction.grad, golden_iou['iou_grad_pred'], rtol=1e-5, atol=1e-6)
    weight = golden_iou['iou_weight']
    for value, name in (
        (IoULoss()(prediction, target), 'iou_loss_mean'),
        (IoULoss()(prediction, target, weight, weight.sum()), 'iou_loss_weighted_avg_sumw'),
        (IoULoss()(prediction, target, weight * 0, 1), 'iou_loss_zero_weight'),
    ):
        assert value.item() == pytest.approx(golden_iou[name].item(), rel=1e-6)


numbers = st.floats(-50, 50)


@given(pairs=st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8), beta=st.floats(0.01, 5))
def test_smooth_l1_and_l1_against_the_formula(pairs, beta):
    expected = 0.0
    for p, t in pairs:
        d = abs(p - t)
        expected += 0.5 * d * d / beta if d < beta else d - 0.5 * beta
    prediction, target = torch.tensor(pairs, dtype=torch.float64).unbind(1)
    value = SmoothL1Loss(beta=beta)(prediction, target).item()
    assert value == pytest.approx(expected / len(pairs), rel=1e-12, abs=1e-15)
    value = L1Loss(loss_weight=3)(prediction, target, avg_factor=2).item()
    expected = 3 * sum(abs(p - t) for p, t in pairs) / 2
    assert value == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_disjoint_boxes_cost_the_same_without_a_gradient():
    prediction = torch.tensor([[0.0, 0, 4, 4]], requires_grad=True)
    loss = IoULoss()(prediction, torch.tensor([[10.0, 10, 14, 14]]))
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(1e-6), rel=1e-6)
    assert (prediction.grad == 0).all()


@pytest.mark.parametrize('loss', [SmoothL1Loss(1 / 9), L1Loss(), IoULoss()])
def test_gradients(loss):
    torch.manual_seed(0)
    corner = torch.rand(6, 2, dtype=torch.float64) * 5
    target = torch.cat([corner, corner + 10], 1)
    prediction = (target + torch.rand(6, 4, dtype=torch.float64) * 4 - 2).requires_grad_()
    weight = torch.rand(6, dtype=torch.float64)
    weight = weight if isinstance(loss, IoULoss) else weight[:, None]
    assert torch.autograd.gradcheck(lambda x: loss(x, target, weight, 3.5), prediction)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype):
    prediction = (torch.arange(8000) % 17 / 4).reshape(2000, 4)
    target = torch.full((2000, 4), 0.3)
    for loss in (SmoothL1Loss(), L1Loss()):
        half = loss(prediction.to(dtype), target, avg_factor=1)
        assert half.dtype == torch.float32
        assert torch.equal(half, loss(prediction, target, avg_factor=1))


def test_nothing_to_learn_is_zero_with_a_gradient():
    for loss in (SmoothL1Loss(), L1Loss(), IoULoss()):
        boxes = torch.zeros(0, 4, requires_grad=True)
        value = loss(boxes, torch.zeros(0, 4))
        value.backward()
        assert value == 0
        assert boxes.grad.shape == (0, 4)


def test_bad_beta_is_a_config_error():
    with pytest.raises(ConfigError, match=r'loss_bbox\.beta: 0 is not a positive number'):
        build(dict(type='SmoothL1Loss', beta=0), 'model.rpn_head.loss_bbox')
    with pytest.raises(ValueError, match=r'above 0.*L1Loss'):
        SmoothL1Loss(beta=0)
