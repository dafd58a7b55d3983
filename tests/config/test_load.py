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


def test_the_work_folder_of_a_base_is_the_base_s(tmp_path):
    """Two runs in one folder would resume from each other's checkpoints."""
    (tmp_path / 'base.py').write_text("work_dir = './work_dirs/base'\n")
    (tmp_path / 'variant.py').write_text("_base_ = 'base.py'\n")
    (tmp_path / 'own.py').write_text("_base_ = 'base.py'\nwork_dir = './elsewhere'\n")
    assert load_config(tmp_path / 'base.py').work_dir == './work_dirs/base'
    assert load_config(tmp_path / 'variant.py').work_dir == './work_dirs/variant'
    assert load_config(tmp_path / 'own.py').work_dir == './elsewhere'
    assert load_config(tmp_path / 'variant.py', {'work_dir': 'x'}).work_dir == 'x'


@pytest.mark.parametrize('name', ['hrnet-w18_3rdparty_8xb32_in1k', 'hrnet-w18-small-v2_4xb32_in1k'])
def test_a_base_may_be_a_model_or_a_config_of_hrdet(tmp_path, name):
    (tmp_path / 'mine.py').write_text(
        f'_base_ = {name!r}\nmodel = dict(head=dict(num_classes=2))\n'
    )
    config = load_config(tmp_path / 'mine.py')
    assert config.model.head.num_classes == 2
    assert config.model.type == 'ImageClassifier'


def test_delete_replaces_a_whole_dict(tmp_path):
    (tmp_path / 'base.py').write_text('model = dict(a=1, b=dict(c=2, d=3))\nema = None\n')
    text = (
        "_base_ = ['base.py']\nmodel = dict(b=dict(_delete_=True, e=4))\nema = dict(momentum=0.1)\n"
    )
    (tmp_path / 'variant.py').write_text(text + 'data = dict(_delete_=True, x=1)\n')
    config = load_config(tmp_path / 'variant.py')
    assert config.model == {'a': 1, 'b': {'e': 4}}
    assert (config.ema, config.data) == ({'momentum': 0.1}, {'x': 1})


def test_names_of_the_file_and_of_its_bases(tmp_path):
    (tmp_path / 'base.py').write_text("root = 'somewhere'\nmodel = dict(widths=[1, 2])\n")
    (tmp_path / 'variant.py').write_text("""_base_ = './base.py'
work_dir = '{{ fileDirname }}/runs/{{fileBasenameNoExtension}}'
data = dict(file='{{ fileBasename }}', widths={{ _base_.model.widths }}, root=_base_.root)
""")
    config = load_config(tmp_path / 'variant.py')
    assert config.work_dir == f'{tmp_path.as_posix()}/runs/variant'
    assert config.data == {'file': 'variant.py', 'widths': [1, 2], 'root': 'somewhere'}


def test_environment_variables(tmp_path, monkeypatch):
    (tmp_path / 'base.py').write_text('seed = 3')
    (tmp_path / 'variant.py').write_text("""
_base_ = '{{$HRDET_TEST_FOLDER:.}}/base.py'
work_dir = '{{ $HRDET_TEST_NAME }}'
""")
    monkeypatch.setenv('HRDET_TEST_NAME', 'runs/7')
    config = load_config(tmp_path / 'variant.py')
    assert (config.seed, config.work_dir) == (3, 'runs/7')
    monkeypatch.delenv('HRDET_TEST_NAME')
    with pytest.raises(ConfigError, match=r'variant\.py: .*HRDET_TEST_NAME is not set'):
        load_config(tmp_path / 'variant.py')


