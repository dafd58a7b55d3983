"""Every family into one layout, against key lists of the releases and index-by-index moves."""

import logging

import pytest
import torch
from torch import nn

from hrdet.checkpoints import (
    CheckpointError,
    Family,
    load_backbone,
    load_checkpoint,
    save_checkpoint,
)

MMDET3 = 'mmdet3/faster-rcnn_hrnetv2p-w18-1x_coco'


@pytest.fixture
def model(shapes_of, key_list_model):
    return key_list_model(thin(shapes_of(MMDET3)))


@pytest.fixture
def published(shapes_of, weights_for):
    """A 2019 release's state_dict for ``model``."""
    return weights_for(thin(shapes_of('hrnet_release/faster_rcnn_hrnetv2p_w18_1x')))


def thin(shapes):
    """Few columns, all rows: enough to see where a row went."""
    return {key: (*shape[:1], *(min(n, 2) for n in shape[1:])) for key, shape in shapes.items()}


def as_in(family, modern):
    """mmdetection 3's weights as ``family`` would have written them; the background is 9."""

    def background(like, rows):
        return torch.full((rows, *like.shape[1:]), 9.0)

    old = {}
    for key, value in modern.items():
        name = key.removeprefix('roi_head.').replace('bbox_head.conv_', 'bbox_head.fcos_')
        if family is Family.HRNET_DETECTION:
            name = name.replace('neck.reduction_conv.conv.', 'neck.reduction_conv.0.')
            for level in range(5):
                name = name.replace(f'fpn_convs.{level}.conv.', f'fpn_conv.{level}.')
        if '.fc_cls.' in key:
            value = torch.cat((value[80:], value[:80]))
        elif '.fc_reg.' in key and len(value) == 320:
            value = torch.cat((background(value, 4), value))
        elif 'mask_head' in key and '.conv_logits.' in key:
            value = torch.cat((background(value, 1), value))
        old[name] = value
    return old


@pytest.mark.parametrize(('family', 'name'), [
    (Family.HRNET_DETECTION, 'faster-rcnn_hrnetv2p-w18-1x_coco'),
    (Family.HRNET_DETECTION, 'mask-rcnn_hrnetv2p-w18-1x_coco'),
    (Family.HRNET_DETECTION, 'cascade-rcnn_hrnetv2p-w18-20e_coco'),
    (Family.MMDET1, 'faster-rcnn_hrnetv2p-w18-1x_coco'),
    (Family.MMDET1, 'mask-rcnn_hrnetv2p-w18-1x_coco'),
    (Family.MMDET1, 'cascade-mask-rcnn_hrnetv2p-w18_20e_coco'),
    (Family.MMDET1, 'htc_hrnetv2p-w18_20e_coco'),
    (Family.MMDET1, 'fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco'),
    (Family.MMDET3, 'htc_hrnetv2p-w18_20e_coco'),
    (Family.MMDET3, 'fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco'),
])  # fmt: skip
def test_every_value_of_every_family_finds_its_place(
    family, name, shapes_of, key_list_model, weights_for
):
    shapes = thin(shapes_of(f'mmdet3/{name}'))
    modern, model = weights_for(shapes), key_list_model(shapes)
    report = load_checkpoint(model, modern if family is Family.MMDET3 else as_in(family, modern))
    assert report.family is family
    assert report.loaded == len(modern)
    for key, value in model.state_dict().items():
        assert torch.equal(value, modern[key]), key


@pytest.mark.parametrize('wrap', [
    lambda w: {'state_dict': w, 'meta': {'CLASSES': ('a', 'b')}},
    lambda w: {'model': w, 'epoch': 3},
    lambda w: {'state_dict': {'state_dict': w}},
    lambda w: {'model': {'state_dict': {'model': {'model': w}}}, 'epoch': 3},
    lambda w: {f'module.{k}': v for k, v in w.items()},
    lambda w: {'state_dict': {f'module._orig_mod.{k}': v for k, v in w.items()}},
    lambda w: {k: v.half() if v.is_floating_point() else v for k, v in w.items()},
    lambda w: {f'module.{k}': v for k, v in w.items()} | {'n_averaged': torch.tensor(1)},
])  # fmt: skip
def test_wrappings(wrap, published, model, tmp_path):
    save_checkpoint(tmp_path / 'a.pth', wrap(published))
    report = load_checkpoint(model, tmp_path / 'a.pth')
    assert report.complete
    bias = model.state_dict()['roi_head.bbox_head.fc_cls.bias']
    assert bias.dtype == torch.float32
    # half precision keeps 11 bits: values of a few units are off by at most 2^-10
    torch.testing.assert_close(bias[80], published['bbox_head.fc_cls.bias'][0], atol=1e-3, rtol=0)


