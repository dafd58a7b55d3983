"""Mask heads against loops in float64, by the names of their weights."""

import pytest
import torch
import torch.nn.functional as F

from hrdet.losses import CrossEntropyLoss
from hrdet.models.heads import FCNMaskHead, HTCMaskHead
from hrdet.registry import ConfigError, build
from tests.no_sync import NoSync

LOSS = dict(type='CrossEntropyLoss', use_sigmoid=True)


def small(kind=FCNMaskHead, **options):
    torch.manual_seed(0)
    sizes = dict(num_classes=3, num_convs=2, in_channels=6, conv_out_channels=5)
    head = kind(loss_mask=CrossEntropyLoss(use_sigmoid=True), **sizes | options)
    for name, value in head.named_parameters():
        if name.endswith('bias'):  # which are zeros to begin with
            torch.nn.init.normal_(value)
    return head


def conv_relu(weights, name, x, padding=0):
    x = F.conv2d(x, weights[f'{name}.conv.weight'], weights[f'{name}.conv.bias'], padding=padding)
    return x.clamp(min=0)


def embedding_by_keys(head, features, previous=None):
    weights = {name: value.double() for name, value in head.state_dict().items()}
    x = features.double()
    if previous is not None:
        x = x + conv_relu(weights, 'conv_res', previous.double())
    for name in ('convs.0', 'convs.1'):
        x = conv_relu(weights, name, x, padding=1)
    return x


def logits_by_keys(head, embedding):
    """A deconvolution of stride 2 and kernel 2 writes each input pixel to 2x2 output pixels."""
    weights = {name: value.double() for name, value in head.state_dict().items()}
    r, _, h, w = embedding.shape
    blocks = torch.einsum('rchw,cdyx->rdhywx', embedding, weights['upsample.weight'])
    x = blocks.reshape(r, -1, 2 * h, 2 * w) + weights['upsample.bias'][:, None, None]
    x = torch.einsum('rdhw,kd->rkhw', x.clamp(min=0), weights['conv_logits.weight'][..., 0, 0])
    return x + weights['conv_logits.bias'][:, None, None]


@pytest.mark.parametrize('agnostic', [False, True])
@torch.no_grad()
def test_forward(agnostic):
    head, features = small(class_agnostic=agnostic), torch.randn(4, 6, 7, 7)
    expected = logits_by_keys(head, embedding_by_keys(head, features))
    assert expected.shape == (4, 1 if agnostic else 3, 14, 14)
    torch.testing.assert_close(head(features).double(), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_forward_of_htc():
    """The embedding of the stage before comes in through a convolution of its own."""
    head, features, previous = small(HTCMaskHead), torch.randn(4, 6, 7, 7), torch.randn(4, 5, 7, 7)
    for extra in ((previous,), ()):
        found = head.embed(features, *extra)
        expected = embedding_by_keys(head, features, *extra)
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


def test_names_and_parameters():
    """As in mmdetection's checkpoints; the counts are those of its HTC models (all stages)."""
    first, later = (
        build(dict(type='HTCMaskHead', num_classes=81, loss_mask=LOSS, with_conv_res=res))
        for res in (False, True)
    )
    counts = [sum(p.numel() for p in head.parameters()) for head in (first, later)]
    assert counts[0] + 2 * counts[1] == 8_062_195
    assert 3 * counts[0] == 7_930_611
    assert set(later.state_dict()) - set(first.state_dict()) == {
        'conv_res.conv.weight',
        'conv_res.conv.bias',
    }
    assert set(first.state_dict()) == {
        f'{layer}.{kind}'
        for layer in [*(f'convs.{i}.conv' for i in range(4)), 'upsample', 'conv_logits']
        for kind in ('weight', 'bias')
    }


def test_arguments_are_checked():
    with pytest.raises(ConfigError, match=r"model\.num_conv: there .*'num_convs'"):
        build(dict(type='HTCMaskHead', num_classes=3, loss_mask=LOSS, num_conv=1), 'model')


def test_norm():
    norm = dict(type='GN', num_groups=5)
    head = build(
        dict(
            type='HTCMaskHead',
            num_classes=3,
            loss_mask=LOSS,
            in_channels=10,
            conv_out_channels=10,
            norm_cfg=norm,
        )
    )
    assert {'convs.3.gn.weight', 'conv_res.gn.bias'} <= set(head.state_dict())
    assert 'convs.0.conv.bias' not in head.state_dict()


def test_golden_loss(golden_ops):
    """The release's class 0 is the background, which has no mask here."""
    logits, targets, labels = (
        torch.from_numpy(golden_ops[f'loss_mask_{name}']) for name in ('pred', 'target', 'label')
    )
    loss = small(num_classes=4).loss(logits[:, 1:], targets.float(), labels - 1, torch.ones(6))
    # float32 means of 4,704 numbers, in different order
    torch.testing.assert_close(loss[None], torch.from_numpy(golden_ops['loss_mask_out']))


@pytest.mark.parametrize('agnostic', [False, True])
def test_loss_counts_objects_only(agnostic):
    logits = torch.randn(5, 1 if agnostic else 3, 4, 4, requires_grad=True)
    targets = (torch.rand(5, 4, 4) < 0.5).float()
    labels, weight = torch.tensor([2, 3, 0, 3, 1]), torch.tensor([1.0, 0, 0.5, 0, 0])
    with NoSync():
        loss = small(class_agnostic=agnostic).loss(logits, targets, labels, weight)
    pixels = []
    for row in (0, 2):
        own = logits.detach()[row, 0 if agnostic else labels[row]].double()
        probability = torch.where(targets[row] > 0, own, -own).sigmoid()
        pixels.append(-probability.log())
    torch.testing.assert_close(loss.double(), torch.stack(pixels).mean(), rtol=1e-5, atol=0)
    loss.backward()
    used = logits.grad.abs().sum((2, 3)) > 0
    expected = torch.zeros_like(used)
    expected[0, 0 if agnostic else 2] = expected[2, 0] = True
    assert used.equal(expected)


@pytest.mark.parametrize('rows', [0, 3])
def test_without_objects_every_parameter_has_a_gradient(rows):
    """Distributed training waits for all of them."""
    head = small(HTCMaskHead)
    logits = head.logits(head.embed(torch.randn(rows, 6, 7, 7), torch.randn(rows, 5, 7, 7)))
    targets, labels = torch.zeros(rows, 14, 14), torch.full((rows,), 3)
    loss = head.loss(logits, targets, labels, torch.zeros(rows))
    loss.backward()
    assert loss == 0
    for name, value in head.named_parameters():
        assert value.grad is not None, name
        assert (value.grad == 0).all(), name


@pytest.mark.parametrize('agnostic', [False, True])
def test_probabilities(agnostic):
    logits = torch.randn(3, 1 if agnostic else 3, 4, 4)
    labels = torch.tensor([2, 0, 3])  # 3: no object, any channel will do
    found = small(class_agnostic=agnostic).probabilities(logits, labels)
    for row, channel in enumerate([0, 0] if agnostic else [2, 0]):
        torch.testing.assert_close(found[row], 1 / (1 + (-logits[row, channel]).exp()))
    assert found.shape == (3, 4, 4)


def test_half_precision_gives_float32():
    with torch.autocast('cpu', torch.bfloat16):
        assert small()(torch.randn(2, 6, 7, 7)).dtype == torch.float32
