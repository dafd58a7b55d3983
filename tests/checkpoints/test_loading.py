"""Every family into one layout, against key lists of the releases and index-by-index moves."""

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

MMDET3 = 'mmdet3/faster-rcnn_hrnetv2p-{}-1x_coco'
FAMILIES = {
    'hrnet_release/faster_rcnn_hrnetv2p_{}_1x': Family.HRNET_DETECTION,
    'mmdet1/faster_rcnn_hrnetv2p_{}_1x': Family.MMDET1,
    MMDET3: Family.MMDET3,
}


@pytest.fixture
def model(shapes_of, standin):
    return standin(shapes_of(MMDET3.format('w18')))


@pytest.fixture
def published(shapes_of, weights_for):
    """A 2019 release's state_dict for ``model``."""
    return weights_for(shapes_of('hrnet_release/faster_rcnn_hrnetv2p_w18_1x'))


@pytest.mark.parametrize('width', ['w18', 'w32', 'w40'])
@pytest.mark.parametrize(('name', 'family'), FAMILIES.items())
def test_every_published_key_list_fits(name, family, width, shapes_of, standin):
    """All widths, complete lists, shapes only (expanded zeros take no memory)."""
    with torch.device('meta'):
        ours = standin(shapes_of(MMDET3.format(width), light=False))
    shapes = shapes_of(name.format(width), light=False)
    assert len(shapes) == 1856
    zero = torch.zeros(())
    ours.load_state_dict = lambda *a, **k: None  # meta tensors cannot be written
    report = load_checkpoint(ours, {k: zero.expand(s) for k, s in shapes.items()})
    assert report.complete
    assert report.loaded == 1856
    assert report.family is family


@pytest.mark.parametrize(('name', 'family'), FAMILIES.items())
def test_rows_land_where_they_belong(name, family, shapes_of, standin, weights_for, model):
    theirs = weights_for(shapes_of(name.format('w18')))
    report = load_checkpoint(model, theirs)
    ours = model.state_dict()
    assert report.loaded == len(ours) == len(theirs)
    background_first = family is not Family.MMDET3
    for key, value in ours.items():
        old = key.removeprefix('roi_head.') if background_first else key
        if family is Family.HRNET_DETECTION:
            old = old.replace('neck.reduction_conv.conv.', 'neck.reduction_conv.0.')
            for level in range(5):
                old = old.replace(f'fpn_convs.{level}.conv.', f'fpn_conv.{level}.')
        expected = theirs[old]
        if background_first and '.fc_cls.' in key:
            expected = torch.stack([expected[i] for i in [*range(1, 81), 0]])
        if background_first and '.fc_reg.' in key:
            expected = torch.stack([expected[4 + i] for i in range(320)])
        assert torch.equal(value, expected), key
    assert report.converted['reordered'] == (4 if background_first else 0)


def test_class_agnostic_deltas_stay(standin):
    model = standin({'roi_head.bbox_head.0.fc_cls.weight': (3, 2),
                     'roi_head.bbox_head.0.fc_reg.weight': (4, 2)})  # fmt: skip
    deltas = torch.randn(4, 2)
    weights = {'bbox_head.0.fc_cls.weight': torch.randn(3, 2), 'bbox_head.0.fc_reg.weight': deltas}
    assert load_checkpoint(model, weights).family is Family.MMDET1
    assert torch.equal(model.state_dict()['roi_head.bbox_head.0.fc_reg.weight'], deltas)


