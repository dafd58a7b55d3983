"""What a lowered config offers beside its fields."""

import pytest

from hrdet.config import Node, RunConfig, loader_options
from hrdet.registry import ConfigError

VIEWS = [Node('data.test', type='AugmentedViews', views=[[], []])]


def run_with(dataset: dict, **split) -> RunConfig:
    test = Node('data.test', dataset=dataset, batch_size=2, size_divisor=1, **split)
    return RunConfig(model=Node('model', type='Model'), test=test)


def test_test_time_augmentation_replaces_the_transforms_of_every_data_set():
    parts = [Node('data.test', type='Images', transforms=[1], name=name) for name in 'ab']
    joined = Node('data.test', type='ConcatDataset', datasets=parts)
    run = run_with(joined, tta=Node('data.test', transforms=VIEWS, description='2 views'))
    assert run.use_tta() == '2 views'
    assert [part['transforms'] for part in run.test['dataset']['datasets']] == [VIEWS, VIEWS]
    assert [part['name'] for part in run.test['dataset']['datasets']] == ['a', 'b']
    assert parts[0]['transforms'] == [1]


def test_a_config_without_views_takes_mirror_images():
    resize, crop, pad = (Node('data.test', type=name) for name in ('Resize', 'CenterCrop', 'Pad'))
    for steps, before, after in (
        ([resize, crop], [resize, crop], []),
        ([resize, pad], [resize], [pad]),  # mirrored first: the padding stays right and below
    ):
        run = run_with(Node('data.test', type='Images', transforms=steps))
        assert run.use_tta().startswith('each image and its mirror image')
        *start, views = run.test['dataset']['transforms']
        assert start == before
        plain, mirrored = views['views']
        assert plain == after
        assert mirrored == [dict(type='RandomFlip', ratio=1.0), *after]


def test_views_of_views_are_refused():
    run = run_with(Node('data.test', type='Images', transforms=VIEWS))
    with pytest.raises(ConfigError, match=r'data\.test: the test has several views already'):
        run.use_tta()


def test_options_of_the_loader_are_those_of_a_split():
    split = run_with(Node('', type='Images'), evaluator=Node('', type='Metric'), tta=Node('')).test
    assert loader_options(split) == dict(batch_size=2, size_divisor=1)
