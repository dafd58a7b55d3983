"""Building without initial weights: the same detector once its weights are loaded."""

import pytest
import torch
from torch import nn

from hrdet.checkpoints import load_checkpoint
from hrdet.config import load_config, lower
from hrdet.models import build_model
from hrdet.models.build import _Undefined

CLASSES = ('ant', 'bee', 'cat')
CONFIGS = ('faster_rcnn', 'mask_rcnn', 'cascade_mask_rcnn', 'htc', 'fcos')


@pytest.mark.parametrize('name', CONFIGS)
def test_nothing_is_drawn_and_everything_but_the_weights_is_there(name, pytestconfig):
    file = pytestconfig.rootpath / f'configs/quickstart/{name}_hrnetv2p_w18_small.py'
    lowered = lower(load_config(file, {'classes': CLASSES}))
    fresh = build_model(lowered, CLASSES)
    before = torch.get_rng_state()
    model = build_model(lowered, CLASSES, fresh=False)
    assert torch.equal(torch.get_rng_state(), before)
    for key, buffer in fresh.named_buffers():  # also those that no checkpoint holds
        assert torch.equal(buffer, model.get_buffer(key)), key

    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)  # memory may hold anything
    load_checkpoint(model, fresh.state_dict())
    for key, parameter in fresh.named_parameters():
        assert torch.equal(parameter, model.get_parameter(key)), key
        assert parameter.requires_grad == model.get_parameter(key).requires_grad
        assert parameter.stride() == model.get_parameter(key).stride()


@pytest.mark.parametrize('name', CONFIGS)
@pytest.mark.parametrize('convention', ['inclusive', 'continuous'])
def test_the_box_convention_is_given_to_the_detector_alone(name, convention, pytestconfig):
    """A tree without it in any part builds the same detector."""
    file = pytestconfig.rootpath / f'configs/quickstart/{name}_hrnetv2p_w18_small.py'
    options = {'classes': CLASSES, 'model.box_convention': convention}
    lowered = lower(load_config(file, options))
    model, node = build_model(lowered, CLASSES), lowered.model

    def without(value):
        if isinstance(value, dict):
            rest = {k: without(v) for k, v in value.items() if k != 'convention'}
            return type(value)(value.path, **rest) if hasattr(value, 'path') else rest
        return [without(v) for v in value] if isinstance(value, list | tuple) else value

    lowered.model = without(node)
    lowered.model['convention'] = node['convention']
    again = build_model(lowered, CLASSES)
    told = 0
    for (key, part), other in zip(model.named_modules(), again.modules()):
        for value in ('convention', 'offset', 'rounded', 'half_pixel'):
            assert getattr(part, value, None) == getattr(other, value, None), (key, value)
            told += hasattr(part, value)
    assert told >= 2


class Backbone(nn.Module):
    """Of a stranger: its constructor computes."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.empty(3).fill_(2))
        self.register_buffer('window', torch.empty(4).fill_(0.25), persistent=False)
        self.noise = torch.empty(5).normal_()
        self.conv = nn.Conv2d(3, 8, 3)


def test_only_parameters_are_left_undefined():
    with _Undefined():
        torch.manual_seed(0)
        backbone = Backbone()
    assert torch.equal(backbone.window, torch.full((4,), 0.25))
    torch.manual_seed(0)
    assert torch.equal(backbone.noise, torch.randn(5))
    assert backbone.conv.weight.shape == (8, 3, 3, 3)
    torch.manual_seed(1)
    other = nn.Conv2d(3, 8, 3)  # afterwards all is as ever
    assert other.weight.std() > 0
