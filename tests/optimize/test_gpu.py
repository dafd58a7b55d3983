"""A detector made ready for inference on a GPU, with and without CUDA graphs."""

import threading

import pytest
import torch

from hrdet.optimize import optimize
from hrdet.structures import Views
from tests.models import test_fcos as fcos
from tests.models import toy_batches as batches
from tests.models import toy_detectors as toys
from tests.models.trained_detectors import assert_same, detector

on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')


@pytest.mark.gpu
@on_a_gpu
@pytest.mark.usefixtures('exact_convs')
@pytest.mark.parametrize('kind', toys.KINDS)
@pytest.mark.parametrize('graph', [False, True, 64])
def test_on_a_gpu(kind, graph):
    model = detector(kind).cuda()
    model.preprocess.size_divisor = graph if graph > 1 else 32
    fast = optimize(model, graph=graph)
    for seed in (1, 2, 3):
        for factor in (1, 1.5):
            batch = batches.batch(with_truth=False, factor=factor, seed=seed).to('cuda')
            assert_same(fast.predict(batch), model.predict(batch))


@pytest.mark.gpu
@on_a_gpu
@pytest.mark.usefixtures('exact_convs')
def test_views_and_fcos_on_a_gpu():
    """Two views keep their own features; the graphs of FCOS hold its whole head."""
    views = Views([batches.batch(with_truth=False, flipped=f) for f in (False, True)]).to('cuda')
    model = detector('cascade_mask').cuda()
    assert_same(optimize(model, graph=True).predict(views), model.predict(views))
    model, batch = fcos.make_detector('inclusive').eval().cuda(), fcos.make_batch().to('cuda')
    fast = optimize(model, graph=True)
    for _ in range(2):
        assert_same(fast.predict(batch), model.predict(batch))


@pytest.mark.gpu
@on_a_gpu
@pytest.mark.parametrize('graph', [False, True])
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_on_a_gpu(dtype, graph):
    """Features differ from those in float32 by dozens of the type's rounding errors."""
    model, batch = detector('mask').cuda(), batches.batch(with_truth=False).to('cuda')
    fast = optimize(model, dtype, graph=graph)
    with torch.no_grad():
        for _ in range(2):
            for one, exact in zip(fast.extract(batch), model.extract(batch)):
                assert one.dtype == dtype
                error = (one - exact).abs().mean() / exact.abs().mean()
                assert error < 60 * torch.finfo(dtype).eps
    assert all(len(found) > 3 for found in fast.predict(batch))


@pytest.mark.gpu
@on_a_gpu
def test_recording_beside_a_thread_that_pins_memory():
    """As the loader's does for every batch."""
    model, stop = detector('faster').cuda(), threading.Event()

    def pin():
        while not stop.is_set():
            batches.batch(with_truth=False).pin_memory().to('cuda')

    thread = threading.Thread(target=pin)
    thread.start()
    try:
        fast = optimize(model, graph=True)
        for factor in (1, 1.5, 2, 2.5, 3):
            batch = batches.batch(with_truth=False, factor=factor).to('cuda')
            assert len(fast.predict(batch)) == 2
    finally:
        stop.set()
        thread.join()


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason='needs two CUDA devices')
@pytest.mark.usefixtures('exact_convs')
def test_on_a_second_gpu():
    """Which is not the current one."""
    model, batch = detector('faster').to('cuda:1'), batches.batch(with_truth=False).to('cuda:1')
    fast = optimize(model, graph=True)
    for _ in range(2):
        assert_same(fast.predict(batch), model.predict(batch))
