"""What a config means, written as a config, means the same."""

import pytest

from hrdet.config import load_config, lower, lowered_text
from hrdet.registry import ConfigError
from tests.config.published import SHIPPED


@pytest.mark.parametrize('path', SHIPPED, ids=lambda path: path.stem)
def test_the_lowered_form_is_a_config_that_means_the_same(tmp_path, path):
    run = lower(load_config(path))
    file = tmp_path / 'lowered.py'
    file.write_text(lowered_text(run))
    again = lower(load_config(file))
    assert again == run
    assert '  # ' not in lowered_text(again), 'all parts stand where they say'


@pytest.fixture
def lowered(config, tmp_path):
    """A lowered config, for a test to change."""
    (tmp_path / 'lowered.py').write_text(lowered_text(lower(config)))
    return load_config(tmp_path / 'lowered.py')


def test_parts_know_where_they_were_written(lowered):
    run = lower(lowered)
    assert run.model['rpn_head']['anchors'].path == 'model.rpn_head.anchors'
    assert run.model['rpn_head'].origins['model.rpn_head.anchors'].endswith('lowered.py:15')


def test_custom_imports_stay(config):
    text = lowered_text(lower(config), dict(imports=['mine']))
    assert "custom_imports = dict(imports=['mine'])" in text


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            dict(data={}),
            r'config\.data: there is no such key here.*accepted: model, classes, train',
        ),
        (dict(model=3), r'model: 3 is not a dict'),
        (dict(train=dict(batch_size=2)), r'train\.dataset: this key is required'),
        (
            dict(train=dict(dataset={}, batchsize=2)),
            r"train\.batchsize: .*did you mean 'batch_size'",
        ),
        (dict(val=dict(dataset={}, batch_size=0)), r'val\.batch_size: .*integer of 1 or more'),
        (dict(training={}), r'training\.optimizer: this key is required'),
        (dict(training=dict(optimizer={}, epochs=2)), r'training\.epochs: .*accepted: optimizer'),
        (dict(runtime=dict(sed=1)), r"runtime\.sed: .*did you mean 'seed'"),
        (dict(language='latin'), r"language: 'latin' is not one of 'release', 'openmmlab1'"),
    ],
)
def test_mistakes(lowered, change, message):
    with pytest.raises(ConfigError, match=message):
        lower(lowered.to_dict() | change)


def test_overrides_know_the_keys(tmp_path, lowered):
    lowered.dump(tmp_path / 'copy.py')
    changed = load_config(tmp_path / 'copy.py', {'training.max_epochs': 3, 'train.batch_size': 1})
    run = lower(changed)
    assert (run.training.max_epochs, run.train['batch_size']) == (3, 1)
    with pytest.raises(ConfigError, match=r'total_epochs: there is no such key here'):
        load_config(tmp_path / 'copy.py', {'total_epochs': 3})
