"""Segmentors: the published layout, whole and sliding inference, and the loss."""

import itertools
import json
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from hrdet.models.backbones import HRNet
from hrdet.models.heads import FCNHead
from hrdet.models.preprocess import Preprocess
from hrdet.models.segmentors import EncoderDecoder
from hrdet.models.segmentors.label_maps import ResizedLogits
from hrdet.structures import Batch, ImageMeta, SegmentationMap, Views

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def segmentor(width='18-small', num_classes=5, **options):
    backbone = HRNet(width=width, norm_eval=False)
    channels = backbone.out_channels
    head = FCNHead(
        num_classes,
        channels,
        sum(channels),
        num_convs=1,
        kernel_size=1,
        concat_input=False,
        dropout_ratio=-1,
    )
    return EncoderDecoder(Preprocess(MEAN, STD, size_divisor=1), backbone, head, **options)


def batch(sizes=((64, 96), (64, 96)), original=None, flipped=False, seed=0):
    generator = torch.Generator().manual_seed(seed)
    height, width = (max(edge) for edge in zip(*sizes))
    images = torch.zeros(len(sizes), 3, height, width, dtype=torch.uint8)
    labels = torch.full((len(sizes), height, width), 255, dtype=torch.uint8)
    for image, label, (h, w) in zip(images, labels, sizes):
        image[:, :h, :w] = torch.randint(0, 255, (3, h, w), generator=generator)
        label[:h, :w] = torch.randint(0, 5, (h, w), generator=generator)
    metas = [
        ImageMeta(f'{i}.png', i, original or size, size, size, flipped=flipped)
        for i, size in enumerate(sizes)
    ]
    input_sizes = torch.tensor(sizes, dtype=torch.float32)
    return Batch(images, metas, input_sizes, input_sizes, SegmentationMap(labels))


def reference_logits(model, image, sizes):
    """Logits (K, h, w) of one normalised image, resized step by step, all at once."""
    logits = model.decode_head(model.backbone(image[None]))
    for size in sizes:
        logits = F.interpolate(logits, size=size, mode='bilinear', align_corners=False)
    return logits[0]


def close(found, expected):
    """Equal to the rounding of float32 at the scale of the logits, which untrained are about 30."""
    return (found - expected).abs().max() <= 1e-5 * expected.abs().max().clamp(min=1)


def normalised(image):
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    return (image.flip(0).float() - mean) / std


@pytest.mark.parametrize(('name', 'width'), [('18s', '18-small'), ('18', 18), ('48', 48)])
def test_layout_is_mmsegmentation_s(reference_dir, name, width):
    manifest = json.loads((reference_dir / f'manifests/tasks/mmseg_fcn_hr{name}.json').read_text())
    with torch.device('meta'):
        model = segmentor(width, 19)
    found = [[name, list(value.shape)] for name, value in model.state_dict().items()]
    expected = next(v for v in manifest.values() if isinstance(v, list))
    assert sorted(found) == sorted(expected)


def test_initial_weights_are_mmsegmentation_s():
    """Standard deviations of its ``init_weights``, from hundreds of numbers each."""
    torch.manual_seed(0)
    head = FCNHead(40, [40, 60], 50, kernel_size=3)
    for conv in (*(layer.conv for layer in head.convs), head.conv_cat.conv):
        assert conv.weight.std().item() == pytest.approx((2 / (50 * 9)) ** 0.5, rel=0.05)
    assert head.conv_seg.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert (head.conv_seg.bias == 0).all()


@pytest.mark.parametrize('original', [None, (50, 70), (131, 200)])
def test_whole_inference_resizes_in_two_steps(original):
    model, one = segmentor().eval(), batch(original=original)
    for i, result in enumerate(model.predict(one, with_logits=True)):
        with torch.no_grad():
            sizes = [(64, 96), original or (64, 96)]
            expected = reference_logits(model, normalised(one.images[i]), sizes)
        assert close(result.logits, expected)
        assert result.labels.dtype == torch.uint8
        assert np.asarray(result).shape == expected.shape[1:]
        assert (result.labels == result.logits.argmax(0)).all()


def test_images_of_different_sizes_do_not_change_each_other():
    model = segmentor().eval()
    sizes = ((64, 96), (50, 77))
    together = model.predict(batch(sizes), with_logits=True)
    for i, size in enumerate(sizes):
        both = batch(sizes)
        alone = batch((size,))
        alone.images[0] = both.images[i, :, : size[0], : size[1]]
        (result,) = model.predict(alone, with_logits=True)
        assert close(together[i].logits, result.logits)


