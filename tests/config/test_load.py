"""Files, inheritance, overrides, and the names at the top level."""

import pytest

from hrdet.config import load_config, lower
from hrdet.registry import ConfigError


def test_a_variant_is_a_few_lines(tmp_path):
    (tmp_path / 'base.py').write_text('model = dict(a=1, b=dict(c=2, d=3))\nseed = 1\n')
    (tmp_path / 'variant.py').write_text("_base_ = 'base.py'\nmodel = dict(b=dict(c=4))\n")
    config = load_config(tmp_path / 'variant.py')
    assert config.model.to_dict() == {'a': 1, 'b': {'c': 4, 'd': 3}}
    assert config.seed == 1
    assert config.work_dir == './work_dirs/variant'


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'absent\.py'):
        load_config(tmp_path / 'absent.py')


def test_overrides_reach_into_lists(config):
    config['log_config']['hooks'] = [{'type': 'TextLoggerHook'}, {'type': 'Nonsense'}]
    loaded = load_config(config, {'log_config.hooks.1.type': 'TensorboardLoggerHook', 'seed': 3})
    assert lower(loaded).log['tensorboard'] is True
    assert lower(loaded).seed == 3
    assert config['log_config']['hooks'][1]['type'] == 'Nonsense'


@pytest.mark.parametrize(
    ('path', 'message'),
    [
        ('modle.type', r"modle\.type: there is no such key here; did you mean 'model'\?"),
        ('data_root', r'data_root: a variable of the config file'),
        ('total_epochs.x', r'total_epochs\.x: cannot be overridden'),
        ('workflow.7', r'workflow\.7: cannot be overridden'),
    ],
)
def test_an_override_of_nothing(config, path, message):
    with pytest.raises(ConfigError, match=message):
        load_config(config, {path: 1})


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError, match=r"config 'nowhere\.py': there is no such file"):
        load_config('nowhere.py')


def test_a_misspelt_override_is_found_by_lowering(config):
    with pytest.raises(ConfigError, match=r'data\.imgs_per_gpux: .*did you mean .imgs_per_gpu'):
        lower(load_config(config, {'data.imgs_per_gpux': 1}))


def test_custom_modules_are_imported(config, tmp_path, monkeypatch):
    (tmp_path / 'hrdet_test_module.py').write_text('loaded = True\n')
    monkeypatch.syspath_prepend(tmp_path)
    config['custom_imports'] = {'imports': ['hrdet_test_module'], 'allow_failed_imports': False}
    lower(load_config(config))
    import hrdet_test_module

    assert hrdet_test_module.loaded


@pytest.mark.parametrize(
    ('name', 'meant'), [('optimzer', 'optimizer'), ('dat', 'data'), ('log_cfg', 'log_config')]
)
def test_a_name_like_a_key_is_a_mistake(config, name, meant):
    with pytest.raises(ConfigError, match=f'{name}: there is no such key; did you mean {meant!r}'):
        lower(config | {name: {}})


def test_helper_variables(config):
    assert lower(config | {'_images': 1, 'train_pipeline': [], 'dataset_type': 'X'}).warnings == []
    (warning,) = lower(config | {'num_points': 7}).warnings
    assert warning.startswith('num_points: not a key')


def test_runner_fields_are_handed_on(config):
    hooks = [{'type': 'SomeHook', 'whatever': 1}]
    assert lower(config | {'custom_hooks': hooks}).runner_fields == {'custom_hooks': hooks}
