"""Classifiers: the published layout, any size, mixing of images, and learning."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from hrdet.models.backbones import HRNet
from hrdet.models.classifiers import ImageClassifier
from hrdet.models.classifiers.mixing import CutMix, Mixup
from hrdet.models.heads import LinearClsHead
from hrdet.models.necks import GlobalAveragePooling, HRFuseScales
from hrdet.models.preprocess import Preprocess
from hrdet.registry import ConfigError
from hrdet.structures import Batch, ClassLabel, ImageMeta, Views

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def classifier(width='18-small', num_classes=3, **options):
    backbone = HRNet(width=width, norm_eval=False)
    neck = [HRFuseScales(backbone.out_channels), GlobalAveragePooling()]
    preprocess = Preprocess(MEAN, STD, size_divisor=1)
    return ImageClassifier(preprocess, backbone, neck, LinearClsHead(num_classes, 2048), **options)


def batch(size=(64, 64), labels=(0, 2), seed=0):
    generator = torch.Generator().manual_seed(seed)
    count = len(labels)
    images = torch.randint(0, 255, (count, 3, *size), generator=generator, dtype=torch.uint8)
    sizes = torch.tensor([size] * count, dtype=torch.float32)
    metas = [ImageMeta(f'{i}.jpg', i, size, size, size) for i in range(count)]
    return Batch(images, metas, sizes, sizes, ClassLabel(torch.tensor(labels)))


@pytest.mark.parametrize('width', [18, 30, 32, 40, 44, 48, 64])
def test_layout_is_mmpretrain_s(reference_dir, width):
    manifest = json.loads(
        (reference_dir / f'manifests/tasks/mmpretrain_hrnet_w{width}.json').read_text()
    )
    with torch.device('meta'):
        model = classifier(width, 1000)
    found = [[name, list(value.shape)] for name, value in model.state_dict().items()]
    expected = next(v for v in manifest.values() if isinstance(v, list))
    assert sorted(found) == sorted(expected)
    assert sum(p.numel() for p in model.parameters()) == manifest['num_params_total']


@pytest.mark.parametrize('size', [(64, 64), (75, 101), (33, 40)])
def test_any_size(size):
    model = classifier().eval()
    assert model(torch.randn(2, 3, *size)).shape == (2, 3)
    results = model.predict(batch(size))
    assert all(one.scores.sum().item() == pytest.approx(1, abs=1e-5) for one in results)


def test_tensors_give_logits_and_features_by_stage():
    model = classifier().eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        maps = model.extract_feat(images, stage='backbone')
        (pooled,) = model.extract_feat(images)
        before = model.extract_feat(images, stage='pre_logits')
        logits = model(images)
    assert [tuple(x.shape) for x in maps] == [
        (2, 18, 16, 16), (2, 36, 8, 8), (2, 72, 4, 4), (2, 144, 2, 2)
    ]  # fmt: skip
    assert pooled.shape == (2, 2048)
    assert torch.equal(pooled, before)
    weight, bias = model.head.fc.weight, model.head.fc.bias
    assert torch.allclose(logits, pooled @ weight.T + bias, atol=1e-5)
    with pytest.raises(ValueError, match='stage'):
        model.extract_feat(images, stage='stem')


def test_predictions_are_softmax_of_the_normalised_images():
    model, one = classifier().eval(), batch()
    rgb = one.images.flip(1).float()
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    with torch.no_grad():
        expected = model((rgb - mean) / std).softmax(1)
    found = torch.stack([result.scores for result in model.predict(one)])
    assert torch.allclose(found, expected, atol=1e-6)
    mirrored = batch()
    mirrored.images = mirrored.images.flip(3)
    both = torch.stack([r.scores for r in model.predict(Views([one, mirrored]))])
    other = torch.stack([r.scores for r in model.predict(mirrored)])
    assert torch.allclose(both, (found + other) / 2, atol=1e-6)


def test_loss_is_the_mean_cross_entropy():
    torch.manual_seed(0)
    model, one = classifier(), batch()
    model.eval()
    loss = model(one)['loss_cls']
    rows = torch.stack([result.scores for result in model.predict(one)])
    expected = -rows[[0, 1], [0, 2]].log().mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize('kind', [Mixup, CutMix])
def test_mixing_keeps_what_belongs_together(kind):
    # Images of one colour each: after mixing, the mean colour is that of the soft label.
    np.random.seed(3)  # noqa: NPY002
    target = torch.eye(4)
    images = torch.arange(4.0)[:, None, None, None].expand(4, 3, 20, 30).clone()
    mixed, soft = kind(alpha=1.0)(images, target)
    assert torch.allclose(soft.sum(1), torch.ones(4))
    assert torch.allclose(mixed.mean(dim=(1, 2, 3)), soft @ torch.arange(4.0), atol=1e-4)
    assert not torch.equal(soft, target)
    assert torch.equal(images[:, 0, 0, 0], torch.arange(4.0))  # the input stays as it is


def test_a_step_with_mixing_trains():
    model = classifier(batch_augments=[Mixup(0.8), CutMix(1.0)]).train()
    loss = model(batch())['loss_cls']
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize('parts', [0, 2])
def test_a_neck_that_does_not_pool_is_refused(parts):
    model = classifier()
    model.neck = nn.Sequential(*[model.neck[0]] * parts)
    with pytest.raises(ConfigError, match=r'model\.neck: '):
        model.eval()(torch.zeros(1, 3, 32, 32))
