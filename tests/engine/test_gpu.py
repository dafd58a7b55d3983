"""On a GPU a resumed run is exact."""

import pytest
import torch

from tests.engine import toy_run
from tests.engine.test_resume import losses

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device'),
]


def test_resumed_run_equals_the_uninterrupted_one(tmp_path):
    settings = toy_run.settings(log_interval=1)
    toy_run.trainer(tmp_path / 'whole', settings, device='cuda').run()
    toy_run.trainer(tmp_path / 'parts', settings, device='cuda').run()
    first = str(tmp_path / 'parts' / 'epoch_1.pth')
    toy_run.trainer(tmp_path / 'parts', settings, device='cuda', resume_from=first).run()
    assert losses(tmp_path / 'parts') == losses(tmp_path / 'whole')
