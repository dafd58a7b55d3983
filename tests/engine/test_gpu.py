"""On a GPU a resumed run is exact."""

import pytest
import torch

from tests.engine import standin
from tests.engine.test_resume import losses

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device'),
]


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
