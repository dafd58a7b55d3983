"""From a config, a checkpoint and pictures to detections."""

import copy
import json
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
import torch
from pycocotools import mask as rle
from torch import nn

import hrdet
from hrdet.apis import (
    ImagePipeline,
    inference_detector,
    inference_model,
    init_detector,
    init_model,
)
from hrdet.checkpoints import CheckpointError, save_checkpoint
from hrdet.config import load_config, lower
from hrdet.data import CocoDataset, DataError, Pad, RandomFlip, Resize, collate
from hrdet.data.inputs import read_image
from hrdet.data.transforms import apply
from hrdet.registry import ConfigError
from hrdet.structures import ImageMeta, Sample, Views

CONFIG = 'configs/quickstart/faster_rcnn_hrnetv2p_w18_small.py'
CLASSES = ('ant', 'bee', 'cat')
# enough candidates from an untrained network, and few enough to be quick
QUICK = {
    'test_cfg.rcnn.score_thr': 0.01,
    'test_cfg.rpn.nms_pre': 30,
    'test_cfg.rpn.nms_post': 30,
    'test_cfg.rpn.max_num': 30,
    'data.test.img_scale': (256, 192),
}


@pytest.fixture(scope='session')
def config_file(pytestconfig):
    return str(pytestconfig.rootpath / CONFIG)


@pytest.fixture(scope='session')
def checkpoint(config_file, tmp_path_factory):
    """An untrained detector of three classes, as training saves it."""
    torch.manual_seed(0)
    model = init_detector(config_file, cfg_options=QUICK | {'classes': CLASSES}, device='cpu')
    path = tmp_path_factory.mktemp('weights') / 'latest.pth'
    meta = dict(hrdet_version=hrdet.__version__, classes=list(CLASSES), box_convention='continuous')
    save_checkpoint(path, dict(state_dict=model.state_dict(), meta=meta))
    return path


@pytest.fixture(scope='session')
def model(config_file, checkpoint):
    return init_detector(config_file, checkpoint, 'cpu', QUICK)


@pytest.fixture(scope='session')
def pictures(tmp_path_factory):
    """Files of noise in three shapes."""
    folder = tmp_path_factory.mktemp('pictures')
    rng = np.random.default_rng(0)
    for name, size in (('wide', (90, 200)), ('high', (150, 70)), ('small', (20, 30))):
        noise = cv2.resize(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8), size[::-1])
        cv2.imwrite(str(folder / f'{name}.png'), noise)
    return [folder / f'{name}.png' for name in ('wide', 'high', 'small')]


def same(one, other):
    return all(
        np.array_equal(getattr(one, field), getattr(other, field))
        for field in ('boxes', 'scores', 'labels')
    )


def test_optimized(config_file, checkpoint, model, pictures):
    """The same detections, a thousandth apart; or what the options say."""
    fast = init_detector(config_file, checkpoint, 'cpu', QUICK, optimize=True)
    assert fast.classes == model.classes
    picture = str(pictures[0])
    found, expected = inference_detector(fast, picture), inference_detector(model, picture)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)
    options = dict(dtype=torch.bfloat16)
    half = init_detector(config_file, checkpoint, 'cpu', QUICK, options)
    assert half.neck.reduction_conv.conv.weight.dtype == torch.bfloat16
    with pytest.raises(ValueError, match='float16 is for GPUs'):
        init_detector(config_file, checkpoint, 'cpu', QUICK, dict(dtype=torch.float16))
    with pytest.raises(ValueError, match=r"optimize is True, False or arguments.*not 'bfloat16'"):
        init_detector(config_file, checkpoint, 'cpu', QUICK, 'bfloat16')


