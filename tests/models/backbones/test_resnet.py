"""ResNet against plain functions that read the net off its state_dict, in float64."""

import pytest
import torch
import torch.nn.functional as F

from hrdet.checkpoints import load_backbone, save_checkpoint
from hrdet.models.backbones import ResNet
from tests.models.release_weights import fill

# He et al. 2015 without the classifier: torchvision's counts less its 2,049,000 (or 513,000).
PARAMETERS = {18: 11_176_512, 34: 21_284_672, 50: 23_508_032, 101: 42_500_160, 152: 58_143_808}


def conv_norm(x, state, conv, norm, stride=1):
    weight = state[f'{conv}.weight']
    x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
    return F.batch_norm(
        x, *(state[f'{norm}.{k}'] for k in ('running_mean', 'running_var', 'weight', 'bias'))
    )


def block(x, state, name, stride):
    convs = 3 if f'{name}.conv3.weight' in state else 2
    out = x
    for n in range(1, convs + 1):
        # In both kinds the first 3x3 convolution takes the step.
        step = stride if n == convs - 1 else 1
        out = conv_norm(out, state, f'{name}.conv{n}', f'{name}.bn{n}', step)
        out = out.relu() if n < convs else out
    if f'{name}.downsample.0.weight' in state:
        x = conv_norm(x, state, f'{name}.downsample.0', f'{name}.downsample.1', stride)
    return (out + x).relu()


@pytest.mark.parametrize('depth', [18, 50])
def test_maps(depth):
    net = ResNet(depth).double().eval()
    fill(net)
    state = net.state_dict()
    images = torch.rand(2, 3, 65, 96, dtype=torch.float64)
    x = conv_norm(images, state, 'conv1', 'bn1', 2).relu()
    x = F.max_pool2d(x, 3, 2, 1)
    maps = net(images)
    for i, found in enumerate(maps, start=1):
        count = len({key.split('.')[1] for key in state if key.startswith(f'layer{i}.')})
        for k in range(count):
            x = block(x, state, f'layer{i}.{k}', 2 if i > 1 and k == 0 else 1)
        torch.testing.assert_close(found, x, rtol=1e-9, atol=1e-9)  # another order of sums
    assert [m.shape[1] for m in maps] == net.out_channels


@pytest.mark.parametrize('depth', PARAMETERS)
def test_parameters(depth):
    with torch.device('meta'):
        assert sum(p.numel() for p in ResNet(depth).parameters()) == PARAMETERS[depth]


def test_frozen_stages_rest():
    net = ResNet(18, frozen_stages=1, norm_eval=False).train()
    assert not any(p.requires_grad for p in [*net.bn1.parameters(), *net.layer1.parameters()])
    assert not net.layer1[0].bn1.training
    assert net.layer2[0].bn1.training
    assert all(p.requires_grad for p in net.layer2.parameters())


@pytest.mark.parametrize(
    'arguments', [dict(depth=20), dict(depth=50, style='caffe'), dict(depth=18, frozen_stages=7)]
)
def test_what_there_is_not(arguments):
    with pytest.raises(ValueError, match=r'must be|only'):
        ResNet(**arguments)


def test_weights_of_the_classifier_load(tmp_path):
    classifier, net = ResNet(18), ResNet(18)
    fill(classifier)
    head = {'fc.weight': torch.zeros(1000, 512), 'fc.bias': torch.zeros(1000)}
    save_checkpoint(tmp_path / 'resnet18.pth', classifier.state_dict() | head)
    assert load_backbone(net, tmp_path / 'resnet18.pth').converted['dropped'] == 2
    for key, value in classifier.state_dict().items():
        assert torch.equal(net.state_dict()[key], value), key
    with pytest.raises(FileNotFoundError, match="torchvision's resnet18"):
        load_backbone(net, tmp_path / 'none' / 'resnet18.pth')
