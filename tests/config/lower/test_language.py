"""Which language a config is in, and what is said of a key of another one."""

import re

import pytest

from hrdet.config import Node, load_config, lower
from hrdet.config.lower.dialects import TITLES, foreign_key
from hrdet.config.lower.language import LANGUAGES, language_of
from hrdet.registry import ConfigError
from tests.config.published import CONFIGS


@pytest.mark.parametrize(
    ('config', 'language'),
    [
        (dict(model=dict(type='FasterRCNN'), data=dict(imgs_per_gpu=2)), 'release'),
        (dict(model=dict(type='FasterRCNN')), 'release'),
        (dict(model=dict(type='FasterRCNN', roi_head=dict())), 'openmmlab1'),
        (dict(model=dict(roi_head=dict()), data=dict(), optimizer=dict()), 'openmmlab1'),
        (dict(model=dict(), data=dict(samples_per_gpu=2)), 'openmmlab1'),
        (dict(model=dict(decode_head=dict()), data=dict(), runner=dict()), 'openmmlab1'),
        (dict(model=dict(roi_head=dict(), data_preprocessor=dict())), 'openmmlab2'),
        (dict(model=dict(head=dict()), train_dataloader=dict()), 'openmmlab2'),
        (dict(train_cfg=dict(by_epoch=True), model=dict(head=dict())), 'openmmlab2'),
        (dict(train_cfg=dict(rpn=dict()), model=dict()), 'release'),
        # A variable of the config file's own is no key of another language.
        (dict(optimizer=dict(), optim_wrapper=dict(), train_dataloader=dict()), 'openmmlab2'),
        (dict(language='lowered', train_dataloader=dict()), 'lowered'),
    ],
)
def test_a_language_is_recognised_by_its_keys(config, language):
    assert language_of(config) == language


@pytest.mark.parametrize(
    'name', ['faster_rcnn_hrnetv2p_w18_small', 'hrnet-w18-small_classification', 'fcn_hr18s']
)
def test_every_part_knows_where_its_values_were_written(name):
    run = lower(load_config(CONFIGS / f'quickstart/{name}.py'))

    def parts(value):
        if isinstance(value, Node):
            yield value
        if isinstance(value, (dict, list, tuple)):
            for part in value.values() if isinstance(value, dict) else value:
                yield from parts(part)

    found = list(parts([run.model, run.train, run.val, run.test]))
    assert len(found) > 10
    assert all('model' in part.origins for part in found)


def test_every_language_has_a_title():
    assert tuple(TITLES) == LANGUAGES


@pytest.mark.parametrize(
    ('key', 'language', 'wanted'),
    [
        ('data.samples_per_gpu', 'release', 'OpenMMLab 1 .* has data.imgs_per_gpu'),
        ('runner', 'release', 'OpenMMLab 1 .* has total_epochs or total_iters'),
        ('optim_wrapper', 'release', 'OpenMMLab 2 .* has optimizer, optimizer_config and amp'),
        ('data.imgs_per_gpu', 'openmmlab1', '2019 language .* has data.samples_per_gpu'),
        ('default_hooks', 'openmmlab1', 'OpenMMLab 2 .* has checkpoint_config'),
        ('lr_config', 'openmmlab2', '2019 language .* has param_scheduler'),
        ('model.bbox_head', 'openmmlab2', '2019 language .* has model.roi_head'),
        ('train_dataloader.dataset.pipeline[2].flip_ratio', 'openmmlab2', 'has prob'),
        ('train_dataloader.samples_per_gpu', 'openmmlab2', 'has batch_size'),
        ('data.batch_size', 'openmmlab1', 'has samples_per_gpu'),
    ],
)
def test_a_key_of_another_language(key, language, wanted):
    assert re.search(wanted, foreign_key(key, language))


@pytest.mark.parametrize('key', ['data.train.min_size', 'optimizer.lr', 'model'])
def test_a_key_that_no_other_language_has(key):
    assert foreign_key(key, 'release') is None


def test_an_error_says_whose_key_it_is(config):
    config['data']['samples_per_gpu'] = 2
    wanted = r'data\.samples_per_gpu: a key of OpenMMLab 1 .*; the 2019 language .*imgs_per_gpu'
    with pytest.raises(ConfigError, match=wanted):
        lower(config)


@pytest.mark.parametrize(
    ('path', 'wanted'),
    [
        ('data.imgs_per_gpu', 'has train_dataloader.batch_size'),
        ('data.train.ann_file', 'has train_dataloader'),
        ('lr_config.step', 'has param_scheduler'),
        ('optimizr.lr', 'there is no such key here'),
    ],
)
def test_an_override_in_another_language(path, wanted):
    with pytest.raises(ConfigError, match=f'{path}: .*{wanted}'):
        load_config(CONFIGS / 'hrnet/hrnet-w18_4xb32_in1k.py', {path: 1})


RGB, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
NORMS = {
    'hrnet/faster_rcnn_hrnetv2p_w18_1x.py': 'img_norm_cfg',
    'hrnet/fcn_hr18_512x1024_40k_cityscapes.py': 'pipeline',
    'hrnet/hrnet-w18_4xb32_in1k.py': 'data_preprocessor',
}


def with_norm(tree, **norm):
    """A config with another normalisation wherever it states one."""
    if isinstance(tree, dict):
        changed = norm if 'mean' in tree and 'std' in tree else {}
        return {key: with_norm(value, **norm) for key, value in tree.items()} | changed
    return (
        type(tree)(with_norm(v, **norm) for v in tree) if isinstance(tree, (list, tuple)) else tree
    )


@pytest.mark.parametrize('name', NORMS)
@pytest.mark.parametrize(
    ('norm', 'message'),
    [
        (dict(mean=RGB, std=STD, to_rgb=True), None),
        (dict(mean=RGB[::-1], std=STD[::-1], to_rgb=False), None),
        (dict(mean=RGB, std=STD, to_rgb=False), 'looks like that of RGB images.*to_rgb=True'),
        (dict(mean=RGB[::-1], std=STD[::-1], to_rgb=True), 'of BGR images.*to_rgb=False'),
        (dict(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225], to_rgb=True), 'by 255'),
        (dict(mean=[0, 0, 0], std=[255, 255, 255], to_rgb=True), None),
    ],
)
def test_a_mean_of_other_pixels_is_told_in_every_language(name, norm, message):
    config = with_norm(load_config(CONFIGS / name).to_dict(), **norm)
    found = [text for text in lower(config).warnings if 'the mean' in text]
    assert len(found) == (message is not None)
    assert not message or (re.search(message, found[0]) and NORMS[name] in found[0])
