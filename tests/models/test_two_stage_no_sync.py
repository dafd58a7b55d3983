"""A training step of every two-stage detector: nothing waits for the device; bfloat16 works.

On a GPU mask heads compute the rows without an object too, which is what these tests run on the
CPU: leaving out rows needs their number, which costs nothing on a CPU and a wait on a GPU.
"""

import pytest
import torch

from hrdet.models.roi import masks
from tests.models import toy_batches as batches
from tests.models import toy_detectors as toys
from tests.no_sync import NoSync


@pytest.fixture
def keep_rows(monkeypatch):
    """Rows without an object go through the mask heads, as on a GPU."""
    as_on_a_gpu(monkeypatch)


def as_on_a_gpu(monkeypatch):
    monkeypatch.setattr(masks, 'valid_rows', lambda rois: slice(None))


def step(detector, batch):
    """A training step's losses; the gradients are the parameters'."""
    losses = detector(batch)
    sum(losses.values()).backward()
    return losses


def assert_finite(detector, losses):
    assert all(loss.isfinite() for loss in losses.values())
    for name, parameter in detector.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize('kind', toys.KINDS)
@pytest.mark.parametrize('convention', ['inclusive', 'continuous'])
@pytest.mark.usefixtures('keep_rows')
def test_a_training_step_never_waits(kind, convention):
    detector, batch = toys.detector(kind, convention, num=32), batches.batch()
    with NoSync():
        losses = step(detector, batch)
    assert_finite(detector, losses)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('kind', toys.KINDS)
@pytest.mark.parametrize('convention', ['inclusive', 'continuous'])
def test_a_training_step_never_waits_for_cuda(kind, convention):
    detector = toys.detector(kind, convention, num=32).cuda()
    batch = batches.batch().to('cuda')
    step(detector, batch)  # what is made once a device is made here
    torch.cuda.set_sync_debug_mode('error')
    try:
        losses = step(detector, batch)
    finally:
        torch.cuda.set_sync_debug_mode('default')
    assert_finite(detector, losses)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('kind', toys.KINDS)
def test_a_deterministic_training_step_on_cuda(kind, monkeypatch):
    """``tools/train.py --deterministic``: no operation refuses, and the gradients are the same."""
    monkeypatch.setenv('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    batch, found = batches.batch().to('cuda'), []
    torch.use_deterministic_algorithms(True)
    try:
        for _ in range(2):
            detector = toys.detector(kind, num=32).cuda()
            torch.manual_seed(3)
            step(detector, batch)
            found.append([parameter.grad for parameter in detector.parameters()])
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(map(torch.equal, *found))


@pytest.mark.parametrize('kind', toys.KINDS)
@pytest.mark.parametrize('num', [32, 112])
def test_rows_without_a_region_change_nothing(kind, num, monkeypatch):
    """With them and without: the same losses and gradients, but for the order of float32 sums."""
    batch, found = batches.batch(), []
    for _ in range(2):
        detector = toys.detector(kind, num=num)
        torch.manual_seed(3)
        losses = step(detector, batch)
        found.append((losses, {n: p.grad for n, p in detector.named_parameters()}))
        as_on_a_gpu(monkeypatch)
    for name, loss in found[0][0].items():
        assert found[1][0][name].item() == pytest.approx(loss.item(), rel=1e-5), name
    for name, gradient in found[0][1].items():
        error = (found[1][1][name] - gradient).abs().max()
        assert error <= 1e-4 * gradient.abs().max(), name


@pytest.mark.parametrize('kind', toys.KINDS)
def test_bfloat16_losses_are_near_those_of_float32(kind):
    """5 %: eight bits of features, weights and activations through up to three stages."""
    batch, found = batches.batch(), []
    for enabled in (False, True):
        detector = toys.detector(kind)
        # The second stage on given proposals: the first stage's depend on the ranks of scores.
        proposals = batches.close_to(batch.truth)
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            losses = detector.roi_head.loss(detector.extract(batch), proposals, batch)
            whole = step(detector, batch)
        assert_finite(detector, whole)
        assert all(loss.dtype == torch.float32 for loss in whole.values())
        found.append(losses)
    for name, loss in found[0].items():
        assert found[1][name].item() == pytest.approx(loss.item(), rel=0.05, abs=0.01), name
