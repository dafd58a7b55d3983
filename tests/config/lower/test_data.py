"""Data sets, transforms and loaders."""

import pytest

import hrdet.data
import hrdet.evaluation
import hrdet.models
import hrdet.tracking  # noqa: F401  all register their types
from hrdet.config import lower
from hrdet.registry import ConfigError


def kinds(node):
    return [transform['type'] for transform in node['transforms']]


def only(node, kind):
    (found,) = [transform for transform in node['transforms'] if transform['type'] == kind]
    return found


def loader(split):
    return {key: value for key, value in split.items() if key not in ('dataset', 'evaluator')}


def test_both_forms_mean_the_same(config, config_1x):
    """1.x loads no crowd regions; workers aside, everything else about the data is equal."""
    old, new = lower(config), lower(config_1x)
    for dataset in (old.train['dataset'], new.train['dataset']):
        assert kinds(dataset) == ['Resize', 'RandomFlip', 'Pad']
    assert old.train['dataset'].pop('with_crowd') is True
    assert new.train['dataset'].pop('with_crowd') is False
    for split in ('train', 'val', 'test'):
        assert getattr(old, split)['dataset'] == getattr(new, split)['dataset']
    assert old.model['preprocess'] == new.model['preprocess']


def test_paths_of_steps(config_1x):
    assert only(lower(config_1x).train['dataset'], 'Resize').path == 'data.train.pipeline[2]'
    resize = only(lower(config_1x).test['dataset'], 'Resize')
    assert resize.path == 'data.test.pipeline[1].transforms[0]'


def test_pad_size_belongs_to_training(config):
    config['data'] |= dict(pad_size=[1600, 1024], test_imgs_per_gpu=4)
    lowered = lower(config)
    assert loader(lowered.train) == dict(
        batch_size=2, num_workers=4, pad_size=(1600, 1024), size_divisor=32
    )
    assert loader(lowered.test) == dict(batch_size=4, num_workers=4, pad_size=None, size_divisor=32)


def test_preprocessing_pads_to_the_largest_divisor(config):
    config['data']['train']['size_divisor'] = 1
    lowered = lower(config)
    assert only(lowered.train['dataset'], 'Pad')['size_divisor'] == 1
    assert lowered.model['preprocess']['size_divisor'] == 32


@pytest.mark.parametrize(
    ('kind', 'to_rgb', 'order'),
    [
        ('CocoDataset', True, 'rgb'),
        ('CocoDataset', False, 'bgr'),
        # The release reads images in a zip as RGB and leaves them so.
        ('CocoZipDataset', False, 'rgb'),
    ],
)
def test_channel_order(config, kind, to_rgb, order):
    for split in ('train', 'val', 'test'):
        config['data'][split]['type'] = kind
        config['data'][split]['img_norm_cfg']['to_rgb'] = to_rgb
    lowered = lower(config)
    assert lowered.model['preprocess']['channel_order'] == order
    assert lowered.model['preprocess']['mean'] == (123.675, 116.28, 103.53)
    assert [w for w in lowered.warnings if 'looks like that of RGB' in w] == (
        lowered.warnings if order == 'bgr' else []
    )


def test_normalisations_must_agree(config):
    config['data']['val']['img_norm_cfg'] = dict(mean=[0, 0, 0], std=[1, 1, 1])
    with pytest.raises(ConfigError, match=r'data\.train\.img_norm_cfg and data\.val\.img_norm_cfg'):
        lower(config)


def test_scales_of_the_default_multi_scale_training(config):
    config['data']['train']['img_scale'] = [[1600, 1000], [1000, 600], [1333, 800]]
    resize = only(lower(config).train['dataset'], 'Resize')
    assert resize['scales'] == [(1600, 1000), (1000, 600), (1333, 800)]
    assert resize['multiscale_mode'] == 'value'


@pytest.mark.parametrize(
    ('kind', 'mode', 'meant'),
    [
        ('CocoDataset', None, 'value'),
        ('CocoDataset', 'range', 'range'),
        ('CocoZipDataset', None, 'range'),
        ('CocoZipDataset', 'value', 'value'),
    ],
)
def test_two_scales(config, kind, mode, meant):
    config['data']['train'] |= dict(type=kind, img_scale=[(1333, 640), (1333, 800)])
    if mode is not None:
        config['data']['train']['multiscale_mode'] = mode
    assert only(lower(config).train['dataset'], 'Resize')['multiscale_mode'] == meant


