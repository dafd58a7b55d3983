"""Key lists of every published detector into hrdet's layout, and rows moved one by one."""

import re

import pytest
import torch

from hrdet.checkpoints.families import Family, convert, recognise

KINDS = ('faster_rcnn', 'mask_rcnn', 'cascade_rcnn', 'cascade_mask_rcnn', 'htc', 'fcos')
CASCADE = ('0.', '1.', '2.')


def meta_weights(shapes):
    return {key: torch.empty(shape, device='meta') for key, shape in shapes.items()}


@pytest.fixture(scope='session')
def modern_shapes(reference_dir, shapes_of):
    """``modern_shapes('mask_rcnn_hrnetv2p_w32_2x')`` -> what mmdetection 3 calls that model's."""

    def read(name):
        kind, width = re.match(r'(\w+?)_hrnetv2p_w(\d+)', name).groups()
        known = '40' if width == '48' else width  # its HRNet configs end at W40
        kind = kind.replace('_', '-')
        files = sorted((reference_dir / 'manifests/mmdet3').glob(f'{kind}_hrnetv2p-w{known}*'))
        shapes = shapes_of(f'mmdet3/{files[0].stem}', light=False)
        if width == '48':
            shapes = {key: widened(key, shape) for key, shape in shapes.items()}
        return shapes

    return read


