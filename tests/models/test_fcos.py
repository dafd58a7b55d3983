"""FCOS's losses and detections against loops over mmdetection's formulae, in both conventions."""

import math

import numpy as np
import pytest
import torch
import torch.distributed as dist

from hrdet.models.roi import NMS
from hrdet.structures import GroundTruth, Views
from tests import forked
from tests.models import reference_fcos as reference
from tests.models.toy_fcos import LIMITS, SIZES, STRIDES, make_batch, make_detector
from tests.no_sync import NoSync

CONVENTIONS = ['inclusive', 'continuous']


def levels_of(detector, batch):
    """The head's outputs as the reference takes them: a list of levels for each image."""
    with torch.no_grad():
        out = detector.bbox_head(detector.extract(batch))
    rows = list(zip(STRIDES, out.feature_sizes, LIMITS))
    return [
        [
            reference.Level(*row, *(values[i].double().numpy() for values in level))
            for row, *level in zip(rows, out.logits, out.log_distances, out.centerness)
        ]
        for i in range(2)
    ]


def sums_of(levels, batch, one, radius=None):
    sums = []
    for i, image in enumerate(levels):
        valid = batch.truth.valid[i]
        boxes = batch.truth.boxes[i][valid].double().numpy() - np.array([0, 0, one, one])
        labels = batch.truth.labels[i][valid].tolist()
        sums.append(reference.loss_sums(image, boxes, labels, one, radius))
    return sums


def assert_losses(losses, expected):
    assert list(losses) == ['loss_cls', 'loss_bbox', 'loss_centerness']
    for name, value in losses.items():  # float32 sums of 1,500 terms against float64
        assert value.item() == pytest.approx(expected[name], rel=1e-5), name


@pytest.mark.parametrize('radius', [None, 1.5])
@pytest.mark.parametrize('convention', CONVENTIONS)
def test_losses_equal_the_reference(convention, radius):
    options = {} if radius is None else dict(center_sampling=True, center_sample_radius=radius)
    detector, batch = make_detector(convention, **options), make_batch()
    one = int(convention == 'inclusive')
    sums = sums_of(levels_of(detector, batch), batch, one, radius)
    assert sum(s['positives'] for s in sums) > 10
    assert_losses(detector(batch), reference.losses(sums, one))


@pytest.mark.parametrize('convention', CONVENTIONS)
def test_images_without_objects_train_and_gradients_are_finite(convention):
    detector, batch = make_detector(convention), make_batch()
    batch.truth.valid[:] = False
    with torch.no_grad():  # a box of infinite size at a point that is no positive
        detector.bbox_head.conv_reg.bias[0] = 1000.0
    levels = levels_of(detector, batch)
    losses = detector(batch)
    one = int(convention == 'inclusive')
    assert_losses(losses, reference.losses(sums_of(levels, batch, one), one))
    sum(losses.values()).backward()
    for name, parameter in detector.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize('convention', CONVENTIONS)
def test_gradients_are_finite_whatever_the_distances(convention):
    detector, batch = make_detector(convention), make_batch()
    for bias in ([100.0] * 4, [100.0, 2, 2, 2], [50.0] * 4):
        with torch.no_grad():
            detector.bbox_head.conv_reg.bias.copy_(torch.tensor(bias))
        detector.zero_grad()
        losses = detector(batch)
        # No IoU: -log of 1e-6.
        assert losses['loss_bbox'].item() == pytest.approx(6 * math.log(10), rel=1e-5)
        sum(losses.values()).backward()
        for name, parameter in detector.named_parameters():
            assert torch.isfinite(parameter.grad).all(), (bias, name)


def assert_detections(results, expected, one):
    for result, image in zip(results, expected, strict=True):
        assert len(image) > 5
        assert result.labels.tolist() == [label for _, label, _ in image]
        np.testing.assert_allclose(result.scores, [score for score, _, _ in image], rtol=1e-5)
        boxes = result.boxes.numpy() - np.array([0, 0, one, one])
        # float32 boxes of up to 360 pixels after exp, clip and a division by 0.25
        np.testing.assert_allclose(boxes, [box for _, _, box in image], atol=1e-3)


SETTINGS = [
    {},
    dict(nms_pre=25),  # of 384, 117 and 24 points
    dict(nms_pre=-1, score_thr=0.3, min_bbox_size=30, max_per_img=-1),
]


