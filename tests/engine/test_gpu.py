"""On a GPU: no training step waits for the device, and a resumed run is exact."""

import pytest
import torch

from tests.engine import standin
from tests.engine.test_resume import losses

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device'),
]


@pytest.mark.parametrize('amp', [None, 'bfloat16', 'float16'])
def test_no_step_waits_for_the_device(tmp_path, amp):
    settings = standin.settings(amp=amp, ema=dict(momentum=0.1), log=dict(interval=100))
    runner = standin.runner(tmp_path, settings, device='cuda')
    loop = runner.train_loop
    runner.train()  # warms up: allocations, cuDNN, fused kernels
    runner.optim_wrapper.initialize_count_status(runner.model, 0, loop.epoch_length)
    batches = [standin.collate([standin.Noise()[i]]) for i in range(3)]
    torch.cuda.set_sync_debug_mode('error')
    try:
        for position, batch in enumerate(batches):
            loop.position = position
            loop.run_iter(batch)
    finally:
        torch.cuda.set_sync_debug_mode('default')
    loop.losses.check()


def test_resumed_run_equals_the_uninterrupted_one(tmp_path):
    settings = standin.settings(log=dict(interval=1))
    standin.runner(tmp_path / 'whole', settings, device='cuda').train()
    standin.runner(tmp_path / 'parts', settings, device='cuda').train()
    again = standin.runner(
        tmp_path / 'parts',
        settings,
        device='cuda',
        load_from=str(tmp_path / 'parts' / 'epoch_1.pth'),
        resume=True,
    )
    again.train()
    assert losses(tmp_path / 'parts') == losses(tmp_path / 'whole')
