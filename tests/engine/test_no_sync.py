"""A whole iteration, from the batch on the host to new weights, never waits for the device."""

import pytest
import torch
from torch.utils.data import DataLoader

from hrdet.engine.trainer import Trainer
from hrdet.engine.work_dir import WorkDir
from hrdet.models.roi import masks
from tests.engine import toy_run
from tests.models import toy_batches, toy_detectors, toy_fcos
from tests.no_sync import NoSync

KINDS = [*toy_detectors.KINDS, 'fcos']
CUDA = pytest.param(
    'cuda',
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device'),
    ],
)


def detector_and_batch(kind):
    if kind == 'fcos':
        return toy_fcos.make_detector('inclusive'), toy_fcos.make_batch()
    return toy_detectors.detector(kind, num=32), toy_batches.batch()


@pytest.fixture
def watched(monkeypatch):
    """The iterations in which waiting was forbidden: all but the first two.

    These set up what is made once on a device.  The last iteration writes the log, which
    waits: it comes after the watch.
    """
    seen, run_iteration = [], Trainer.run_iteration

    def watched_iteration(trainer, batch):
        if trainer.iter < 2 or trainer.position + 1 == trainer.epoch_length:
            return run_iteration(trainer, batch)
        torch.cuda.set_sync_debug_mode('error') if torch.cuda.is_available() else None
        try:
            with NoSync():
                run_iteration(trainer, batch)
        finally:
            torch.cuda.set_sync_debug_mode('default') if torch.cuda.is_available() else None
        seen.append(trainer.iter)

    monkeypatch.setattr(Trainer, 'run_iteration', watched_iteration)
    return seen


@pytest.mark.parametrize('device', ['cpu', CUDA])
@pytest.mark.parametrize(
    ('kind', 'amp'), [*((kind, 'bfloat16') for kind in KINDS), ('mask', None), ('mask', 'float16')]
)
def test_an_iteration_never_waits(tmp_path, monkeypatch, watched, kind, amp, device):
    """Clipping, mixed precision, accumulation, averaged weights and the loss buffer are in it."""
    monkeypatch.setattr(masks, 'valid_rows', lambda rois: slice(None))  # as on a GPU
    model, batch = detector_and_batch(kind)
    settings = toy_run.settings(
        amp=amp, accumulate=2, ema=dict(momentum=0.1), log_interval=100, max_epochs=1
    )
    settings.optimizer['lr'] = 1e-4  # weights of random detectors explode at more
    order = toy_run.Shuffled(6, 1, seed=0)
    loader = DataLoader(toy_run.Noise(6), batch_sampler=order, collate_fn=lambda _: batch)
    before = [parameter.clone() for parameter in model.parameters()]
    trainer = Trainer(
        model, loader, settings, device=torch.device(device), work_dir=WorkDir(tmp_path), seed=0
    )
    trainer.run()
    assert watched == [3, 4, 5]
    assert not all(torch.equal(p.cpu(), old) for p, old in zip(model.parameters(), before))
