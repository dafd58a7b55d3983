"""The configs that are shipped lower, build, train and predict; so do the manual's examples."""

import functools
from pathlib import Path

import pytest
import torch

import hrdet.evaluation
import hrdet.tracking  # noqa: F401  all register their types
from hrdet.config import RunConfig, load_config, lower, lowered_text
from hrdet.data import collate
from hrdet.data.shapes import make_class_folders, make_label_maps, make_shapes
from hrdet.models import build_model
from hrdet.registry import build
from tests.config.published import (
    CONFIGS,
    HRNET_RELEASE,
    MMDET_1,
    MMDET_3,
    MMSEG,
    ROOT,
    SHIPPED,
    WIDTHS,
    parameters,
)

# Rows of the published tables that no release has a file for, and what fills their families.
MORE = [
    *(f'faster_rcnn_hrnetv2p_w48_{epochs}' for epochs in ('1x', '2x')),
    *(f'mask_rcnn_hrnetv2p_w{w}_{epochs}' for w in (40, 48) for epochs in ('1x', '2x')),
    *(f'fcos_hrnetv2p_w{w}_gn_2x_4gpu' for w in WIDTHS),
    *(f'fcos_hrnetv2p_w{w}_mstrain_gn_2x_4gpu' for w in WIDTHS),
    'htc_hrnetv2p_w48_28e',
]
CLASSIFIERS = [
    *(f'hrnet-w{width}_4xb32_in1k' for width in (18, 30, 32, 40, 44, 48, 64)),
    *(f'hrnet-w18-small-v{version}_4xb32_in1k' for version in (1, 2)),
]


@functools.cache
def task_of(path: Path) -> str:
    """The task of a shipped config's model; what is neither of two types is a detector."""
    tasks = dict(EncoderDecoder='segmentation', ImageClassifier='classification')
    return tasks.get(load_config(path)['model']['type'], 'detection')


QUICKSTART = [path for path in SHIPPED if path.parent.name == 'quickstart']


def test_every_row_is_there():
    rows = {
        'hrnet': HRNET_RELEASE + MMDET_1 + MORE + MMSEG + CLASSIFIERS,
        'hrnet/continuous': MMDET_3,
    }
    for folder, names in rows.items():
        assert {path.stem for path in (CONFIGS / folder).glob('*.py')} == set(names)


