"""A training step and a prediction of every model on a device that is not the CPU.

The results are the CPU's; no tensor is left behind there, and training waits for nothing.
"""

import contextlib

import numpy as np
import pytest
import torch

from hrdet.boxes import anchors, points
from hrdet.models.classifiers.mixing import CutMix, Mixup
from hrdet.models.multiclass_nms import SoftNMS
from hrdet.optim import build_optimizer
from hrdet.structures import Views
from tests.models import toy_batches, toy_detectors, toy_fcos
from tests.models.classifiers import test_image_classifier as classification
from tests.models.segmentors import test_encoder_decoder as segmentation
from tests.models.trained_detectors import assert_same
from tests.no_sync import NoSync
from tests.second_device import DEVICE, HOST, SecondDevice

KINDS = [*toy_detectors.KINDS, 'fcos', 'classifier', 'segmentor']


@pytest.fixture(autouse=True)
def no_cached_tensors():
    """The stand-in's device is meta: tensors that a test left in the caches have no values."""

    def clear():
        for module in (anchors, points):
            for function in vars(module).values():
                getattr(function, 'cache_clear', lambda: None)()

    clear()
    yield
    clear()


def model_and_batch(kind, flipped=False):
    """Images of two sizes, where the task knows such batches."""
    if kind == 'fcos':
        return toy_fcos.make_detector('inclusive'), toy_fcos.make_batch(flipped)
    if kind == 'classifier':
        mixing = [Mixup(0.8), CutMix(1.0)]
        return classification.classifier(batch_augments=mixing), classification.batch()
    if kind == 'segmentor':
        sizes = (64, 96), (50, 77)
        return segmentation.segmentor(), segmentation.batch(sizes, flipped=flipped)
    return toy_detectors.detector(kind, num=32), toy_batches.batch(flipped=flipped)


def train(kind, device, watch):
    """Losses and new weights of one step, on the CPU."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    model, batch = model_and_batch(kind)
    model = model.to(device)
    # Fused kernels do not know of this device.
    optimizer = build_optimizer(model, dict(type='SGD', lr=1e-3, momentum=0.9, fused=False))
    torch.manual_seed(1)
    with watch, NoSync() if device != HOST else contextlib.nullcontext():
        losses = model(batch.to(device))
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 35)
        optimizer.step()
    tensors = [*losses.values(), *model.parameters()]
    assert all(tensor.device == device for tensor in tensors)
    assert all(parameter.grad is not None for parameter in model.parameters())
    return [tensor.detach().cpu() for tensor in tensors]


@pytest.mark.parametrize('kind', KINDS)
def test_a_training_step_stays_on_its_device(kind):
    expected = train(kind, HOST, contextlib.nullcontext())
    with SecondDevice() as mode:
        found = train(kind, DEVICE, mode.waiting_forbidden())
    # Mask heads add up the rows without an object there, which are 0: another order of sums.
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def assert_same_results(found, expected):
    for one, other in zip(found, expected, strict=True):
        if hasattr(other, 'boxes'):
            assert_same([one], [other])
        elif hasattr(other, 'top'):
            torch.testing.assert_close(one.scores, other.scores)
        else:  # label maps; logits of equal size may round to either side
            assert (one.labels == other.labels).float().mean() > 0.999


@pytest.mark.parametrize('kind', KINDS)
def test_a_prediction(kind):
    model, batch = model_and_batch(kind)
    views = Views([batch, model_and_batch(kind, flipped=True)[1]])
    model.eval()
    expected = [model.predict(one) for one in (batch, views)]
    with SecondDevice():
        model.to(DEVICE)
        for one, results in zip((batch, views), expected):
            assert_same_results(model.predict(one.to(DEVICE)), results)


def test_soft_nms_and_sliding_windows():
    detector, batch = model_and_batch('faster')
    detector.roi_head.nms = SoftNMS(0.5)
    segmentor = segmentation.segmentor(crop_size=(48, 48), stride=(32, 20))
    for model, one in ((detector, batch), (segmentor, segmentation.batch())):
        expected = model.eval().predict(one)
        with SecondDevice():
            assert_same_results(model.to(DEVICE).predict(one.to(DEVICE)), expected)


@pytest.mark.parametrize(
    ('mistake', 'message'),
    [
        (lambda x: x + torch.zeros(3), r'add: a tensor \(3,\) is on the CPU'),
        (lambda x: x[torch.arange(2)], 'index: a tensor .* is on the CPU'),
        (lambda x: x.sum().item(), 'waits for the device'),
        (lambda x: x.nonzero(), 'waits for the device'),
        (lambda x: x[x > 0], 'waits for the device'),
        (lambda x: x.cpu(), 'to the CPU waits for the device'),
        (lambda x: x.tolist(), 'to the CPU waits for the device'),
        (lambda x: torch.zeros(3).to(x.device), 'to the device waits for it'),
        (lambda x: x + torch.tensor([1.0], device=x.device), 'Python values waits for the device'),
    ],
)
def test_mistakes_are_noticed(mistake, message):
    with SecondDevice() as mode:
        x = torch.ones(3).to(DEVICE)
        with mode.waiting_forbidden(), NoSync(), pytest.raises(AssertionError, match=message):
            mistake(x)


def test_numpy_refuses_the_device():
    with SecondDevice(), pytest.raises(RuntimeError, match='numpy'):
        torch.ones(3).to(DEVICE).numpy()
