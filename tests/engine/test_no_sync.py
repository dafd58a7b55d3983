"""A whole iteration, from the batch on the host to new weights, never waits for the device."""

import pytest
import torch
from torch.utils.data import DataLoader

from hrdet.engine import assemble
from hrdet.engine.loops import TrainLoop
from tests.engine import standin
from tests.matching.test_no_sync import NoSync
from tests.models import small_batches, small_detectors, test_fcos
from tests.models.test_two_stage_no_sync import as_on_a_gpu

KINDS = [*small_detectors.KINDS, 'fcos']
CUDA = pytest.param(
    'cuda',
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device'),
    ],
)


def detector_and_batch(kind):
    if kind == 'fcos':
        return test_fcos.make_detector('inclusive'), test_fcos.make_batch()
    return small_detectors.detector(kind, num=32), small_batches.batch()


@pytest.fixture
def watched(monkeypatch):
    """The iterations in which waiting was forbidden: all but the first two.

    These set up what is made once on a device.  The last iteration's hooks write the log, which
    waits: they come after the watch.
    """
    seen, run_iter = [], TrainLoop.run_iter

    def watched_iter(loop, batch):
        if loop.iter < 2 or loop.position + 1 == loop.epoch_length:
            return run_iter(loop, batch)
        torch.cuda.set_sync_debug_mode('error') if torch.cuda.is_available() else None
        try:
            with NoSync():
                run_iter(loop, batch)
        finally:
            torch.cuda.set_sync_debug_mode('default') if torch.cuda.is_available() else None
        seen.append(loop.iter)

    monkeypatch.setattr(TrainLoop, 'run_iter', watched_iter)
    return seen


@pytest.mark.parametrize('device', ['cpu', CUDA])
@pytest.mark.parametrize(
    ('kind', 'amp'), [*((kind, 'bfloat16') for kind in KINDS), ('mask', None), ('mask', 'float16')]
)
def test_an_iteration_never_waits(tmp_path, monkeypatch, watched, kind, amp, device):
    """Clipping, mixed precision, accumulation, averaged weights and the loss record are in it."""
    as_on_a_gpu(monkeypatch)
    model, batch = detector_and_batch(kind)
    settings = standin.settings(
        amp=amp, accumulate=2, ema=dict(momentum=0.1), log=dict(interval=100), max_epochs=1
    )
    settings.optimizer['lr'] = 1e-4  # weights of random detectors explode at more
    order = standin.Shuffled(6, 1, seed=0)
    loader = DataLoader(standin.Noise(6), batch_sampler=order, collate_fn=lambda _: batch)
    before = [parameter.clone() for parameter in model.parameters()]
    runner = assemble.trainer(
        settings,
        model,
        loader,
        None,
        None,
        device=torch.device(device),
        work_dir=str(tmp_path),
        seed=0,
        about={},
    )
    runner.train()
    assert watched == [3, 4, 5]
    assert not all(torch.equal(p.cpu(), old) for p, old in zip(model.parameters(), before))