def test_as_the_data_set_would_have_it(model, pictures, tmp_path):
    """The same numbers as by CocoDataset, collate and predict, on the image and in its pixels."""
    content = dict(
        images=[dict(id=1, file_name=pictures[0].name, height=90, width=200)],
        categories=[dict(id=i, name=n) for i, n in enumerate(CLASSES)],
        annotations=[],
    )
    (tmp_path / 'a.json').write_text(json.dumps(content))
    transforms = [Resize([(256, 192)], exact_scale=True), Pad(32)]
    folder = str(pictures[0].parent)
    data = CocoDataset(str(tmp_path / 'a.json'), folder, transforms, test_mode=True)
    (expected,) = model.predict(collate([data[0]], size_divisor=32))
    found = inference_detector(model, pictures[0])
    assert not model.training
    assert len(found) > 0
    assert same(found, expected.numpy())
    assert found.boxes.max() > 90
    assert (found.boxes >= 0).all()
    assert (found.boxes <= np.array([200, 90, 200, 90]) + 1e-3).all()


def test_a_detector_is_one_kind_of_model(config_file, checkpoint, model, pictures):
    """The names of mmdetection are those of every task, for detectors."""
    other = init_model(config_file, checkpoint, 'cpu', QUICK)
    assert type(other) is type(model)
    assert same(inference_model(other, pictures[0]), inference_detector(model, pictures[0]))


def test_what_matters_in_training_alone_is_not_told(config_file, caplog):
    config = load_config(config_file)
    del config['auto_scale_lr']
    assert lower(config).warnings[0].startswith('auto_scale_lr')
    init_model(config, None, 'cpu', {'classes': CLASSES})
    assert 'auto_scale_lr' not in caplog.text


def test_files_arrays_and_lists_are_the_same(model, pictures):
    found = inference_detector(model, pictures)
    assert len(found) == 3
    for path, one in zip(pictures, found):
        assert same(one, inference_detector(model, str(path)))
        assert same(one, inference_detector(model, cv2.imread(str(path))))
    assert inference_detector(model, []) == []


def test_batches_change_no_more_than_the_padding_does(model, pictures):
    copies = [pictures[0]] * 5
    alone = inference_detector(model, pictures[0])
    for one in inference_detector(model, copies, batch_size=2):
        assert np.array_equal(one.labels, alone.labels)
        # float32 convolutions of another batch size may sum in another order
        np.testing.assert_allclose(one.boxes, alone.boxes, atol=0.01)
        np.testing.assert_allclose(one.scores, alone.scores, atol=1e-4)
    assert len(inference_detector(model, pictures, batch_size=3)) == 3


def test_class_names_come_from_the_checkpoint_then_config_then_file(
    config_file, checkpoint, tmp_path, caplog
):
    def names(saved, **options):
        return init_detector(config_file, saved, 'cpu', options).classes

    assert names(checkpoint, classes=['x', 'y', 'z']) == CLASSES
    nameless = tmp_path / 'nameless.pth'
    save_checkpoint(nameless, torch.load(checkpoint)['state_dict'])
    assert names(nameless, classes=['x', 'y', 'z']) == ('x', 'y', 'z')
    file = tmp_path / 'a.json'
    images = [dict(id=1, file_name='a.jpg', height=9, width=9)]
    categories = [dict(id=i, name=n) for i, n in enumerate('pqr')]
    file.write_text(json.dumps(dict(images=images, categories=categories, annotations=[])))
    data = {'data.test.ann_file': str(file), 'data.test.img_prefix': str(tmp_path)}
    assert names(nameless, **data) == ('p', 'q', 'r')
    data['data.test.ann_file'] = str(tmp_path / 'b.json')
    assert names(nameless, **data) == ('0', '1', '2')
    assert 'classes=(...)' in caplog.text
    with pytest.raises(ConfigError, match=r'b\.json.*classes=\(\.\.\.\)'):
        names(None, **data)


def test_a_checkpoint_of_other_classes_is_refused(config_file, checkpoint):
    number = {'model.bbox_head.num_classes': 6}
    with pytest.raises((ConfigError, CheckpointError), match=r'5 classes.*3 classes'):
        init_detector(config_file, checkpoint, 'cpu', number)