@pytest.mark.parametrize('path', SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_config_lowers_without_a_warning_and_builds(path):
    lowered = lower(load_config(path))
    lowered.check_trainable()
    lowered.check()
    assert lowered.warnings == []
    assert lowered.training.auto_scale_lr['enable']
    assert Path(lowered.runtime.work_dir).parent == Path('work_dirs')
    assert parameters(lowered.model) > 3.9e6
    for split in lowered.splits():
        for dataset in split['dataset'].get('datasets', [split['dataset']]):
            build(dataset['transforms'])


@pytest.fixture(scope='session')
def shapes(tmp_path_factory):
    """The generated data set, of two images to train on and one to test on."""
    return make_shapes(str(tmp_path_factory.mktemp('shapes')), 2, 1, size=(64, 96))


def on_shapes(path: Path, shapes) -> dict:
    """A shipped config for the smallest backbone, small images and a few proposals."""
    config = load_config(path).to_dict()
    if config['model']['backbone']['type'] == 'ResNet':
        config['model']['backbone']['depth'] = 18
        config['model']['neck']['in_channels'] = [64, 128, 256, 512]
    else:
        config['model']['backbone']['width'] = '18-small'
    test = config['test_cfg']
    if 'rpn' in test:
        limits = dict(nms_pre=40, nms_post=40, max_num=40)
        test['rpn'] |= limits
        if config['train_cfg'].get('rpn_proposal'):
            config['train_cfg']['rpn_proposal'] |= limits
    test.get('rcnn', test).update(max_per_img=5, score_thr=0.0)
    config['classes'] = None  # those of the shapes
    images = dict(type='CocoDataset', img_scale=(96, 64))
    train = dict(ann_file=shapes.train_ann, img_prefix=shapes.train_images)
    if 'seg_prefix' in config['data']['train']:
        train['seg_prefix'] = shapes.train_maps
    config['data']['train'] |= train | images
    crop = config['data']['train'].get('extra_aug', {}).get('rand_resize_crop')
    if crop is not None:
        crop |= dict(scales=[[112, 64], [112, 80]], size=[96, 64])
    config['data']['test'] |= dict(ann_file=shapes.val_ann, img_prefix=shapes.val_images) | images
    return config


_SEEN = set()  # models and data that have run: many configs differ in their schedule only


def detector_trains_and_predicts(shapes, path):
    torch.manual_seed(0)
    lowered = lower(on_shapes(path, shapes))
    meaning = repr((lowered.model, lowered.train['dataset'], lowered.test['dataset']))
    if meaning in _SEEN:
        return
    _SEEN.add(meaning)
    train_set, test_set = build(lowered.train['dataset']), build(lowered.test['dataset'])
    model = build_model(lowered, train_set.classes).train()
    small = path in QUICKSTART  # enough for the gradients too
    with torch.set_grad_enabled(small):
        losses = model.loss(collate([train_set[0], train_set[1]], size_divisor=32))
    for name, loss in losses.items():
        assert loss.isfinite(), name
    masks, semantics = 'mask_head' in lowered.model.get('roi_head', {}), 'htc' in path.stem
    assert any('loss_mask' in name for name in losses) == masks
    assert ('loss_semantic_seg' in losses) == semantics
    if small:
        sum(losses.values()).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
    (found,) = model.eval().predict(collate([test_set[0]], size_divisor=32))
    assert 1 <= len(found) <= 5  # continuous proposals of chance weights may have no size
    assert found.boxes.isfinite().all()
    assert (found.masks is not None) == masks
    if masks:
        assert found.masks[0]['size'] == [64, 96]


@pytest.fixture(scope='session')
def label_maps(tmp_path_factory):
    """The same scenes with label maps."""
    return make_label_maps(str(tmp_path_factory.mktemp('maps')), 2, 1, size=(64, 96))


def on_label_maps(path: Path, maps) -> dict:
    """A shipped config of a segmentor for small images; its own network."""
    config = load_config(path).to_dict()
    config['model']['decode_head']['num_classes'] = None  # those of the maps
    for name, folders in (
        ('train', dict(img_dir=maps.train_images, ann_dir=maps.train_maps)),
        ('test', dict(img_dir=maps.val_images, ann_dir=maps.val_maps)),
    ):
        steps = config['data'][name]['pipeline']
        for step in steps:
            step |= {key: (96, 64) for key in ('img_scale',) if key in step}
            step |= {key: (48, 64) for key in ('crop_size', 'size') if key in step}
        config['data'][name] = dict(
            type='BaseSegDataset', classes=maps.classes, pipeline=steps, **folders
        )
    return config


def segmentor_trains_and_predicts(label_maps, path):
    torch.manual_seed(0)
    lowered = lower(on_label_maps(path, label_maps))
    meaning = repr((lowered.model, lowered.train['dataset'], lowered.test['dataset']))
    if meaning in _SEEN:
        return
    _SEEN.add(meaning)
    train_set, test_set = build(lowered.train['dataset']), build(lowered.test['dataset'])
    model = build_model(lowered, train_set.classes).train()
    losses = model.loss(collate([train_set[0], train_set[1]]))
    losses['decode.loss_ce'].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name
    (found,) = model.eval().predict(collate([test_set[0]]))
    assert found.labels.shape == (64, 96)
    assert found.labels.max() < len(train_set.classes)


def test_test_time_augmentation_of_a_segmentor(label_maps):
    """12 views of the image; the first one is what the plain test takes of half the size."""
    path = next(path for path in SHIPPED if task_of(path) == 'segmentation')
    lowered = lower(on_label_maps(path, label_maps))
    lowered.use_tta()
    dataset = build(lowered.test['dataset'])
    views = dataset[0]
    sizes = [view.meta.input_size for view in views]
    assert (
        sizes[::2]
        == sizes[1::2]
        == [(32, 48), (48, 72), (64, 96), (80, 120), (96, 144), (112, 168)]
    )
    assert [view.meta.flipped for view in views] == [False, True] * 6
    model = build_model(lowered, dataset.classes).eval()
    (found,) = model.predict(collate([views]))
    assert found.labels.shape == (64, 96)


@pytest.fixture(scope='session')
def class_folders(tmp_path_factory):
    """Folders of images, one for each of the six shapes."""
    return make_class_folders(str(tmp_path_factory.mktemp('folders')), 8, 8, size=(64, 96))


def on_class_folders(path: Path, folders) -> dict:
    """A shipped classifier for the folders of images."""
    config = load_config(path).to_dict()
    config['model']['head']['num_classes'] = None
    for split, folder in zip(('train', 'test'), folders, strict=True):
        dataset = config[f'{split}_dataloader']['dataset']
        dataset |= dict(type='CustomDataset', data_root='', data_prefix=folder)
        dataset.pop('split', None)
    return config


def classifier_trains_and_predicts(class_folders, path):
    run = lower(on_class_folders(path, class_folders)).check()
    train_set, test_set = build(run.train['dataset']), build(run.test['dataset'])
    torch.manual_seed(0)
    model = build_model(run, train_set.classes).train()
    small = 'small' in path.stem
    with torch.set_grad_enabled(small):
        (loss,) = model.loss(collate([train_set[0], train_set[1]])).values()
    assert loss.isfinite()
    if small:
        loss.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
    (scores,) = model.eval().predict(collate([test_set[0]]))
    assert scores.scores.shape == (6,)
    assert float(scores.scores.sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize('path', SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_model_trains_and_predicts(path, request):
    check, data = {
        'detection': (detector_trains_and_predicts, 'shapes'),
        'segmentation': (segmentor_trains_and_predicts, 'label_maps'),
        'classification': (classifier_trains_and_predicts, 'class_folders'),
    }[task_of(path)]
    check(request.getfixturevalue(data), path)


def one_step(run: RunConfig) -> dict[str, torch.Tensor]:
    """The weights after a step of plain SGD, and the losses before it."""
    torch.manual_seed(0)
    train_set = build(run.train['dataset'])
    model = build_model(run, train_set.classes).train()
    divisor = run.train.get('size_divisor', 1)
    losses = model.loss(collate([train_set[0], train_set[1]], size_divisor=divisor))
    sum(losses.values()).backward()
    torch.optim.SGD(model.parameters(), lr=run.training.optimizer['lr']).step()
    return model.state_dict() | losses


@pytest.mark.parametrize('path', QUICKSTART, ids=lambda path: path.stem)
def test_a_step_from_the_lowered_config_is_the_same(
    shapes, label_maps, class_folders, tmp_path, path
):
    if task_of(path) == 'segmentation':
        run = lower(on_label_maps(path, label_maps))
    elif task_of(path) == 'classification':
        run = lower(on_class_folders(path, class_folders))
    else:
        run = lower(on_shapes(path, shapes))
    (tmp_path / 'lowered.py').write_text(lowered_text(run))
    expected, found = one_step(run), one_step(lower(load_config(tmp_path / 'lowered.py')))
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name


@pytest.mark.parametrize('name', ['imagenet_step', 'imagenet_adamw'])
def test_recipes_of_classifiers(tmp_path, name):
    """Either takes the place of the recorded configs' schedule."""
    text = (CONFIGS / 'hrnet/hrnet-w18_4xb32_in1k.py').read_text()
    text = text.replace('imagenet_cosine', name).replace("'../_base_/", f"'{CONFIGS}/_base_/")
    (tmp_path / 'config.py').write_text(text)
    run = lower(load_config(tmp_path / 'config.py')).check()
    run.check_trainable()
    assert run.warnings == []
    training = run.training
    if name == 'imagenet_step':
        # cls_hrnet_w18_sgd_lr5e-2_wd1e-4_bs32_x100.yaml of HRNet-Image-Classification
        assert training.optimizer == dict(
            type='SGD', lr=0.05, momentum=0.9, weight_decay=0.0001, nesterov=True
        )
        assert training.schedule[0]['milestones'] == [30, 60, 90]
    else:
        assert training.ema == dict(momentum=0.0001)
        assert [factor['end'] for factor in training.schedule] == [20, 300]


def documented(start: str) -> str:
    """The Python block of docs/config.md that begins so."""
    blocks = (ROOT / 'docs/config.md').read_text().split('```python\n')[1:]
    (block,) = [b.split('```')[0] for b in blocks if b.startswith(start)]
    return block


@pytest.mark.parametrize(
    ('start', 'base'),
    [
        ("_base_ = './", CONFIGS / 'hrnet'),
        ("_base_ = '../hrnet/faster", CONFIGS / 'bccd'),
        ("_base_ = '../hrnet/fcn", CONFIGS / 'camvid'),
        ('train_cfg', CONFIGS / 'hrnet'),
        ('data = dict(  # "Default"', CONFIGS / 'hrnet'),
        ('data = dict(  # "ResizeCrop"', CONFIGS / 'hrnet'),
    ],
)
def test_examples_of_the_manual(tmp_path, start, base):
    text = documented(start)
    if '_base_' not in text:
        text = "_base_ = './faster_rcnn_hrnetv2p_w18_1x.py'\n" + text
    text = text.replace("_base_ = '", f"_base_ = '{base}/")
    (tmp_path / 'example.py').write_text(text)
    lowered = lower(load_config(tmp_path / 'example.py'))
    lowered.check_trainable()
    assert lowered.warnings == []