def test_extra_aug_in_the_order_of_the_release(config):
    config['data']['train']['extra_aug'] = dict(
        rand_resize_crop=dict(scales=[[1400, 600]], size=[1200, 800]),
        random_crop=dict(min_crop_size=0.5),
        expand=dict(mean=[1, 2, 3], to_rgb=False, ratio_range=(1, 2)),
        photo_metric_distortion=dict(hue_delta=10),
    )
    dataset = lower(config).train['dataset']
    assert kinds(dataset) == [
        'PhotoMetricDistortion',
        'Expand',
        'RandomCrop',
        'RandResizeCrop',  # resizes to scales of its own, so that img_scale is left alone
        'RandomFlip',
        'Pad',
    ]
    assert only(dataset, 'Expand')['to_rgb'] is False
    crop = only(dataset, 'RandResizeCrop')
    assert crop.path == 'data.train.extra_aug.rand_resize_crop'
    assert (crop['scales'], crop['size']) == ([[1400, 600]], [1200, 800])
    assert 'exact_scale' not in crop


@pytest.mark.parametrize('pad_size', [None, (1600, 1024)])
def test_crops_keep_their_orientation_where_batches_have_one_size(config, config_1x, pad_size):
    config['data']['train']['extra_aug'] = dict(random_crop=dict(min_crop_size=0.5))
    config_1x['data']['train']['pipeline'].insert(2, dict(type='MinIoURandomCrop'))
    for each in (config, config_1x):
        each['data']['pad_size'] = pad_size
        crop = only(lower(each).train['dataset'], 'RandomCrop')
        assert crop['keep_orientation'] is (pad_size is not None)


def test_the_canvas_of_expand_has_the_colour_of_the_release(config):
    """Its zip data set holds RGB where hrdet holds BGR: the mean is reversed there."""
    config['data']['train'] |= dict(type='CocoZipDataset', extra_aug=dict(expand={}))
    assert only(lower(config).train['dataset'], 'Expand')['to_rgb'] is False


def test_augmentations_as_steps(config_1x):
    config_1x['data']['train']['pipeline'][2:2] = [
        dict(type='PhotoMetricDistortion', hue_delta=10),
        dict(type='Expand', ratio_range=(1, 2)),
        dict(type='MinIoURandomCrop', min_ious=(0.5,), min_crop_size=0.3),
        dict(type='MyTransform', mine=1),
    ]
    dataset = lower(config_1x).train['dataset']
    assert kinds(dataset)[:4] == ['PhotoMetricDistortion', 'Expand', 'RandomCrop', 'MyTransform']
    assert only(dataset, 'MyTransform').path == 'data.train.pipeline[5]'


def test_masks_crowds_and_semantic_maps(config, config_1x):
    config['data']['train'] |= dict(
        with_mask=True,
        with_crowd=False,
        with_semantic_seg=True,
        seg_prefix='maps',
        seg_scale_factor=0.125,
    )
    steps = config_1x['data']['train']['pipeline']
    steps[1] |= dict(with_mask=True, with_seg=True)
    steps.insert(6, dict(type='SegRescale', scale_factor=0.125))
    config_1x['data']['train']['seg_prefix'] = 'maps'
    for each in (config, config_1x):
        dataset = lower(each).train['dataset']
        assert (dataset['with_mask'], dataset['with_crowd']) == (True, False)
        assert dataset['seg_prefix'] == 'maps'
        assert dataset['transforms'][-1] == dict(type='SegRescale', scale_factor=0.125)


def test_options_of_a_data_set(config):
    config['data']['train'] |= dict(
        data_root='/archive',
        ann_file='a.json',
        img_prefix='/elsewhere/images',
        proposal_file='p.pkl',
        num_max_proposals=300,
        skip_img_without_anno=False,
        min_size=8,
    )
    dataset = lower(config).train['dataset']
    assert dataset['ann_file'] == '/archive/a.json'
    assert dataset['img_prefix'] == '/elsewhere/images'
    assert dataset['proposal_file'] == '/archive/p.pkl'
    assert dataset['num_max_proposals'] == 300
    assert dataset['filter_empty'] is False
    assert dataset['min_size'] == 8
    assert 'data_root' not in dataset


def test_lists_are_joined(config):
    train = config['data']['train']
    config['data']['train'] = [train, train | dict(ann_file='b.json')]
    joined = lower(config).train['dataset']
    assert joined['type'] == 'ConcatDataset'
    assert [node['ann_file'] for node in joined['datasets']] == [train['ann_file'], 'b.json']

    files = dict(ann_file=['a.json', 'b.json'], img_prefix=['a', 'b'])
    repeat = dict(type='RepeatDataset', times=3, dataset=train | files)
    config['data']['train'] = dict(type='ClassBalancedDataset', oversample_thr=0.1, dataset=repeat)
    node = lower(config).train['dataset']
    assert (node['type'], node['oversample_thr']) == ('ClassBalancedDataset', 0.1)
    assert (node['dataset']['type'], node['dataset']['times']) == ('RepeatDataset', 3)
    parts = node['dataset']['dataset']['datasets']
    assert [(p['ann_file'], p['img_prefix']) for p in parts] == [('a.json', 'a'), ('b.json', 'b')]