def test_a_config_object_works_and_is_left_alone(config_file, checkpoint):
    config = load_config(config_file)
    before = config.pretty_text
    init_detector(config, checkpoint, 'cpu', QUICK)
    assert config.pretty_text == before


def test_the_file_is_named_in_every_refusal(config_file, tmp_path, model):
    (tmp_path / 'bad.jpg').write_bytes(b'not a picture')
    with pytest.raises(DataError, match=r'bad\.jpg: not an image'):
        inference_detector(model, tmp_path / 'bad.jpg')
    with pytest.raises(DataError, match=r'gone\.jpg: No such file'):
        inference_detector(model, [tmp_path / 'gone.jpg'])
    with pytest.raises(FileNotFoundError, match=r'gone\.pth'):
        init_detector(config_file, tmp_path / 'gone.pth', 'cpu')
    weights = {'roi_head.bbox_head.fc_cls.weight': torch.zeros(4, 5)}
    save_checkpoint(tmp_path / 'part.pth', weights)
    with pytest.raises(CheckpointError, match=r'part\.pth'):
        init_detector(config_file, tmp_path / 'part.pth', 'cpu')


def test_whatever_holds_an_image(model, pictures):
    """The bytes of a file, Pillow's images, and any iterable of them."""
    file = pictures[0]
    expected = inference_detector(model, file)
    data = Path(file).read_bytes()
    with PIL.Image.open(file) as picture:
        for image in (data, bytearray(data), picture):
            found = inference_detector(model, image)
            np.testing.assert_array_equal(found.boxes, expected.boxes)
        for images in ([data, picture], (x for x in (data, picture)), {file: 1}.keys()):
            for found in inference_detector(model, images):
                np.testing.assert_array_equal(found.boxes, expected.boxes)


@pytest.mark.parametrize(
    ('image', 'hint'),
    [
        (None, 'cv2.imread returns'),
        (5, 'not int'),
        ([None], 'cv2.imread'),
        (b'no image', r'images\[0\]: not an image'),
        ([b'no image'], r'images\[0\]: not an image'),
    ],
)
def test_what_is_no_image_says_what_is(model, image, hint):
    with pytest.raises((TypeError, ValueError), match=hint):
        inference_detector(model, image)


@pytest.mark.parametrize('size', [0, -1, 1.5])
def test_batches_have_a_size(model, pictures, size):
    with pytest.raises(ValueError, match='batch_size'):
        inference_detector(model, pictures, batch_size=size)


def test_folders_and_patterns_are_several_images(model, pictures, tmp_path):
    expected = inference_detector(model, sorted(pictures), score_thr=0.1)
    folder = pictures[0].parent
    for images in (folder, str(folder), f'{folder}/*.png'):
        found = inference_detector(model, images, score_thr=0.1)
        assert [result.path for result in found] == sorted(map(str, pictures))
        assert all(map(same, found, expected))
    for nothing, reason in ((tmp_path, 'folder has'), (f'{tmp_path}/*.png', 'pattern fits')):
        with pytest.raises(DataError, match=f'the {reason} no image'):
            inference_detector(model, nothing)
    with pytest.raises(DataError, match='Is a directory; several images are a list'):
        inference_detector(model, [tmp_path])


def test_score_thr(model, pictures):
    model = copy.deepcopy(model)
    with torch.no_grad():  # smaller differences between classes: scores below 1
        model.roi_head.bbox_head.fc_cls.weight.mul_(0.01)
    everything = inference_detector(model, pictures[0])
    best = float(everything.scores[0])
    found = inference_detector(model, pictures[0], score_thr=best)
    assert same(found, everything.above(best))
    assert len(found)
    assert len(inference_detector(model, pictures[0], score_thr=best + 1e-3)) == 0
    with pytest.raises(ValueError, match='score_thr=50: scores lie between 0 and 1'):
        inference_detector(model, pictures[0], score_thr=50)


def test_a_model_from_elsewhere_is_refused(pictures):
    with pytest.raises(ValueError, match='use init_model'):
        inference_detector(torch.nn.Linear(1, 1), pictures[0])