def test_a_checkpoint_inside_a_checkpoint_keeps_its_meta(published, model):
    inner = {'state_dict': published, 'meta': {'classes': ['cat', 'dog']}}
    assert load_checkpoint(model, {'state_dict': inner}).classes == ('cat', 'dog')


@pytest.mark.parametrize('meta', [
    {'classes': ['cat', 'dog']}, {'CLASSES': ('cat', 'dog')},
    {'dataset_meta': {'classes': ('cat', 'dog')}}, {'dataset_meta': {'CLASSES': ['cat', 'dog']}},
])  # fmt: skip
def test_class_names_travel(meta, published, model):
    report = load_checkpoint(model, {'state_dict': published, 'meta': meta})
    assert report.classes == ('cat', 'dog')


def test_missing_unexpected_and_misshaped_are_refused_and_reported(published, model):
    del published['backbone.conv1.weight']
    published['neck.extra'] = torch.zeros(1)
    published['rpn_head.rpn_cls.bias'] = torch.zeros(5)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(CheckpointError) as refusal:
        load_checkpoint(model, published)
    text = str(refusal.value)
    assert text.count('loaded') == text.count('Nothing was loaded') == 1
    assert 'in the model but not in the file (1): backbone.conv1.weight' in text
    assert 'in the file but not in the model (1): neck.extra' in text
    assert 'rpn_head.rpn_cls.bias (file (5,), model (3,))' in text
    assert 'load_checkpoint(model, file, strict=False) loads what fits' in text
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items()), 'half loaded'

    report = load_checkpoint(model, published, strict=False)
    assert report.missing == ['backbone.conv1.weight']
    assert report.unexpected == ['neck.extra']
    assert report.mismatched == [('rpn_head.rpn_cls.bias', (5,), (3,))]
    assert report.loaded == len(before) - 2
    assert model.state_dict()['neck.reduction_conv.conv.bias'].any()


class TestAnotherNumberOfClasses:
    @pytest.fixture(params=['faster-rcnn', 'htc', 'fcos'])
    def other(self, request, shapes_of, key_list_model, weights_for):
        """A published state_dict of 80 classes, and a model of 20 that starts as zeros."""
        files = {
            'faster-rcnn': 'faster-rcnn_hrnetv2p-w18-1x_coco',
            'htc': 'htc_hrnetv2p-w18_20e_coco',
            'fcos': 'fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco',
        }
        shapes = thin(shapes_of(f'mmdet3/{files[request.param]}'))
        counts = {81: 21, 80: 20, 320: 80}
        smaller = {
            key: (counts.get(shape[0], shape[0]), *shape[1:])
            if 'head' in key and 'semantic' not in key and shape
            else shape
            for key, shape in shapes.items()
        }
        changed = [key for key in shapes if shapes[key] != smaller[key]]
        return weights_for(shapes), key_list_model(smaller), changed

    def test_is_explained(self, other):
        weights, model, _ = other
        with pytest.raises(
            CheckpointError, match=r'80 classes.*has 20.*num_classes=81.*other_classes=True'
        ):
            load_checkpoint(model, weights)

    def test_starts_the_class_layers_anew_on_request(self, other):
        weights, model, changed = other
        report = load_checkpoint(model, weights, other_classes=True)
        assert report.complete
        assert [m.key for m in report.reinitialised] == changed
        assert (
            f'of other classes, left at their initial values ({len(changed)}): {changed[0]}'
            in str(report)
        )
        for key, value in model.state_dict().items():
            assert not value.any() if key in changed else torch.equal(value, weights[key])

    def test_is_no_pretext_for_another_model(self, other):
        weights, model, _ = other
        weights['backbone.conv1.weight'] = torch.zeros(3, 3)
        with pytest.raises(CheckpointError, match=r'another shape \(1\): backbone.conv1.weight'):
            load_checkpoint(model, weights, other_classes=True)