def test_classes(config):
    assert lower(config).classes is None
    assert 'classes' not in lower(config).train['dataset']
    config['classes'] = ['cat', 'dog']
    lowered = lower(config)
    assert lowered.classes == ('cat', 'dog')
    assert lowered.test['dataset']['classes'] == ('cat', 'dog')
    config['data']['val']['classes'] = ('dog', 'cat')
    with pytest.raises(ConfigError, match=r'data\.train\.classes and data\.val\.classes differ'):
        lower(config)


def test_a_config_that_only_predicts(config):
    del config['data']['train'], config['data']['val']
    del config['optimizer'], config['total_epochs']
    lowered = lower(config)
    assert (lowered.train, lowered.training) == (None, None)
    with pytest.raises(ConfigError, match=r'data\.train: training needs this key'):
        lowered.check_trainable()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(img_scal=(1, 1)), r"data\.train\.img_scal: .*did you mean 'img_scale'"),
        (dict(ann_flie='x'), r"data\.train\.ann_flie: .*did you mean 'ann_file'"),
        (dict(img_scale=1333), r'data\.train\.img_scale: 1333 is not a pair'),
        (dict(img_scale=[]), r'data\.train\.img_scale: \[\] is not a pair'),
        (dict(img_scale=(1333, 800.5)), r'data\.train\.img_scale: .* is not a pair'),
        (dict(flip=True), r'data\.train\.flip: training takes flip_ratio'),
        (dict(multiscale_mode='rnage'), r"multiscale_mode: .*did you mean 'range'"),
        (dict(multiscale_mode='range', img_scale=[(9, 8)] * 3), r'a range has two ends, .* 3 sc'),
        (
            dict(img_norm_cfg=dict(mean=[1], std=[1])),
            r'img_norm_cfg\.mean: \[1\] is not a list of three numbers',
        ),
        (dict(img_norm_cfg=dict(mean=[1, 2, 3])), r'img_norm_cfg\.std: this key is required'),
        (dict(extra_aug=dict(crop={})), r'data\.train\.extra_aug\.crop: there is no such key'),
        (dict(with_label=False), r'data\.train\.with_label: '),
        (dict(with_semantic_seg=True), r'data\.train\.seg_prefix: this key is required'),
        (dict(classes='cat'), r"data\.train\.classes: .*\('cat',\) with the comma"),
        (dict(classes=('cat', 'dog', 'cat')), r'data\.train\.classes: .* twice: cat'),
        (dict(ann_file=['a', 'b'], img_prefix=['c']), r'img_prefix: 1 entries, but 2 annotation'),
        (dict(pipeline=[]), r'data\.train\.img_scale: there is no such key'),
    ],
)
def test_mistakes_in_a_data_set(config, change, message):
    config['data']['train'] |= change
    with pytest.raises(ConfigError, match=message):
        lower(config).check()


@pytest.mark.parametrize('value', [0, False, '', []])
def test_a_split_that_is_no_data_set(config, value):
    config['data']['val'] = value
    with pytest.raises(ConfigError, match=r'data\.val: '):
        lower(config).check()


SCALES = [(1333, 800), (1000, 600)]


def views(node):
    """(scale, mirrored) of each view; all transforms beside these are alike."""
    (step,) = node['transforms']
    assert step['type'] == 'AugmentedViews'
    found = []
    for view in step['views']:
        resize, *rest = view
        mirrored = [dict(type='RandomFlip', ratio=1)] * (len(rest) - 1)
        assert rest == [*mirrored, dict(type='Pad', size_divisor=32)]
        (scale,) = resize.pop('scales')
        assert resize['type'] == 'Resize'
        assert resize['multiscale_mode'] == 'value'
        found.append((scale, bool(mirrored)))
    return found


@pytest.mark.parametrize('split', ['val', 'test'])
@pytest.mark.parametrize(
    ('scale', 'flip', 'expected'),
    [
        (SCALES, False, [(SCALES[0], False), (SCALES[1], False)]),
        ((640, 480), True, [((640, 480), False), ((640, 480), True)]),
        (SCALES, True, [(s, mirrored) for s in SCALES for mirrored in (False, True)]),
    ],
)
def test_scales_and_flips_of_a_test_are_its_views(config, config_1x, split, scale, flip, expected):
    """The same in the three spellings: ``flip_ratio`` above 0, ``flip``, MultiScaleFlipAug."""
    for spelling in (dict(flip_ratio=0.5 * flip), dict(flip=flip)):
        config['data'][split].pop('flip_ratio', None)
        config['data'][split] |= dict(img_scale=scale, **spelling)
        lowered = lower(config)
        assert views(getattr(lowered, split)['dataset']) == expected
        assert lowered.test['size_divisor'] == 32
        del config['data'][split]['flip' if 'flip' in spelling else 'flip_ratio']
    config_1x['data'][split]['pipeline'][1] |= dict(img_scale=scale, flip=flip)
    lowered = lower(config_1x)
    node = getattr(lowered, split)['dataset']
    assert node['transforms'][0]['views'][0][0].path == f'data.{split}.pipeline[1].transforms[0]'
    assert views(node) == expected
    assert getattr(lowered, split)['size_divisor'] == 32
    assert lowered.model['preprocess']['mean'] == (123.675, 116.28, 103.53)