def test_photographs_stand_upright(tmp_path):
    """EXIF orientation 6: the camera was turned, cv2.imread turns the picture back."""
    ok, data = cv2.imencode('.jpg', np.zeros((20, 40, 3), np.uint8))
    assert ok
    exif = b'Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0'
    header = b'\xff\xe1' + (len(exif) + 2).to_bytes(2, 'big') + exif
    (tmp_path / 'a.jpg').write_bytes(data.tobytes()[:2] + header + data.tobytes()[2:])
    assert cv2.imread(str(tmp_path / 'a.jpg')).shape == (40, 20, 3)
    assert read_image(tmp_path / 'a.jpg').shape == (40, 20, 3)


def test_pipeline_pads_to_the_largest():
    pipeline = ImagePipeline([Resize([(64, 64)], exact_scale=True)], 32)
    batch = pipeline([np.zeros((20, 40, 3), np.uint8), np.zeros((50, 25, 3), np.uint8)], 'ab')
    assert batch.images.shape == (2, 3, 64, 64)
    assert [meta.scale for meta in batch.metas] == [(1.6, 1.6), (1.28, 1.28)]


MASKS = 'configs/quickstart/mask_rcnn_hrnetv2p_w18_small.py'


@pytest.fixture(scope='session')
def augmented(pytestconfig):
    """An untrained detector of boxes and masks that looks at a picture and its mirror image."""
    torch.manual_seed(0)
    options = QUICK | {'classes': CLASSES, 'data.test.flip_ratio': 0.5}
    model = init_detector(str(pytestconfig.rootpath / MASKS), None, 'cpu', options)
    # Untrained statistics let the features grow until all boxes lie on the edges.
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    model.train().extract(model.pipeline([noise(2)], ['x']).batches[0])
    nn.init.normal_(model.roi_head.bbox_head.fc_cls.weight, std=1.0)
    return model.eval()


def noise(seed):
    """A picture of 256 x 192 pixels, which the pipeline leaves as large."""
    cells = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    return cv2.resize(cells, (256, 192))


def test_views_as_the_data_set_would_have_them(augmented, pictures):
    """The plain and the mirrored view, each put together by itself, and one prediction of both."""
    image, rng = cv2.imread(str(pictures[0])), np.random.default_rng(0)
    size = image.shape[:2]
    batches = []
    for mirror in ([], [RandomFlip(1)]):
        steps = [Resize([(256, 192)], exact_scale=True), *mirror, Pad(32)]
        sample = apply(steps, Sample(image, ImageMeta('x', 1, size, size, size)), rng)
        batches.append(collate([sample], size_divisor=32))
    (expected,) = augmented.predict(Views(batches))
    found = inference_detector(augmented, pictures[0])
    assert len(found) > 0
    assert same(found, expected.numpy())
    assert found.masks == expected.masks
    (plain,) = augmented.predict(batches[0])
    assert not same(found, plain.numpy())


def test_a_mirrored_picture_has_mirrored_objects(augmented):
    """Exactly what a detector that sees both sides must do, but for sums in another order."""
    image = noise(1)
    there, back = inference_detector(augmented, [image, np.ascontiguousarray(image[:, ::-1])])
    assert len(there) == len(back) > 10
    boxes = back.boxes.copy()
    boxes[:, [0, 2]] = 256 - boxes[:, [2, 0]]
    order, other = (np.lexsort(rows.round(0).T) for rows in (there.boxes, boxes))
    np.testing.assert_allclose(there.boxes[order], boxes[other], atol=1e-2)
    np.testing.assert_allclose(there.scores[order], back.scores[other], atol=1e-4)
    assert (there.labels[order] == back.labels[other]).all()
    for i, j in zip(order, other):
        mask, mirrored = rle.decode([there.masks[i], back.masks[j]]).transpose(2, 0, 1)
        assert (mask != mirrored[:, ::-1]).mean() < 1e-3