def test_what_a_file_uses_on_its_way_is_no_key(tmp_path):
    (tmp_path / 'variant.py').write_text("""import os.path as osp, math
from string import digits
def scaled(x):
    inner = 2
    return inner * x
class Helper: pass
_private = 3
strides = [4]
for level in range(3):
    strides.append(scaled(strides[-1]))
with open(__file__) as file:
    pass
seed: int = _private
model: dict
""")
    config = load_config(tmp_path / 'variant.py')
    assert {key: config[key] for key in config if key != 'work_dir'} == {
        'strides': [4, 8, 16, 32],
        'seed': 3,
    }


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('model = dict(\n    a=1\n    b=2)\n', r'^broken\.py:2: .* comma\?: a=1$'),
        ('x = 1\n\ny = x / 0\n', r'^broken\.py:3: ZeroDivisionError: division by zero$'),
        ('def f():\n    return z\ny = f()\n', r"^broken\.py:2: NameError: name 'z'"),
        ('import json\ny = json.loads("{")\n', r'^broken\.py:2: JSONDecodeError'),
        ("a = 1\n_base_ = 'no.py'\n", r"^broken\.py:2: _base_ 'no\.py': there is no file no\.py$"),
        ("_base_ = 'x/mask_rcnn_hrnetv2p_w18_1x'", r"file .*mean 'mask_rcnn_hrnetv2p_w18_1x'\?$"),
        ("_base_ = ['broken.py']\n", r'^broken\.py:1: .* itself: broken\.py -> broken\.py$'),
        ("_base_ = 'there.py'\n", r'^there\.py:1: .* itself: broken\.py -> there\.py -> broken'),
        ("_base_ = 'worse.py'\n", r'^worse\.py:2: SyntaxError|^worse\.py:2: invalid syntax'),
        ('_base_ = 3\n', r'^broken\.py:1: _base_ must be the name of a file or a list of names'),
        ("_base_ = ['a.py', 'b.py']\n", r"^broken\.py:1: .* set 'seed': a\.py:2 and b\.py:1;"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    files = {
        'broken': text,
        'there': "_base_ = 'broken.py'\n",
        'worse': 'a = 1\nb = = 2\n',
        'a': '\nseed = 1\n',
        'b': 'seed = 2\n',
    }
    for name, content in files.items():
        (tmp_path / f'{name}.py').write_text(content)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config('broken.py')
    assert len(str(caught.value).splitlines()) == 1


def test_errors_say_who_wrote_the_value(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    load_config(config).dump('cells.py')
    (tmp_path / 'mine.py').write_text("""_base_ = 'cells.py'
model = dict(
    num_stages=dict(),
)
""")
    with pytest.raises(
        ConfigError, match=r'^model\.num_stages, written in mine\.py:3: there is no'
    ):
        lower(load_config('mine.py'))
    options = {'data.train.img_scale': 8}
    (tmp_path / 'mine.py').write_text("_base_ = 'cells.py'\n")
    with pytest.raises(ConfigError, match=r'^data\.train\.img_scale, set by --cfg-options: 8 is'):
        lower(load_config('mine.py', options))
    (tmp_path / 'mine.py').write_text(
        "_base_ = 'cells.py'\ntest_cfg = dict(rcnn=dict(_delete_=True))"
    )
    missing = (
        r'^test_cfg\.rcnn\.score_thr, in the section written in mine\.py:2: this key is required'
    )
    with pytest.raises(ConfigError, match=missing):
        lower(load_config('mine.py'))


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'absent\.py'):
        load_config(tmp_path / 'absent.py')


def test_overrides_reach_into_lists(config):
    config['log_config']['hooks'] = [{'type': 'TextLoggerHook'}, {'type': 'Nonsense'}]
    loaded = load_config(config, {'log_config.hooks.1.type': 'TensorboardLoggerHook', 'seed': 3})
    assert lower(loaded).training.trackers == [{'type': 'TensorBoard'}]
    assert lower(loaded).runtime.seed == 3
    assert config['log_config']['hooks'][1]['type'] == 'Nonsense'


@pytest.mark.parametrize(
    ('path', 'message'),
    [
        ('modle.type', r"modle\.type: there is no such key here; did you mean 'model'\?"),
        ('data_root', r'data_root: a variable of the config file'),
        ('total_epochs.x', r'total_epochs\.x: cannot be overridden'),
        ('workflow.7', r'workflow\.7: cannot be overridden: 7 of a list of 1'),
        (
            'data.train.img_scale.0',
            r'img_scale\.0: cannot be overridden: \(1333, 800\) has no part',
        ),
    ],
)
def test_an_override_of_nothing(config, path, message):
    with pytest.raises(ConfigError, match=message):
        load_config(config, {path: 1})


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError, match=r"config 'nowhere\.py': there is no such file"):
        load_config('nowhere.py')


def test_a_misspelt_override_is_found_by_lowering(config):
    with pytest.raises(
        ConfigError,
        match=r'data\.imgs_per_gpux, set by --cfg-options: .*did you mean .imgs_per_gpu',
    ):
        lower(load_config(config, {'data.imgs_per_gpux': 1}))


def test_overrides_make_sections_and_merge_dicts(config):
    options = {'ema.momentum': 0.1, 'data.train': dict(flip_ratio=0.0)}
    loaded = load_config(config, options)
    assert loaded.ema == {'momentum': 0.1}
    assert loaded.data.train.flip_ratio == 0.0
    assert loaded.data.train.type == 'CocoDataset'


def test_a_custom_module_that_fails(config, tmp_path, monkeypatch):
    (tmp_path / 'hrdet_broken_module.py').write_text('a = 1\nb = a + None\n')
    monkeypatch.syspath_prepend(tmp_path)
    config['custom_imports'] = dict(imports='hrdet_broken_module')
    with pytest.raises(ConfigError, match=r'custom_imports: .*TypeError.*broken_module\.py:2\)$'):
        load_config(config)
    config['custom_imports'] = dict(imports=['hrdet_absent_module'])
    with pytest.raises(ConfigError, match=r'custom_imports: hrdet_absent_module: ModuleNotFound'):
        load_config(config)
    config['custom_imports'] |= dict(allow_failed_imports=True)
    with pytest.warns(UserWarning, match='hrdet_absent_module'):
        load_config(config)
    config['custom_imports'] = dict(import_='x')
    with pytest.raises(ConfigError, match=r"custom_imports\.import_: .*'imports'"):
        load_config(config)


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


@pytest.mark.parametrize(
    ('key', 'ours'),
    [
        ('default_hooks', 'checkpoint_config, log_config and evaluation'),
        ('visualizer', r"trackers, such as \[dict\(type='TensorBoard'\)\]"),
        ('train_dataloader', r'data\.train'),
    ],
)
def test_keys_of_another_language_have_others_in_their_place(config, key, ours):
    with pytest.raises(ConfigError, match=f'{key}: a key of OpenMMLab 2 .* has {ours}'):
        lower(config | {key: {}})