def test_dropped_entries_are_named(shapes_of, key_list_model, weights_for):
    shapes = thin(shapes_of('mmdet3/htc_hrnetv2p-w18_20e_coco'))
    weights = as_in(Family.MMDET1, weights_for(shapes))
    weights['mask_head.0.conv_res.conv.bias'] = torch.zeros(2)
    report = load_checkpoint(key_list_model(shapes), weights)
    assert report.complete
    assert 'not needed (1): mask_head.0.conv_res.conv.bias' in str(report)


def test_a_semantic_branch_that_the_model_lacks_is_explained(
    shapes_of, key_list_model, weights_for
):
    shapes = thin(shapes_of('mmdet3/htc_hrnetv2p-w18_20e_coco'))
    model = key_list_model({key: shape for key, shape in shapes.items() if 'semantic' not in key})
    with pytest.raises(CheckpointError, match=r'set data\.train\.seg_prefix'):
        load_checkpoint(model, weights_for(shapes))
    report = load_checkpoint(model, weights_for(shapes), other_classes=True)
    assert report.complete, 'to fine-tune, it is left out'
    assert any('semantic_head' in key for key in report.dropped)


def test_nothing_that_fits_is_refused_even_when_lenient(model):
    with pytest.raises(CheckpointError, match='0 entries') as refusal:
        load_checkpoint(model, {'encoder.weight': torch.zeros(3)}, strict=False)
    assert 'strict=False' not in str(refusal.value), 'there is nothing that fits'
    with pytest.raises(CheckpointError, match=r'no weights in it, only epoch'):
        load_checkpoint(model, {'epoch': 3})


@pytest.mark.parametrize(('convention', 'meta', 'family', 'warned'), [
    ('inclusive', {}, 'hrnet_release/faster_rcnn_hrnetv2p_w18_1x', False),
    ('continuous', {}, 'hrnet_release/faster_rcnn_hrnetv2p_w18_1x', True),
    ('continuous', {}, 'mmdet1/faster_rcnn_hrnetv2p_w18_1x', True),
    ('inclusive', {}, MMDET3, True),
    ('continuous', {}, MMDET3, False),
    ('inclusive', {'mmdet_version': '2.25'}, MMDET3, True),
    ('inclusive', {'box_convention': 'inclusive'}, MMDET3, False),
    ('inclusive', {'hrdet_version': '1', 'box_convention': 'inclusive'}, MMDET3, 0),
    ('inclusive', {'hrdet_version': '1', 'box_convention': 'continuous'}, MMDET3, 1),
])  # fmt: skip
def test_box_convention(convention, meta, family, warned, model, shapes_of, weights_for, caplog):
    logging.getLogger('hrdet').propagate = True
    model.convention = convention
    weights = weights_for(thin(shapes_of(family)))
    report = load_checkpoint(model, {'state_dict': weights, 'meta': meta})
    assert bool(report.warnings) == bool(warned)
    if warned:
        other = {'inclusive': 'continuous', 'continuous': 'inclusive'}[convention]
        assert f"box_convention='{other}'" in caplog.text
        assert [record.levelname for record in caplog.records] == ['WARNING']
        # That layout is hrdet's own too: nobody says whose these weights are.
        unsigned = family is MMDET3 and not meta
        assert (
            'If hrdet trained them with inclusive boxes, ignore this warning' in caplog.text
        ) == unsigned
        assert ('were trained with' in caplog.text) != unsigned


