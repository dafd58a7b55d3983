"""The semantic branch of HTC against float64, by the names of its weights."""

import math

import pytest
import torch
import torch.nn.functional as F

from hrdet.models.heads import FusedSemanticHead
from hrdet.registry import build
from tests.no_sync import NoSync

SMALL = dict(semantic_classes=4, num_ins=3, num_convs=2, in_channels=6, conv_out_channels=5)


def small(**options):
    torch.manual_seed(0)
    head = FusedSemanticHead(**SMALL | options)
    for name, value in head.named_parameters():
        if name.endswith('bias'):
            torch.nn.init.normal_(value)
    return head


def resized(x, size):
    """Bilinear with the corners on the corners, one axis at a time, as matrices of weights."""
    for axis, length in zip((2, 3), size):
        old = x.shape[axis]
        place = torch.arange(length, dtype=torch.float64) * ((old - 1) / max(length - 1, 1))
        weight = (1 - (place[:, None] - torch.arange(old)).abs()).clamp(min=0)
        x = torch.tensordot(x, weight, ([axis], [1])).movedim(-1, axis)
    return x


@pytest.mark.parametrize('fusion_level', [0, 1, 2])
@torch.no_grad()
def test_forward(fusion_level):
    head = small(fusion_level=fusion_level)
    weights = {name: value.double() for name, value in head.state_dict().items()}

    def conv(name, x, padding=0):
        return F.conv2d(x, weights[f'{name}.weight'], weights[f'{name}.bias'], padding=padding)

    features = [torch.randn(2, 6, h, w) for h, w in ((12, 17), (6, 8), (3, 4))]
    size = features[fusion_level].shape[2:]
    x = 0
    for level, feature in enumerate(features):
        x = x + conv(f'lateral_convs.{level}.conv', resized(feature.double(), size)).clamp(min=0)
    for layer in range(2):
        x = conv(f'convs.{layer}.conv', x, padding=1).clamp(min=0)
    logits, embedding = head(features)
    expected = conv('conv_logits', x), conv('conv_embedding.conv', x).clamp(min=0)
    for found, value in zip((logits, embedding), expected):
        torch.testing.assert_close(found.double(), value, rtol=1e-4, atol=1e-5)


def test_names_and_parameters():
    """As in mmdetection's checkpoints."""
    head = build(dict(type='FusedSemanticHead', semantic_classes=183))
    assert sum(p.numel() for p in head.parameters()) == 2_802_103
    layers = [
        *(f'lateral_convs.{level}.conv' for level in range(5)),
        *(f'convs.{layer}.conv' for layer in range(4)),
        'conv_embedding.conv',
        'conv_logits',
    ]
    assert set(head.state_dict()) == {
        f'{layer}.{kind}' for layer in layers for kind in ('weight', 'bias')
    }


def test_loss_is_the_mean_of_the_pixels_with_a_class():
    logits = torch.randn(2, 4, 3, 5, requires_grad=True)
    semantic = torch.randint(0, 4, (2, 3, 5), dtype=torch.uint8)
    semantic[0, :2] = 255
    with NoSync():
        loss = small().loss(logits, semantic)
    total, count = 0.0, 0
    for n, row, column in (semantic != 255).nonzero().tolist():
        values = [math.exp(v) for v in logits[n, :, row, column].tolist()]
        total -= math.log(values[int(semantic[n, row, column])] / sum(values))
        count += 1
    assert loss.item() == pytest.approx(0.2 * total / count, rel=1e-5)
    diluted = small().loss(logits, semantic, of_all=True)
    assert diluted.item() == pytest.approx(0.2 * total / 30, rel=1e-5)
    loss.backward()
    assert ((logits.grad.abs().sum(1) > 0) == (semantic != 255)).all()


def test_without_classes_every_parameter_of_the_branch_has_a_gradient():
    head = small()
    logits, embedding = head([torch.randn(1, 6, s, s) for s in (8, 4, 2)])
    loss = head.loss(logits, torch.full((1, 4, 4), 255, dtype=torch.uint8))
    (loss + 0 * embedding.sum()).backward()
    assert loss == 0
    assert all(value.grad is not None for value in head.parameters())


def test_maps_of_another_size():
    with pytest.raises(ValueError, match=r'\(32, 32\) pixels .* \(4, 4\): scale the maps'):
        small().loss(torch.zeros(1, 4, 4, 4), torch.zeros(1, 32, 32, dtype=torch.uint8))


def test_half_precision_gives_float32_logits():
    with torch.autocast('cpu', torch.bfloat16):
        logits, _ = small()([torch.randn(1, 6, s, s) for s in (8, 4, 2)])
    assert logits.dtype == torch.float32
