"""The published checkpoints fit the detectors that their own configs describe."""

import pytest
import torch

from hrdet.checkpoints import Family, load_checkpoint, save_checkpoint
from hrdet.config import load_config, lower
from hrdet.models import build_model

# A manifest, and its config of the same name in configs/hrnet (mmdetection 3: in continuous).
W18 = {
    Family.HRNET_DETECTION: ['faster_rcnn_hrnetv2p_w18_1x', 'mask_rcnn_hrnetv2p_w18_1x'],
    Family.MMDET1: [
        'faster_rcnn_hrnetv2p_w18_1x',
        'mask_rcnn_hrnetv2p_w18_1x',
        'cascade_rcnn_hrnetv2p_w18_20e',
        'cascade_mask_rcnn_hrnetv2p_w18_20e',
        'htc_hrnetv2p_w18_20e',
        'fcos_hrnetv2p_w18_gn_1x_4gpu',
    ],
    Family.MMDET3: [
        'faster-rcnn_hrnetv2p-w18-1x_coco',
        'mask-rcnn_hrnetv2p-w18-1x_coco',
        'cascade-rcnn_hrnetv2p-w18-20e_coco',
        'cascade-mask-rcnn_hrnetv2p-w18_20e_coco',
        'htc_hrnetv2p-w18_20e_coco',
        'fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco',
    ],
}
FOLDERS = {
    Family.HRNET_DETECTION: ('hrnet_release', 'hrnet'),
    Family.MMDET1: ('mmdet1', 'hrnet'),
    Family.MMDET3: ('mmdet3', 'hrnet/continuous'),
}
CASES = [(family, *FOLDERS[family], name) for family, names in W18.items() for name in names]
# Its keys are those of mmdetection 1: what the release renamed is HRFPN.
CASES.append((Family.MMDET1, 'hrnet_release', 'hrnet', 'cascade_rcnn_r101_fpn'))


@pytest.fixture
def detector(pytestconfig):
    def build(config):
        config = load_config(pytestconfig.rootpath / 'configs' / f'{config}.py')
        return build_model(lower(config), tuple(map(str, range(80))))

    return build


@pytest.mark.parametrize(('family', 'manifests', 'configs', 'name'), CASES)
def test_complete_key_lists(family, manifests, configs, name, detector, shapes_of):
    with torch.device('meta'):
        model = detector(f'{configs}/{name}')
        published = {k: torch.empty(s) for k, s in shapes_of(f'{manifests}/{name}', False).items()}
    model.load_state_dict = lambda *args, **kwargs: None  # there is nothing to copy
    report = load_checkpoint(model, published)
    assert report.complete
    assert report.family is family
    assert report.loaded == len(published)
    assert report.warnings == []


def test_values_arrive_in_a_real_detector(detector, shapes_of, weights_for, tmp_path):
    name = 'mask_rcnn_hrnetv2p_w18_1x'
    model = detector(f'hrnet/{name}')
    published = weights_for(shapes_of(f'hrnet_release/{name}', light=False))
    save_checkpoint(tmp_path / 'a.pth', {'state_dict': published})
    load_checkpoint(model, tmp_path / 'a.pth')
    scores = published['bbox_head.fc_cls.weight']
    assert torch.equal(model.roi_head.bbox_head.fc_cls.weight, scores[[*range(1, 81), 0]])
    masks = published['mask_head.conv_logits.weight']
    assert torch.equal(model.roi_head.mask_head.conv_logits.weight, masks[1:])
    assert torch.equal(model.backbone.conv1.weight, published['backbone.conv1.weight'])
    level = published['neck.fpn_conv.4.weight']
    assert torch.equal(model.neck.fpn_convs[4].conv.weight, level)