class TestBackbone:
    @pytest.fixture
    def classifier(self, shapes_of):
        return thin(shapes_of('hrnet_release/cls_hrnet_w18'))

    @pytest.fixture
    def backbone(self, shapes_of, key_list_model):
        shapes = thin(shapes_of(MMDET3))
        prefix = 'backbone.'
        return key_list_model(
            {k.removeprefix(prefix): s for k, s in shapes.items() if k.startswith(prefix)}
        )

    def test_an_imagenet_classifier(self, classifier, backbone, weights_for, tmp_path):
        weights = weights_for(classifier)
        save_checkpoint(tmp_path / 'w18.pth', weights)
        report = load_backbone(backbone, tmp_path / 'w18.pth')
        assert report.family is Family.CLASSIFIER
        assert report.converted['dropped'] == len(weights) - len(backbone.state_dict())
        for key, value in backbone.state_dict().items():
            assert torch.equal(value, weights[key]), key

    def test_a_detector_lends_its_backbone(self, published, backbone, tmp_path):
        save_checkpoint(tmp_path / 'det.pth', {'state_dict': published})
        load_backbone(backbone, tmp_path / 'det.pth')
        assert torch.equal(
            backbone.state_dict()['conv1.weight'], published['backbone.conv1.weight']
        )

    @pytest.mark.parametrize(('manifest', 'prefix'), [
        ('hrnet_release/cls_hrnet_w18', ''), ('tasks/mmpretrain_hrnet_w18', 'backbone.'),
        ('tasks/mmseg_fcn_hr18', 'backbone.'), ('mmdet3/faster-rcnn_hrnetv2p-w18-1x_coco',
                                                'backbone.'),
        ('hrnet_release/faster_rcnn_hrnetv2p_w18_1x', 'backbone.'),
    ])  # fmt: skip
    @pytest.mark.parametrize('task', ['classification', 'segmentation'])
    def test_a_model_of_any_task_lends_its_backbone(
        self, task, manifest, prefix, shapes_of, weights_for, key_list_model, tmp_path
    ):
        wanted = {'classification': 'tasks/mmpretrain_hrnet_w18',
                  'segmentation': 'tasks/mmseg_fcn_hr18'}[task]  # fmt: skip
        shapes = {k.removeprefix('backbone.'): s for k, s in shapes_of(wanted).items()
                  if k.startswith('backbone.')}  # fmt: skip
        weights = weights_for(shapes_of(manifest))
        save_checkpoint(tmp_path / 'a.pth', {'state_dict': weights})
        model = key_list_model(shapes)
        report = load_backbone(model, tmp_path / 'a.pth')
        assert report.loaded == len(shapes)
        assert report.converted['dropped'] == len(weights) - len(shapes)
        assert f'in the file and not needed ({len(weights) - len(shapes)})' in str(report)
        for key, value in model.state_dict().items():
            assert torch.equal(value, weights[prefix + key]), key

    @pytest.mark.parametrize('change', [
        lambda w: w.pop('conv2.weight'),
        lambda w: w.update({'stage2.9.branches.0.0.conv1.weight': torch.zeros(1)}),
        lambda w: w.update({'conv1.weight': torch.zeros(32, 3, 3, 3)}),
    ])  # fmt: skip
    def test_anything_but_an_exact_fit_is_an_error(
        self, change, classifier, backbone, weights_for, tmp_path
    ):
        weights = weights_for(classifier)
        change(weights)
        save_checkpoint(tmp_path / 'w18.pth', weights)
        with pytest.raises(CheckpointError, match='does not hold this backbone'):
            load_backbone(backbone, tmp_path / 'w18.pth')

    def test_a_missing_file_says_what_to_fetch(self):
        with pytest.raises(FileNotFoundError) as error:
            load_backbone(nn.Conv2d(1, 1, 1), 'weights/hrnetv2_w32_imagenet_pretrained.pth')
        for part in ("model.pretrained='open-mmlab://msra/hrnetv2_w32' downloads",
                     'pretrained=None', 'norm_eval=False'):  # fmt: skip
            assert part in str(error.value)

    def test_as_a_detector_checkpoint_it_is_refused_with_the_way_out(
        self, classifier, model, weights_for
    ):
        with pytest.raises(CheckpointError, match=r'Only the backbone fits.*model\.pretrained'):
            load_checkpoint(model, weights_for(classifier))

    def test_another_width_is_not_another_task(self, shapes_of, key_list_model, weights_for):
        model = key_list_model(shapes_of('tasks/mmpretrain_hrnet_w18'))
        with pytest.raises(CheckpointError, match='the config describes another model'):
            load_checkpoint(model, weights_for(shapes_of('tasks/mmpretrain_hrnet_w32')))
