"""Optimized classifiers and segmentors."""

import pytest
import torch

from hrdet.models import optimize
from tests.models.toy_tasks import CONFIGS, batch_of, model_of


def logits_of(model, task):
    """Of two images: (2, K), or (2, K, h / 4, w / 4) before label maps are made of them."""
    images = model.preprocess(batch_of(task))
    with torch.no_grad():
        return (model._logits(images) if task == 'segmentation' else model(images)).float()


@pytest.mark.parametrize('task', CONFIGS)
def test_optimized_logits(task):
    """Equal to rounding in float32, and to bfloat16's 8 bits through 60 layers."""
    model = model_of(task).eval()
    expected = logits_of(model, task)
    spread = expected.std()
    exact = logits_of(optimize(model), task)
    assert (exact - expected).abs().max() < 1e-4 * spread.clamp(min=1)
    half = logits_of(optimize(model, dtype=torch.bfloat16), task)
    assert (half - expected).pow(2).mean().sqrt() < 0.1 * spread
    rows = logits_of(optimize(model, memory_format=torch.contiguous_format), task)
    assert (rows - expected).abs().max() < 1e-4 * spread.clamp(min=1)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_optimized_sliding_windows(dtype):
    model = model_of('segmentation').eval()
    model.crop_size, model.stride = (48, 48), (32, 32)
    expected = torch.stack([result.labels for result in model.predict(batch_of('segmentation'))])
    found = optimize(model, dtype=dtype).predict(batch_of('segmentation'))
    same = (torch.stack([result.labels for result in found]) == expected).float().mean()
    assert same > (0.999 if dtype == torch.float32 else 0.9)
