"""Classifiers and segmentors with the switches of speed and memory."""

import pytest
import torch

from hrdet.config import load_config, lower
from hrdet.models import build_model, optimize
from hrdet.structures import Batch, ClassLabel, ImageMeta, SegmentationMap

CLASSES = tuple('abcdef')
CONFIGS = {
    'classification': 'configs/quickstart/hrnet-w18-small_classification.py',
    'segmentation': 'configs/quickstart/fcn_hr18s.py',
}
SIZE = (64, 96)


def model_of(pytestconfig, task, **backbone):
    config = load_config(pytestconfig.rootpath / CONFIGS[task])
    config.model.backbone.update(backbone)
    torch.manual_seed(0)
    return build_model(lower(config), CLASSES)


def batch_of(task):
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (2, 3, *SIZE), dtype=torch.uint8, generator=generator)
    metas = [ImageMeta(f'{i}.png', i, SIZE, SIZE, SIZE) for i in range(2)]
    sizes = torch.tensor([SIZE, SIZE], dtype=torch.float32)
    labels = torch.randint(0, 6, (2, *SIZE), dtype=torch.uint8, generator=generator)
    truth = SegmentationMap(labels) if task == 'segmentation' else ClassLabel(torch.tensor([1, 4]))
    return Batch(images, metas, sizes, sizes, truth)


def logits_of(model, task):
    """Of two images: (2, K), or (2, K, h / 4, w / 4) before label maps are made of them."""
    images = model.preprocess(batch_of(task))
    with torch.no_grad():
        return (model._logits(images) if task == 'segmentation' else model(images)).float()


@pytest.mark.parametrize('task', CONFIGS)
def test_optimized_logits(pytestconfig, task):
    """Equal to rounding in float32, and to bfloat16's 8 bits through 60 layers."""
    model = model_of(pytestconfig, task).eval()
    expected = logits_of(model, task)
    spread = expected.std()
    exact = logits_of(optimize(model), task)
    assert (exact - expected).abs().max() < 1e-4 * spread.clamp(min=1)
    half = logits_of(optimize(model, dtype=torch.bfloat16), task)
    assert (half - expected).pow(2).mean().sqrt() < 0.1 * spread
    rows = logits_of(optimize(model, memory_format=torch.contiguous_format), task)
    assert (rows - expected).abs().max() < 1e-4 * spread.clamp(min=1)


@pytest.mark.parametrize('task', CONFIGS)
def test_recomputed_activations(pytestconfig, task):
    """``with_cp`` changes neither the loss nor a gradient."""
    found = []
    for with_cp in (False, True):
        model = model_of(pytestconfig, task, with_cp=with_cp).train()
        loss = sum(model(batch_of(task), mode='loss').values())
        loss.backward()
        found.append((loss.detach(), model.backbone.conv1.weight.grad))
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('task', CONFIGS)
def test_mixed_precision(pytestconfig, task):
    model = model_of(pytestconfig, task).train()
    batch = batch_of(task)
    exact = sum(model(batch, mode='loss').values())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        half = sum(model(batch, mode='loss').values())
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(exact.item(), rel=0.1)