@pytest.mark.parametrize('rows', [500, 7])  # of a band of means
@pytest.mark.parametrize('size', [(64, 96), (101, 77), (40, 150), (30, 30)])
def test_sliding_windows_are_averaged(monkeypatch, size, rows):
    model = segmentor(crop_size=(48, 48), stride=(32, 20)).eval()
    one = batch((size,))
    total, count = torch.zeros(5, *size), torch.zeros(size)
    starts = [max(edge - 48 + s - 1, 0) // s + 1 for edge, s in zip(size, (32, 20))]
    with torch.no_grad():
        for row, column in itertools.product(*map(range, starts)):
            y2, x2 = min(row * 32 + 48, size[0]), min(column * 20 + 48, size[1])
            y1, x1 = max(y2 - 48, 0), max(x2 - 48, 0)
            window = model.preprocess.normalise(one.images[..., y1:y2, x1:x2])[0]
            total[:, y1:y2, x1:x2] += reference_logits(model, window, [window.shape[1:]])
            count[y1:y2, x1:x2] += 1
    monkeypatch.setattr('hrdet.models.segmentors.label_maps.BAND_BYTES', 4 * 5 * size[1] * rows)
    (result,) = model.predict(one, with_logits=True)
    # 30 rows in bands: their weights are exact here and float32 in interpolate.
    assert close(result.logits, total / count)
    assert size == (30, 30) or torch.equal(result.logits, total / count)


def test_sliding_windows_make_no_map_of_the_whole_image(monkeypatch):
    """At most two rows of windows wait, and the largest float tensor is a band."""

    class Largest(TorchDispatchMode):
        size = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor) and out.is_floating_point():
                self.size = max(self.size, out.numel())
            return out

    alive, most = weakref.WeakSet(), 0

    def logits(images):
        nonlocal most
        out = images.new_zeros(1, 5, 12, 12)
        alive.add(out)
        most = max(most, len(alive))
        return out

    model = segmentor(crop_size=(48, 48), stride=(32, 32)).eval()
    monkeypatch.setattr(model, '_logits', logits)
    monkeypatch.setattr('hrdet.models.segmentors.label_maps.STRIPE_BYTES', 4 * 5 * 100 * 7)
    monkeypatch.setattr('hrdet.models.segmentors.label_maps.BAND_BYTES', 4 * 5 * 100 * 20)
    with Largest() as largest:
        (result,) = model.predict(batch(((1600, 100),)))
    assert result.labels.shape == (1600, 100)
    assert largest.size == 5 * 100 * 20
    assert most <= 2 * 3


def test_several_views_are_averaged_as_probabilities():
    model = segmentor().eval()
    plain, mirrored = batch(), batch(flipped=True)
    mirrored.images = mirrored.images.flip(3)
    small = batch(((32, 48), (32, 48)), original=(64, 96), seed=1)
    results = model.predict(Views([plain, mirrored, small]), with_logits=True)
    with torch.no_grad():
        for i, result in enumerate(results):
            views = [
                reference_logits(model, normalised(plain.images[i]), [(64, 96)] * 2),
                reference_logits(model, normalised(mirrored.images[i]), [(64, 96)] * 2).flip(2),
                reference_logits(model, normalised(small.images[i]), [(32, 48), (64, 96)]),
            ]
            expected = torch.stack([view.softmax(0) for view in views]).mean(0)
            # Probabilities of logits of about 30, which are equal to 3e-4.
            assert torch.allclose(result.logits, expected, atol=3e-4)


@pytest.mark.parametrize('bands', [1, 3])
@pytest.mark.parametrize(
    'sizes', [[(20, 30), (80, 119), (75, 500)], [(80, 60), (33, 30)], [(90, 60), (21, 17)]]
)
def test_stripes_equal_resizing_at_once(monkeypatch, bands, sizes):
    monkeypatch.setattr('hrdet.models.segmentors.label_maps.STRIPE_BYTES', 4 * 3 * sizes[-1][1] * 7)
    logits = torch.randn(3, *sizes[0], generator=torch.Generator().manual_seed(0))
    expected = logits[None]
    for size in sizes[1:]:
        expected = F.interpolate(expected, size=size, mode='bilinear', align_corners=False)
    stripes = list(ResizedLogits(logits.chunk(bands, dim=1), sizes, 3).stripes())
    assert len(stripes) > 1
    # Positions are exact here and float32 in interpolate, whose weights are off by a few 1e-6.
    assert torch.allclose(torch.cat(stripes, 1), expected[0], atol=5e-5)


def test_loss_counts_ignored_pixels_in_the_mean():
    model, one = segmentor().eval(), batch(((64, 96), (50, 77)))
    losses = model(one)
    with torch.no_grad():
        logits = F.interpolate(
            model.decode_head(model.extract(one)), size=(64, 96), mode='bilinear'
        )
        rows = F.cross_entropy(logits, one.truth.labels.long(), ignore_index=255, reduction='sum')
    assert list(losses) == ['decode.loss_ce', 'decode.acc_seg']
    assert losses['decode.loss_ce'].item() == pytest.approx((rows / (2 * 64 * 96)).item(), rel=1e-5)


@pytest.mark.parametrize('weighted_mean', [False, True])
def test_the_two_means_of_a_weighted_loss(weighted_mean):
    """Over all pixels (mmsegmentation 0.x), or over the weights of the labelled ones (1.x)."""
    torch.manual_seed(0)
    weight = torch.tensor([1, 2, 1, 0.5, 1])
    labels = batch().truth.labels
    labels[0, :10] = 255
    head = FCNHead(5, [3], 4, class_weight=weight.tolist(), avg_class_weight=weighted_mean)
    logits = torch.randn(2, 5, *labels.shape[1:])
    found = head.loss(logits, labels)['loss_ce']
    reduction = 'mean' if weighted_mean else 'sum'
    expected = F.cross_entropy(logits, labels.long(), weight, ignore_index=255, reduction=reduction)
    expected = expected if weighted_mean else expected / labels.numel()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_hard_pixels_and_class_weights_train():
    torch.manual_seed(0)
    model = segmentor()
    model.decode_head = FCNHead(
        5,
        model.backbone.out_channels,
        32,
        class_weight=[1, 2, 1, 0.5, 1],
        hard_pixel_mining=dict(thresh=0.7, min_kept=100),
    )
    loss = model(batch())['decode.loss_ce']
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None for p in model.parameters())
