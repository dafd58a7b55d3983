"""Classifiers and segmentors from Python, by name and from configs."""

import importlib
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import hrdet
from hrdet import (
    apis,
    get_model,
    inference_model,
    inference_segmentor,
    init_segmentor,
    list_models,
    zoo,
)
from hrdet.checkpoints import save_checkpoint
from hrdet.data.datasets import CityscapesDataset
from hrdet.data.datasets.imagenet_names import imagenet_classes
from hrdet.data.inputs import read_image
from hrdet.registry import ConfigError
from hrdet.structures import ClassScores, LabelMap
from tests.models.toy_tasks import CHANNELS, small_backbone

NAME = 'hrnet-w18_3rdparty_8xb32_in1k'
PREPROCESS = dict(
    type='Preprocess', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], size_divisor=1
)
BACKBONE = small_backbone()
CLASSIFIER = dict(
    language='lowered',
    model=dict(
        type='ImageClassifier',
        preprocess=PREPROCESS,
        backbone=BACKBONE,
        neck=[
            dict(type='HRFuseScales', in_channels=CHANNELS, out_channels=64),
            dict(type='GlobalAveragePooling'),
        ],
        head=dict(type='LinearClsHead', num_classes=1000, in_channels=64),
    ),
    test=dict(
        dataset=dict(
            type='ImageNet',
            data_root='data/imagenet',
            split='val',
            transforms=[
                dict(type='ResizeEdge', scale=72, backend='pillow'),
                dict(type='CenterCrop', crop_size=64),
            ],
        ),
    ),
)
SEGMENTOR = dict(
    language='lowered',
    model=dict(
        type='EncoderDecoder',
        preprocess=PREPROCESS,
        backbone=BACKBONE | dict(fuse_mode='bilinear'),
        decode_head=dict(
            type='FCNHead',
            in_channels=CHANNELS,
            channels=sum(CHANNELS),
            num_convs=1,
            kernel_size=1,
            concat_input=False,
            dropout_ratio=0,
            num_classes=19,
        ),
    ),
    test=dict(
        dataset=dict(
            type='CityscapesDataset',
            data_root='data/cityscapes',
            img_dir='leftImg8bit/val',
            ann_dir='gtFine/val',
            transforms=[dict(type='Resize', scales=[(128, 64)])],
        ),
    ),
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """No weights at first, and nothing can be downloaded."""
    monkeypatch.setenv('HRDET_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('HRDET_OFFLINE', '1')
    (tmp_path / 'cache').mkdir()
    return tmp_path / 'cache'


@pytest.fixture
def published(cache, tmp_path, monkeypatch):
    """A published classifier that is small, with its weights in the cache, nameless as timm's."""
    torch.manual_seed(0)
    model = apis.init_model(CLASSIFIER, device='cpu')
    save_checkpoint(cache / f'{NAME}.pth', {'state_dict': model.state_dict()})
    config = tmp_path / 'small.py'
    config.write_text('\n'.join(f'{key} = {value!r}' for key, value in CLASSIFIER.items()))
    entry = replace(zoo.MODELS[NAME], config=str(config))
    monkeypatch.setitem(zoo.MODELS, NAME, entry)
    return model


@pytest.fixture(scope='module')
def segmentor():
    torch.manual_seed(0)
    return init_segmentor(SEGMENTOR, device='cpu')


def noise(size, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)


class TestNames:
    def test_the_nine_of_mmpretrain(self, reference_dir):
        page = (reference_dir / 'pages/mmpretrain_hrnet.md').read_text(encoding='utf-8')
        names = set(re.findall(r'`(hrnet-w\S+)`\\\*', page))
        assert len(names) == 9
        assert list_models('*hrnet*') == sorted(names)

    def test_patterns_and_tasks(self):
        assert list_models('*w48*', exclude_patterns='*ssld*') == ['hrnet-w48_3rdparty_8xb32_in1k']
        assert len(list_models(task='segmentation')) == 37
        assert 'htc_hrnetv2p_w18_20e' in list_models('htc*', task='detection')
        assert len(list_models(task=None)) == len(zoo.MODELS)
        with pytest.raises(ValueError, match='classification, detection, segmentation or None'):
            list_models(task='pose')


class TestGetModel:
    def test_published_weights(self, published):
        model = get_model(NAME, pretrained=True)
        assert not model.training
        assert model.classes == imagenet_classes()
        images = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            assert torch.equal(model(images), published(images))
            maps = model.extract_feat(images, stage='backbone')
            assert tuple(f.shape[1] for f in maps) == CHANNELS
            (feature,) = model.extract_feat(images)
            assert torch.equal(model.head(feature), model(images))

    def test_initial_weights_and_other_sections(self, published):
        model = get_model(NAME, head=dict(num_classes=10), backbone=dict(norm_eval=True))
        assert model(torch.randn(1, 3, 64, 64)).shape == (1, 10)
        assert model.backbone.norm_eval
        assert model.classes == tuple('0123456789')

    def test_published_weights_for_other_classes(self, published, caplog):
        model = get_model(NAME, pretrained=True, head=dict(num_classes=10))
        assert model.head.fc.weight.shape == (10, 64)
        assert torch.equal(model.backbone.conv1.weight, published.backbone.conv1.weight)
        assert model.head.fc.weight.std() > 0

    def test_a_config_and_a_file(self, published, cache):
        model = get_model(CLASSIFIER, pretrained=cache / f'{NAME}.pth')
        assert torch.equal(model.head.fc.weight, published.head.fc.weight)
        with pytest.raises(ConfigError, match=r'only a published model \(list_models\)'):
            get_model(CLASSIFIER, pretrained=True)
        with pytest.raises(ConfigError, match=r'3 classes.* 1000 classes'):
            apis.init_model(CLASSIFIER, cache / f'{NAME}.pth', 'cpu', {'model.head.num_classes': 3})


class TestClassifier:
    def test_a_published_one_by_name(self, published, tmp_path):
        picture = noise((80, 100))
        cv2.imwrite(str(tmp_path / 'a.png'), picture)
        result = inference_model(NAME, tmp_path / 'a.png')
        assert set(result) == {'pred_class', 'pred_label', 'pred_score', 'pred_scores'}
        # As by hand: short edge to 72, centre of 64, normalised.
        (sample,) = published.pipeline([picture], ['a']).images.float()
        mean, std = (torch.tensor(PREPROCESS[key])[:, None, None] for key in ('mean', 'std'))
        with torch.no_grad():
            scores = published(((sample.flip(0) - mean) / std)[None])[0].softmax(0)
        np.testing.assert_allclose(result['pred_scores'], scores, atol=1e-6)
        assert result['pred_scores'].dtype == np.float32
        assert result['pred_label'] == int(scores.argmax())
        assert result['pred_score'] == pytest.approx(float(scores.max()), abs=1e-6)
        assert result['pred_class'] == imagenet_classes()[result['pred_label']]

    def test_lists_and_batches(self, published):
        """After the transforms of another config sizes differ: padding must change nothing."""
        config = CLASSIFIER | {'test': {'dataset': CLASSIFIER['test']['dataset'] | {
            'transforms': [dict(type='ResizeEdge', scale=64)]}}}  # fmt: skip
        model = apis.init_model(config, device='cpu')
        pictures = [noise((64, 96)), noise((80, 64), 1), noise((64, 96), 2)]
        alone = [inference_model(model, picture) for picture in pictures]
        for batch_size in (1, 2, 3):
            together = inference_model(model, pictures, batch_size)
            for one, other in zip(alone, together, strict=True):
                np.testing.assert_allclose(one['pred_scores'], other['pred_scores'], atol=1e-6)
        assert inference_model(model, []) == []

    def test_a_path_is_not_a_name(self):
        with pytest.raises(ConfigError, match=r'of your own with init_model\(config, checkpoint\)'):
            inference_model('configs/mine.py', 'a.jpg')

    def test_a_name_that_is_not_known(self):
        with pytest.raises(ConfigError, match="; did you mean 'hrnet-w18_3rdparty_8xb32_in1k'"):
            inference_model('hrnet-w18_3rdparty_8xb32_in1', 'a.jpg')


class TestSegmentor:
    def test_a_label_map_of_the_image_s_size(self, segmentor):
        result = inference_segmentor(segmentor, noise((50, 70)))
        assert isinstance(result, LabelMap)
        labels = np.asarray(result)
        assert labels.shape == (50, 70)
        assert labels.dtype == np.uint8
        assert result.logits is None
        assert result.classes == CityscapesDataset.row.classes
        assert result.palette == CityscapesDataset.row.palette

    def test_one_door_for_all_tasks(self, segmentor):
        picture = noise((50, 70))
        assert np.array_equal(
            inference_model(segmentor, picture), inference_segmentor(segmentor, picture)
        )

    def test_logits_on_request(self, segmentor):
        result = inference_segmentor(segmentor, noise((50, 70)), with_logits=True)
        assert result.logits.shape == (19, 50, 70)
        assert np.array_equal(result.logits.argmax(0), np.asarray(result))

    def test_batches_of_different_sizes_change_nothing(self, segmentor):
        pictures = [noise((50, 70)), noise((64, 40), 1)]
        together = inference_segmentor(segmentor, pictures, batch_size=2)
        for picture, result in zip(pictures, together, strict=True):
            assert np.array_equal(result, inference_segmentor(segmentor, picture))

    def test_names_and_colours_of_the_checkpoint_win(self, segmentor, tmp_path):
        names, colours = [f'class {i}' for i in range(19)], [[i, 0, 0] for i in range(19)]
        meta = dict(CLASSES=names, PALETTE=colours)
        save_checkpoint(tmp_path / 'a.pth', dict(state_dict=segmentor.state_dict(), meta=meta))
        other = init_segmentor(SEGMENTOR, tmp_path / 'a.pth', 'cpu')
        assert other.classes == tuple(names)
        assert other.palette == tuple((i, 0, 0) for i in range(19))
        meta = dict(dataset_meta=dict(classes=names, palette=colours))
        save_checkpoint(tmp_path / 'a.pth', dict(state_dict=segmentor.state_dict(), meta=meta))
        assert init_segmentor(SEGMENTOR, tmp_path / 'a.pth', 'cpu').palette == other.palette


class TestPublished:
    """With the published configs, and weights under the published layouts."""

    def test_a_segmentor_by_its_name_in_either_release(self, cache):
        torch.manual_seed(0)
        config = zoo.MODELS['fcn_hr18s_512x1024_40k_cityscapes'].config_file()
        model = init_segmentor(str(config), device='cpu')
        save_checkpoint(cache / 'fcn_hr18s_512x1024_40k_cityscapes.pth', model.state_dict())
        picture = noise((50, 70))
        small = {'data.test.pipeline.1.img_scale': (128, 64)}
        for name in ('fcn_hr18s_512x1024_40k_cityscapes', 'fcn_hr18s_4xb2-40k_cityscapes-512x1024'):
            other = init_segmentor(name, device='cpu', cfg_options=small)
            weights = other.state_dict()
            assert all(torch.equal(v, weights[k]) for k, v in model.state_dict().items())
            result = inference_segmentor(other, picture)
            assert np.asarray(result).shape == (50, 70)
            assert result.classes[0] == 'road'
            assert result.palette[0] == (128, 64, 128)

    def test_sections_of_a_published_config_can_be_changed(self):
        model = get_model('hrnet-w18_4xb32_in1k', head=dict(num_classes=10))
        assert model.head.fc.weight.shape == (10, 2048)
        assert get_model('hrnet-w18_4xb32_in1k').classes == imagenet_classes()

    def test_mmpretrain_s_page(self, cache, reference_dir, tmp_path, monkeypatch, capsys):
        """Its snippets, but for the import and the weights, which are random ones here."""
        torch.manual_seed(0)
        model = get_model(NAME)
        save_checkpoint(cache / f'{NAME}.pth', model.state_dict())
        monkeypatch.chdir(tmp_path)
        (tmp_path / 'demo').mkdir()
        (tmp_path / 'demo/bird.JPEG').write_bytes(cv2.imencode('.jpg', noise((300, 260)))[1])
        page = (reference_dir / 'pages/mmpretrain_hrnet.md').read_text(encoding='utf-8')
        snippets = re.findall(r'```python\n(.*?)```', page, re.DOTALL)
        assert len(snippets) == 2
        for snippet in snippets:
            exec(snippet.replace('from mmpretrain import', 'from hrdet import'), {})
        name, score, *kinds = capsys.readouterr().out.splitlines()
        assert name in imagenet_classes()
        assert 0 < float(score) <= 1
        assert kinds == ["<class 'torch.Tensor'>", "<class 'tuple'>"]


def test_the_same_pixels_as_a_data_set_s(tmp_path):
    """Of files with an alpha channel, palette, 16 bits or a turned camera."""
    from hrdet.data.datasets import ClassFolders

    folder = tmp_path / 'images/a'
    folder.mkdir(parents=True)
    rgba = np.dstack([noise((20, 30)), noise((20, 30), 1)[:, :, 0]])
    cv2.imwrite(str(folder / 'alpha.png'), rgba)
    cv2.imwrite(str(folder / 'deep.png'), noise((20, 30)).astype(np.uint16) * 257)
    cv2.imwrite(str(folder / 'grey.png'), rgba[:, :, 0])
    jpeg = cv2.imencode('.jpg', noise((20, 30)))[1].tobytes()
    exif = b'Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0'
    header = b'\xff\xe1' + (len(exif) + 2).to_bytes(2, 'big') + exif
    (folder / 'turned.jpg').write_bytes(jpeg[:2] + header + jpeg[2:])
    dataset = ClassFolders(data_prefix=str(tmp_path / 'images'))
    assert len(dataset) == 4
    for index in range(4):
        image = read_image(dataset.path(index))
        assert image.shape == ((30, 20, 3) if 'turned' in dataset.path(index) else (20, 30, 3))
        assert np.array_equal(image, dataset.image(index))
    assert np.array_equal(read_image(folder / 'alpha.png'), rgba[:, :, :3])


def test_the_names_are_in_the_package():
    assert set(hrdet._MODULES) <= set(dir(hrdet))
    for name, module in hrdet._MODULES.items():
        assert getattr(hrdet, name) is getattr(importlib.import_module(module), name)
    source = Path(hrdet.__file__).read_text(encoding='utf-8')
    imported = re.findall(r'    from (\S+) import (\w+) as \2\n', source)
    assert {name: module for module, name in imported} == hrdet._MODULES
    with pytest.raises(AttributeError, match="no attribute 'get_models'"):
        hrdet.get_models  # noqa: B018


def test_a_result_has_the_form_that_users_know():
    scores = torch.tensor([0.25, 0.75])
    assert ClassScores(scores).prediction(('ant', 'bee'))['pred_class'] == 'bee'
    labels = LabelMap(np.zeros((2, 2), np.uint8))
    assert labels.prediction(('ant',)) is labels
