"""Switches of the config that change how a detector is computed, and not what."""

import pytest
import torch

from hrdet.config import load_config, lower
from hrdet.models import build_model, optimize
from tests.models import toy_batches as batches

CLASSES = ('ant', 'bee', 'cat')


def step(pytestconfig, **options):
    """The model, and the lengths of its feature maps and of a first gradient."""
    file = pytestconfig.rootpath / 'configs/quickstart/faster_rcnn_hrnetv2p_w18_small.py'
    torch.manual_seed(0)
    model = build_model(lower(load_config(file, {'classes': CLASSES, **options})), CLASSES)
    features = model.extract(batches.batch())
    lengths = torch.stack([level.norm() for level in features])
    lengths.sum().backward()
    return model, torch.cat([lengths.detach(), model.backbone.conv1.weight.grad.norm()[None]])


@pytest.mark.parametrize(
    'option',
    [{'channels_last': False}, {'compile': {'backend': 'eager'}}],
    ids=['layout', 'compile'],
)
def test_training_on_and_off(pytestconfig, option):
    """Features and gradient are the same; float32 sums in another order."""
    _, expected = step(pytestconfig, channels_last=True)
    model, found = step(pytestconfig, **{'channels_last': True} | option)
    torch.testing.assert_close(found[:-1], expected[:-1], rtol=1e-4, atol=0)
    # Through 60 layers, with ReLUs that are just on or off: 1e-3 was seen.
    torch.testing.assert_close(found[-1], expected[-1], rtol=1e-2, atol=0)
    layout = torch.channels_last if option.get('channels_last', True) else torch.contiguous_format
    assert model.backbone.conv2.weight.is_contiguous(memory_format=layout)
    fast = optimize(model.eval())  # which compiles nothing unless asked to
    assert fast.backbone._compiled_call_impl is None
