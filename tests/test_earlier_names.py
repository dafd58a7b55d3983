"""Names that CHANGELOG lists as earlier ones still mean the same."""

import importlib

import pytest

NAMES = {
    'hrdet.models:optimize': 'hrdet.optimize:optimize',
    'hrdet.models.zoo:MODELS': 'hrdet.zoo:MODELS',
    'hrdet.data.transforms:TakeViews': 'hrdet.data.transforms:AugmentedViews',
    'hrdet.models.roi:RegionSampler': 'hrdet.models.roi:RoISampler',
    'hrdet.models.heads.bbox_head:SharedFCBBoxHead.step': (
        'hrdet.models.heads.bbox_head:SharedFCBBoxHead.regress_by_class'
    ),
    'hrdet.models.backbones.hrnet:ExchangeModule': 'hrdet.models.backbones.hrnet:HRModule',
    'hrdet.models.flops:detector_cost': 'hrdet.models.flops:model_cost',
    'hrdet.evaluation:Truth': 'hrdet.evaluation:CocoAnnotations',
}
KEPT = (
    'hrdet.data:DetectionDataset.annotation_report',
    'hrdet.models.backbones:HRNet.out_channels',
    'hrdet.models.layers:run_part',
)


def value(name: str):
    module, _, path = name.partition(':')
    found = importlib.import_module(module)
    for part in path.split('.'):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize(('earlier', 'now'), NAMES.items())
def test_same(earlier, now):
    assert value(earlier) is value(now)


@pytest.mark.parametrize('name', KEPT)
def test_there(name):
    assert value(name)