def test_a_zip_data_set_takes_two_scales_of_a_test_for_two_views(config):
    """Not, as in training, for the ends of a range."""
    config['data']['test'] |= dict(type='CocoZipDataset', img_scale=SCALES)
    assert views(lower(config).test['dataset']) == [(SCALES[0], False), (SCALES[1], False)]


def test_one_view_is_an_ordinary_test(config, config_1x):
    plain = lower(config).test['dataset']
    config['data']['test'] |= dict(img_scale=[(1333, 800)], flip=False)
    config_1x['data']['test']['pipeline'][1] |= dict(img_scale=[(1333, 800)], flip=False)
    assert kinds(plain) == ['Resize', 'Pad']
    assert lower(config).test['dataset'] == plain
    assert kinds(lower(config_1x).test['dataset']) == ['Resize', 'Pad']


def test_a_test_may_mirror_every_image(config_1x):
    steps = config_1x['data']['test']['pipeline'][1].pop('transforms')
    steps[0]['img_scale'], steps[1]['flip_ratio'] = (1333, 800), 1
    config_1x['data']['test']['pipeline'][1:] = steps
    assert kinds(lower(config_1x).test['dataset']) == ['Resize', 'RandomFlip', 'Pad']
    steps[1]['flip_ratio'] = 0.5
    with pytest.raises(
        ConfigError, match=r'pipeline\[2\]\.flip_ratio: .* all images \(1\) or none'
    ):
        lower(config_1x)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(img_scale=[]), r'data\.test\.img_scale: \[\] is not a pair'),
        (dict(ann_file=['a', 'b']), r'data\.test: an evaluation takes one data set'),
        (dict(type='RepeatDataset'), r'data\.test: an evaluation takes one data set'),
    ],
)
def test_a_test_takes_images_as_they_are(config, change, message):
    config['data']['test'] |= change
    with pytest.raises(ConfigError, match=message):
        lower(config)


@pytest.mark.parametrize(
    ('step', 'change', 'message'),
    [
        (2, dict(img_scal=1), r"data\.train\.pipeline\[2\]\.img_scal: .*'img_scale'"),
        (4, dict(type='Pad'), r'pipeline\[4\]\.mean: there is no such key'),
        (1, dict(with_bbox=False), r'pipeline\[1\]\.with_bbox: '),
    ],
)
def test_mistakes_in_a_step(config_1x, step, change, message):
    config_1x['data']['train']['pipeline'][step] |= change
    with pytest.raises(ConfigError, match=message):
        lower(config_1x)


def _without(kind):
    def change(steps):
        steps[1] |= dict(flip=True, img_scale=SCALES)
        steps[1]['transforms'] = [s for s in steps[1]['transforms'] if s['type'] != kind]

    return change


@pytest.mark.parametrize(
    ('split', 'change', 'message'),
    [
        ('test', _without('RandomFlip'), r"\[1\]\.flip: needs a step dict\(type='RandomFlip'\)"),
        ('test', _without('Resize'), r"\[1\]\.img_scale: needs a step dict\(type='Resize'\)"),
        ('test', lambda s: s[1].update(img_scale=3), r'pipeline\[1\]\.img_scale: 3 is not a pair'),
        (
            'test',
            lambda s: (s[1].update(flip=True), s.append(dict(type='MyTransform'))),
            r'pipeline\[2\]: MultiScaleFlipAug must be the last step',
        ),
        (
            'test',
            lambda s: s.insert(1, dict(type='Resize', img_scale=SCALES)),
            r'\[1\]\.img_scale: .*MultiScaleFlipAug takes all',
        ),
        (
            'train',
            lambda s: s.append(dict(type='MultiScaleFlipAug', img_scale=(9, 9), transforms=[])),
            r'pipeline\[8\]: test-time augmentation belongs to data\.val and data\.test',
        ),
    ],
)
def test_mistakes_in_test_time_augmentation(config_1x, split, change, message):
    change(config_1x['data'][split]['pipeline'])
    with pytest.raises(ConfigError, match=message):
        lower(config_1x)


def test_a_pipeline_without_normalisation(config_1x):
    del config_1x['data']['train']['pipeline'][4]
    with pytest.raises(ConfigError, match=r"data\.train\.pipeline: there is no step .*'Normalize'"):
        lower(config_1x)