@pytest.mark.parametrize('settings', SETTINGS, ids=['all', 'few', 'large'])
@pytest.mark.parametrize('convention', CONVENTIONS)
def test_detections_equal_the_reference(convention, settings):
    """Points in the padding among them: inclusive boxes may have no width, continuous ones must."""
    detector, batch = make_detector(convention, nms=NMS(0.4), **settings).eval(), make_batch()
    one = int(convention == 'inclusive')
    options = dict(iou_thr=0.4, nms_pre=settings.get('nms_pre', 1000))
    options['nms_pre'] = options['nms_pre'] if options['nms_pre'] > 0 else 10_000
    options['score_thr'] = settings.get('score_thr', 0.05)
    options['min_size'] = settings.get('min_bbox_size', 0)
    options['max_per_img'] = 100 if settings.get('max_per_img', 100) > 0 else 10_000
    expected = [
        reference.detect([(levels, size, (0.25, 0.5), False)], one, **options)
        for levels, size in zip(levels_of(detector, batch), SIZES)
    ]
    assert_detections(detector.predict(batch), expected, one)
    if not settings:
        thin = [min(b[2] - b[0], b[3] - b[1]) for image in expected for _, _, b in image]
        assert (min(thin) == 0) == bool(one)


@pytest.mark.parametrize('convention', CONVENTIONS)
def test_several_views_are_one_image(convention):
    """The candidates of all views, unmirrored and at the original scale, meet in one NMS."""
    detector = make_detector(convention, nms_pre=40).eval()
    one = int(convention == 'inclusive')
    views = [make_batch(), make_batch(flipped=True)]
    views[1].images = views[1].images.flip(1)  # other pixels, so that other boxes are found
    seen = [levels_of(detector, view) for view in views]
    expected = [
        reference.detect(
            [(seen[0][i], size, (0.25, 0.5), False), (seen[1][i], size, (0.25, 0.5), True)],
            one,
            nms_pre=40,
        )
        for i, size in enumerate(SIZES)
    ]
    assert_detections(detector.predict(Views(views)), expected, one)


def test_boxes_in_pixels_of_the_input():
    detector, batch = make_detector('continuous').eval(), make_batch()
    small, large = detector.predict(batch, rescale=False), detector.predict(batch)
    for one, other in zip(small, large):  # continuous overlaps do not depend on the scale
        torch.testing.assert_close(one.boxes * torch.tensor([4.0, 2, 4, 2]), other.boxes)


def test_no_detection_is_an_empty_result():
    detector = make_detector('inclusive', score_thr=1.0).eval()
    results = detector(make_batch(), mode='predict')
    assert [tuple(r.boxes.shape) for r in results] == [(0, 4), (0, 4)]


@pytest.mark.parametrize('convention', CONVENTIONS)
@pytest.mark.parametrize(
    'device',
    [
        'cpu',
        pytest.param(
            'cuda',
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device'),
            ],
        ),
    ],
)
def test_a_training_step_does_not_wait_for_the_device(convention, device):
    detector = make_detector(convention, center_sampling=True).to(device)
    batch = make_batch().to(device)
    detector(batch)  # what is made once for each size
    if device == 'cuda':
        torch.cuda.set_sync_debug_mode('error')
    try:
        with NoSync():
            sum(detector(batch).values()).backward()
    finally:
        if device == 'cuda':
            torch.cuda.set_sync_debug_mode('default')
    assert detector.bbox_head.scales[0].scale.grad.isfinite()


def test_mixed_precision_is_close_to_float32():
    detector, batch = make_detector('inclusive'), make_batch()
    exact = {name: value.item() for name, value in detector(batch).items()}
    with torch.autocast('cpu', torch.bfloat16):
        losses = detector(batch)
        results = detector.predict(batch)
    assert {value.dtype for value in losses.values()} == {torch.float32}
    for name, value in losses.items():  # bfloat16 has 8 bits
        assert value.item() == pytest.approx(exact[name], rel=0.05), name
    assert all(len(result) > 0 for result in results)
    sum(losses.values()).backward()


def _one_of_two(rank, store, folder):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{store}', rank=rank, world_size=2)
    told = [losses_of_images(convention, [rank]) for convention in CONVENTIONS]
    torch.save(told, f'{folder}/{rank}.pt')
    dist.destroy_process_group()


def losses_of_images(convention, images):
    batch = make_batch()
    batch.images, batch.input_sizes = batch.images[images], batch.input_sizes[images]
    truth = batch.truth
    batch.truth = GroundTruth(
        truth.boxes[images], truth.labels[images], truth.ignored[images], valid=truth.valid[images]
    )
    with torch.no_grad():
        return torch.stack(list(make_detector(convention)(batch).values()))


def test_two_processes(tmp_path):
    """Continuous: their mean is the loss of the joint batch.  Inclusive: each is by itself."""
    forked.start(_one_of_two, (str(tmp_path / 'store'), str(tmp_path)), nprocs=2)
    told = [torch.load(tmp_path / f'{rank}.pt', weights_only=True) for rank in (0, 1)]
    for rank in (0, 1):
        alone = losses_of_images('inclusive', [rank])
        torch.testing.assert_close(told[rank][0], alone, rtol=1e-6, atol=0)
    mean = (told[0][1] + told[1][1]) / 2
    torch.testing.assert_close(mean, losses_of_images('continuous', [0, 1]), rtol=1e-5, atol=0)
