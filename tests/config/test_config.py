"""Sections with attributes and origins, and their text."""

import copy
import pickle
from pathlib import Path

import pytest

from hrdet.config import Config, load_config, values_of
from hrdet.config.config import origins_of
from hrdet.registry import ConfigError

VALUES = dict(
    model=dict(type='A', widths=[18, 36], nothing=None, pairs=[(1, 2.5), (3,)], empty=dict()),
    data=dict(steps=[dict(type='Resize', keep=True), dict(type='Pad')], infinite=float('inf')),
    names=('a', "it's", 'ü'),
    by_number={1: 'one', 'two words': 2},
    long=[f'a rather long name number {i}' for i in range(9)],
    ids={3, 1, 2},
)


def test_keys_are_attributes():
    config = Config(VALUES)
    assert config.model.widths == [18, 36]
    assert config.data.steps[1].type == 'Pad'
    config.model.neck = dict(stride=2)
    config['model'] |= dict(head=dict(size=7))
    config.model.neck.stride += 1
    assert (config.model.neck.stride, config.model.head.size) == (3, 7)
    assert type(config.to_dict()['model']['neck']) is dict
    with pytest.raises(AttributeError, match="no 'modle' here"):
        _ = config.modle
    assert config.get('modle') is None
    assert 'neck' not in VALUES['model'], 'the values given are not changed'


def test_a_path_is_a_string():
    assert Config(dict(file=Path('a') / 'b')).file == 'a/b'


@pytest.mark.parametrize('clone', [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c)), Config])
def test_copies_are_independent_and_keep_their_origins(clone):
    config = Config()
    config.set('model', Config().set('type', 'A', 'file.py:2'), 'file.py:1')
    other = clone(config)
    assert other == config
    assert origins_of(other) == {'model': 'file.py:1', 'model.type': 'file.py:2'}
    other.model.type = 'B'
    assert config.model.type == 'A'
    assert origins_of(other) == {'model': 'file.py:1'}, 'a program wrote the new value'


def test_the_text_loads_to_the_same(tmp_path):
    config = load_config(VALUES)
    config.dump(tmp_path / 'copy.py')
    text = (tmp_path / 'copy.py').read_text(encoding='utf-8')
    assert load_config(tmp_path / 'copy.py') == config
    assert max(map(len, text.splitlines())) <= 100
    assert load_config(tmp_path / 'copy.py').pretty_text == text


def test_an_object_has_no_text():
    with pytest.raises(ConfigError, match=r'model\.steps\[1\]\.call: <function'):
        _ = Config(dict(model=dict(steps=[1, dict(call=lambda: 0)]))).pretty_text


def test_values_in_order():
    section = Config(dict(a=[dict(b=1)], c=2))
    assert [path for path, _, _ in values_of(section)] == ['a', 'a[0]' + '.b', 'c']