@pytest.mark.parametrize('wrap', [
    lambda w: {'state_dict': w, 'meta': {'CLASSES': ('a', 'b')}},
    lambda w: {'model': w, 'epoch': 3},
    lambda w: {f'module.{k}': v for k, v in w.items()},
    lambda w: {'state_dict': {f'module._orig_mod.{k}': v for k, v in w.items()}},
    lambda w: {k: v.half() if v.is_floating_point() else v for k, v in w.items()},
])  # fmt: skip
def test_wrappings(wrap, published, model, tmp_path):
    save_checkpoint(tmp_path / 'a.pth', wrap(published))
    report = load_checkpoint(model, tmp_path / 'a.pth')
    assert report.complete
    bias = model.state_dict()['roi_head.bbox_head.fc_cls.bias']
    assert bias.dtype == torch.float32
    # half precision keeps 11 bits: values of a few units are off by at most 2^-10
    torch.testing.assert_close(bias[80], published['bbox_head.fc_cls.bias'][0], atol=1e-3, rtol=0)


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
    assert 'in the model but not in the file (1): backbone.conv1.weight' in text
    assert 'in the file but not in the model (1): neck.extra' in text
    assert 'rpn_head.rpn_cls.bias (file (5,), model (3,))' in text
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items()), 'half loaded'

    report = load_checkpoint(model, published, strict=False)
    assert report.missing == ['backbone.conv1.weight']
    assert report.unexpected == ['neck.extra']
    assert report.mismatched == [('rpn_head.rpn_cls.bias', (5,), (3,))]
    assert report.loaded == len(before) - 2
    assert model.state_dict()['neck.reduction_conv.conv.bias'].any()


def test_another_number_of_classes_is_explained(published, shapes_of, standin):
    shapes = shapes_of(MMDET3.format('w18'))
    for leaf, shape in {'weight': (1024,), 'bias': ()}.items():
        shapes[f'roi_head.bbox_head.fc_cls.{leaf}'] = (21, *shape)
        shapes[f'roi_head.bbox_head.fc_reg.{leaf}'] = (80, *shape)
    with pytest.raises(CheckpointError, match=r'80 classes.*has 20.*num_classes=81.*other_classes=True'):
        load_checkpoint(standin(shapes), published)


def test_nothing_that_fits_is_refused_even_when_lenient(model):
    with pytest.raises(CheckpointError, match='0 entries'):
        load_checkpoint(model, {'encoder.weight': torch.zeros(3)}, strict=False)
    with pytest.raises(CheckpointError, match=r'no weights in it; found epoch'):
        load_checkpoint(model, {'epoch': 3})


@pytest.mark.parametrize(('convention', 'meta', 'family', 'warned'), [
    ('inclusive', {}, 'hrnet_release/faster_rcnn_hrnetv2p_w18_1x', False),
    ('continuous', {}, 'hrnet_release/faster_rcnn_hrnetv2p_w18_1x', True),
    ('continuous', {}, 'mmdet1/faster_rcnn_hrnetv2p_w18_1x', True),
    ('inclusive', {}, MMDET3.format('w18'), True),
    ('continuous', {}, MMDET3.format('w18'), False),
    ('inclusive', {'hrdet_version': '1', 'box_convention': 'inclusive'}, MMDET3.format('w18'), 0),
    ('inclusive', {'hrdet_version': '1', 'box_convention': 'continuous'}, MMDET3.format('w18'), 1),
])  # fmt: skip
def test_box_convention(convention, meta, family, warned, model, shapes_of, weights_for):
    model.convention = convention
    weights = weights_for(shapes_of(family))
    report = load_checkpoint(model, {'state_dict': weights, 'meta': meta})
    assert bool(report.warnings) == bool(warned)
    if warned:
        other = {'inclusive': 'continuous', 'continuous': 'inclusive'}[convention]
        assert f"box_convention='{other}'" in str(report)


class TestBackbone:
    @pytest.fixture
    def classifier(self, shapes_of):
        return shapes_of('hrnet_release/cls_hrnet_w18')

    @pytest.fixture
    def backbone(self, shapes_of, standin):
        shapes = shapes_of(MMDET3.format('w18'))
        prefix = 'backbone.'
        return standin(
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
            load_backbone(nn.Conv2d(1, 1, 1), 'open-mmlab://msra/hrnetv2_w32')
        for part in ('hrnetv2_w32_imagenet_pretrained.pth', 'HRNet-Image-Classification',
                     'pretrained=None', 'norm_eval=False'):  # fmt: skip
            assert part in str(error.value)

    def test_as_a_detector_checkpoint_it_is_refused_with_the_way_out(
        self, classifier, model, weights_for
    ):
        with pytest.raises(CheckpointError, match=r'model\.pretrained'):
            load_checkpoint(model, weights_for(classifier))