def widened(key, shape):
    """W40's shape as W48's: stage s has channels 40, 80, ...; everything else is the same."""
    if key == 'neck.reduction_conv.conv.weight':
        return (shape[0], 15 * 48, 1, 1)
    if key.startswith(('backbone.stage', 'backbone.transition')):
        return tuple(n * 6 // 5 if n in (40, 80, 160, 320) else n for n in shape)
    return shape


def names_of(folder):
    """Of the manifests' files; listed here because collecting tests must not need them."""
    if folder == 'mmdet1':
        endings = dict(zip(KINDS, ('1x', '1x', '20e', '20e', '20e', 'gn_1x_4gpu')))
        return [f'{k}_hrnetv2p_w{w}_{e}' for k, e in endings.items() for w in (18, 32, 40, 48)]
    faster = ('', 'randresizecrop_', 'syncbn_', 'syncbn_mstrain_', 'syncbn_randresizecrop_')
    names = [f'w18_{s}{e}' for s in faster for e in ('1x', '2x') if (s, e) != ('syncbn_', '2x')]
    names += [f'w32_{s}{e}' for s in ('', 'syncbn_mstrain_') for e in ('1x', '2x')]
    names = [f'faster_rcnn_hrnetv2p_{n}' for n in (*names, 'w40_1x', 'w40_2x')]
    names += [f'mask_rcnn_hrnetv2p_w{w}_{e}' for w in (18, 32) for e in ('1x', '2x')]
    return [*names, 'cascade_rcnn_hrnetv2p_w32']


@pytest.mark.parametrize(('folder', 'name', 'family'), [
    *(('hrnet_release', name, Family.HRNET_DETECTION) for name in names_of('hrnet_release')),
    *(('mmdet1', name, Family.MMDET1) for name in names_of('mmdet1')),
])  # fmt: skip
def test_key_lists_of_2019_become_those_of_mmdetection_3(
    folder, name, family, shapes_of, modern_shapes
):
    theirs = meta_weights(shapes_of(f'{folder}/{name}', light=False))
    assert recognise(theirs, {}) is family
    ours = convert(theirs, family)
    assert {k: tuple(v.shape) for k, v in ours.weights.items()} == modern_shapes(name)
    assert ours.dropped == []


def test_every_list_is_looked_at(reference_dir):
    for folder in ('hrnet_release', 'mmdet1'):
        files = {f.stem for f in (reference_dir / 'manifests' / folder).glob('*hrnetv2p*.json')}
        assert files == set(names_of(folder))


def test_key_lists_of_mmdetection_3_stay(reference_dir, shapes_of):
    files = sorted((reference_dir / 'manifests/mmdet3').glob('*.json'))
    assert len(files) == 29
    for file in files:
        theirs = meta_weights(shapes_of(f'mmdet3/{file.stem}', light=False))
        assert recognise(theirs, {}) is Family.MMDET3
        ours = convert(theirs, Family.MMDET3)
        assert ours.weights == theirs
        assert (ours.renamed, ours.reordered, ours.dropped) == (0, [], [])


def test_a_detector_on_another_backbone_keeps_its_trunk(shapes_of, modern_shapes):
    """The 2019 release's ResNet-101 with FPN: heads as any cascade, the rest untouched."""
    theirs = shapes_of('hrnet_release/cascade_rcnn_r101_fpn', light=False)
    ours = convert(meta_weights(theirs), recognise(meta_weights(theirs), {})).weights
    heads = {k: s for k, s in modern_shapes('cascade_rcnn_hrnetv2p_w18').items() if 'head' in k}
    assert {k: tuple(v.shape) for k, v in ours.items() if 'head' in k} == heads
    assert ours.keys() - heads.keys() == {k for k in theirs if 'head' not in k}


@pytest.mark.parametrize('width', [18, 30, 32, 40, 44, 48, 64, '18_small_v1', '18_small_v2'])
def test_a_classifier_is_one_of_mmpretrain(width, shapes_of):
    theirs = meta_weights(shapes_of(f'hrnet_release/cls_hrnet_w{width}', light=False))
    assert recognise(theirs, {}) is Family.CLASSIFIER
    ours = convert(theirs, Family.CLASSIFIER)
    assert ours.dropped == []
    assert len(ours.folded) == 4  # the three stride-2 convolutions and the last one
    heads = ('incre_modules.', 'downsamp_modules.', 'final_layer.', 'classifier.')
    backbone = {f'backbone.{k}': v for k, v in theirs.items() if not k.startswith(heads)}
    assert {k: v for k, v in ours.weights.items() if k.startswith('backbone.')} == backbone
    if not str(width).startswith('18_'):
        known = shapes_of(f'tasks/mmpretrain_hrnet_w{width}', light=False)
        assert {key: tuple(value.shape) for key, value in ours.weights.items()} == known
        assert recognise(meta_weights(known), {}) is Family.MMPRETRAIN


@pytest.mark.parametrize(('name', 'mmseg'), [
    ('w48', 'hr48'), ('w18_small_v2', 'hr18s'), ('w18_small_v1', None)
])  # fmt: skip
def test_an_official_segmentor_is_one_of_mmsegmentation(name, mmseg, shapes_of):
    shapes = shapes_of(f'tasks/official_seg_{name}', light=False)
    # As torch 0.4.1 saved it, and as a training script wraps it.
    theirs = meta_weights({k: v for k, v in shapes.items() if 'num_batches' not in k})
    assert recognise(theirs, {}) is Family.HRNET_SEGMENTATION
    ours = convert(theirs, Family.HRNET_SEGMENTATION)
    assert ours.folded == ['decode_head.convs.0.conv.bias']
    if mmseg is not None:
        known = shapes_of(f'tasks/mmseg_fcn_{mmseg}', light=False)
        assert {key: tuple(value.shape) for key, value in ours.weights.items()} == known
        assert recognise(meta_weights(known), {}) is Family.MMSEG


def test_a_folded_bias_gives_the_same_outputs():
    torch.manual_seed(0)
    conv, norm = torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    images = torch.randn(2, 3, 5, 5)
    expected = norm.eval()(conv(images))
    theirs = {'last_layer.3.weight': torch.zeros(2, 4, 1, 1)}
    theirs |= {f'last_layer.0.{k}': v for k, v in conv.state_dict().items()}
    theirs |= {f'last_layer.1.{k}': v for k, v in norm.state_dict().items()}
    ours = convert(theirs, recognise(theirs, {})).weights
    plain = torch.nn.Conv2d(3, 4, 1, bias=False)
    plain.load_state_dict({'weight': ours['decode_head.convs.0.conv.weight']})
    prefix = 'decode_head.convs.0.bn.'
    norm.load_state_dict({k.removeprefix(prefix): v for k, v in ours.items() if prefix in k})
    torch.testing.assert_close(norm(plain(images)), expected)


def numbered(rows):
    """(rows, 2): every value tells its row."""
    return torch.arange(2.0 * rows).view(rows, 2)


@pytest.mark.parametrize('stage', ['', *CASCADE])
@pytest.mark.parametrize('leaf', ['weight', 'bias'])
def test_rows_of_classes_boxes_and_masks(stage, leaf):
    """K = 3: background first becomes background last, and has no box and no mask."""
    part = (lambda rows: rows) if leaf == 'weight' else (lambda rows: rows[:, 0])
    theirs = {
        f'bbox_head.{stage}fc_cls.weight': numbered(4),
        f'bbox_head.{stage}fc_cls.{leaf}': part(numbered(4)),
        f'bbox_head.{stage}fc_reg.{leaf}': part(numbered(16)),
        f'mask_head.{stage}conv_logits.{leaf}': part(numbered(4)),
        f'mask_head.{stage}upsample.{leaf}': part(numbered(4)),
        f'semantic_head.conv_logits.{leaf}': part(numbered(4)),
    }
    ours = convert(theirs, recognise(theirs, {})).weights
    expected = {
        f'bbox_head.{stage}fc_cls.weight': [[2, 3], [4, 5], [6, 7], [0, 1]],
        f'bbox_head.{stage}fc_cls.{leaf}': [[2, 3], [4, 5], [6, 7], [0, 1]],
        f'bbox_head.{stage}fc_reg.{leaf}': [[2 * i, 2 * i + 1] for i in range(4, 16)],
        f'mask_head.{stage}conv_logits.{leaf}': [[2, 3], [4, 5], [6, 7]],
        f'mask_head.{stage}upsample.{leaf}': [[0, 1], [2, 3], [4, 5], [6, 7]],
        f'semantic_head.conv_logits.{leaf}': [[0, 1], [2, 3], [4, 5], [6, 7]],
    }
    assert ours.keys() == {f'roi_head.{key}' for key in expected}
    for key, rows in expected.items():
        wanted = torch.tensor(rows, dtype=torch.float32)
        wanted = wanted if key.endswith('weight') else wanted[:, 0]
        assert torch.equal(ours[f'roi_head.{key}'], wanted), key


def test_what_is_shared_by_all_classes_stays():
    theirs = {
        'bbox_head.fc_cls.weight': numbered(4),
        'bbox_head.fc_reg.weight': numbered(4),
        'mask_head.conv_logits.bias': numbered(1),
    }
    ours = convert(theirs, Family.MMDET1)
    assert torch.equal(ours.weights['roi_head.bbox_head.fc_reg.weight'], numbered(4))
    assert torch.equal(ours.weights['roi_head.mask_head.conv_logits.bias'], numbered(1))
    assert ours.reordered == ['roi_head.bbox_head.fc_cls.weight']


@pytest.mark.parametrize(('version', 'family'), [
    (None, Family.MMDET1), ('1.0rc0+1234abc', Family.MMDET1), ('2.0.0+1234abc', Family.MMDET3),
])  # fmt: skip
def test_fcos_classes_stay_in_place(version, family):
    """FCOS has no background row; 2.0 still uses 1.x's names but continuous boxes."""
    theirs = {
        f'bbox_head.fcos_{part}.{leaf}': numbered(rows)
        for part, rows in (('cls', 3), ('reg', 4), ('centerness', 1))
        for leaf in ('weight', 'bias')
    }
    assert recognise(theirs, {'mmdet_version': version} if version else {}) is family
    ours = convert(theirs, family)
    assert ours.reordered == []
    assert ours.renamed == len(theirs)
    for key, value in theirs.items():
        assert torch.equal(ours.weights[key.replace('fcos_', 'conv_')], value)


def test_the_unused_layer_of_old_htc_files_is_dropped_by_name(shapes_of, modern_shapes):
    name = 'htc_hrnetv2p_w18_20e'
    shapes = shapes_of(f'mmdet1/{name}', light=False)
    unused = {
        'mask_head.0.conv_res.conv.weight': (256, 256, 1, 1),
        'mask_head.0.conv_res.conv.bias': (256,),
    }
    ours = convert(meta_weights(shapes | unused), Family.MMDET1)
    assert ours.weights.keys() == modern_shapes(name).keys()
    assert ours.dropped == list(unused)
