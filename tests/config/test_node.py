"""Sections know their place, and are read strictly."""

import copy
import pickle

import pytest

from hrdet.config.node import Node, as_nodes, check_choice, check_count, check_typed, read
from hrdet.registry import ConfigError


def test_nodes_know_their_path_through_dicts_and_lists():
    tree = as_nodes({'a': {'b': [{'c': 1}, ({'d': 2},)]}})
    assert tree['a'].path == 'a'
    assert tree['a']['b'][0].path == 'a.b[0]'
    assert tree['a']['b'][1][0].path == 'a.b[1][0]'
    assert isinstance(tree['a']['b'][1], tuple)
    assert tree == {'a': {'b': [{'c': 1}, ({'d': 2},)]}}


@pytest.mark.parametrize('clone', [copy.deepcopy, lambda node: pickle.loads(pickle.dumps(node))])
def test_a_copy_keeps_the_path(clone):
    node = clone(Node('a', b=Node('a.b', path='a key of this name is no path')))
    assert node['b'].path == 'a.b'
    assert node['b']['path'] == 'a key of this name is no path'


def reader(path, *, needed, other=2, outside):
    return path, needed, other, outside


def test_read_passes_section_and_context():
    assert read(reader, {'needed': 1}, 'x', outside=3) == ('x', 1, 2, 3)


@pytest.mark.parametrize(
    ('section', 'message'),
    [
        ({'needed': 1, 'othr': 2}, r"x\.othr: .*did you mean 'other'.*accepted: needed, other\)"),
        ({'other': 1}, r'x\.needed: this key is required'),
        ({'needed': 1, 'outside': 2}, r'x\.outside: there is no such key'),
        (None, r'x: must be a dict, not None'),
    ],
)
def test_read_refuses(section, message):
    with pytest.raises(ConfigError, match=message):
        read(reader, section, 'x', outside=3)


@pytest.mark.parametrize('value', [0, -1, True, 1.0, '1', None])
def test_counts(value):
    with pytest.raises(ConfigError, match=r'x: .* is not an integer of 1 or more'):
        check_count(value, 'x')


def test_choices():
    with pytest.raises(ConfigError, match="x: 'alue' is not one of 'value', 'range'; did you mean"):
        check_choice('alue', ('value', 'range'), 'x')


@pytest.mark.parametrize('kind', [5, {'type': 'HRNet'}, ['HRNet'], None])
def test_the_type_of_a_section_is_a_name_or_a_class(kind):
    with pytest.raises(ConfigError, match=r'model\.type: .* is not the name of a class'):
        check_typed(Node('model', dict(type=kind)), 'model')
