"""Compact lists of names, and listings that are remembered."""

import os
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrdet.data import DataError
from hrdet.data.datasets import listing
from hrdet.data.datasets.listing import FileNames, list_folder


@given(st.lists(st.text(st.characters(exclude_categories=['Cs'], exclude_characters='\0'))))
def test_file_names_are_a_sequence_of_str(names):
    compact = FileNames(names)
    assert list(compact) == names
    assert len(compact) == len(names)
    assert [compact[i] for i in range(len(names))] == names
    assert [compact[-i - 1] for i in range(len(names))] == names[::-1]
    assert list(compact[1::2]) == names[1::2]
    assert list(pickle.loads(pickle.dumps(compact))) == names
    ordered = FileNames(sorted(set(names)))
    assert all(ordered[ordered.position(name)] == name for name in names)
    with pytest.raises(IndexError):
        compact[len(names)]


def test_position_of_an_unknown_name():
    assert FileNames(['a', 'c']).position('b') is None
    assert FileNames(['a', 'c']).position('d') is None
    assert FileNames().position('d') is None


def test_names_that_are_no_unicode(tmp_path):
    name = os.fsdecode(b'caf\xe9.jpg')
    assert FileNames([name])[0] == name


def test_a_folder_is_listed_below_itself_without_hidden_files(tmp_path):
    for name in ('b/2.jpg', 'b/1.jpg', 'a/x/3.jpg', '0.jpg', '.hidden', '.git/x.jpg', 'a/._1.jpg'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list(list_folder(tmp_path)) == ['0.jpg', 'a/x/3.jpg', 'b/1.jpg', 'b/2.jpg']


def test_links_that_lead_back_are_named(tmp_path):
    """Two of them would be followed 2^40 times; one to a folder elsewhere is followed."""
    for name in ('root/a', 'root/b', 'elsewhere'):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / 'elsewhere' / '1.jpg').touch()
    for name in ('c', 'd'):
        (tmp_path / 'root' / name).symlink_to(tmp_path / 'elsewhere')
    assert list(list_folder(tmp_path / 'root')) == ['c/1.jpg', 'd/1.jpg']
    for name, target in (('a/to_b', 'b'), ('b/to_a', 'a'), ('b/up', '.')):
        (tmp_path / 'root' / name).symlink_to(tmp_path / 'root' / target)
    with pytest.raises(DataError, match=r'root/.*: a link to a folder that it lies in'):
        list_folder(tmp_path / 'root')


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A folder that counts as large, and how often it was walked through."""
    root = tmp_path / 'large'
    (root / 'a').mkdir(parents=True)
    (root / 'a' / '1.jpg').touch()
    monkeypatch.setattr(listing, 'CACHED_FROM', 1)
    walks = []
    walk = listing._walk
    monkeypatch.setattr(listing, '_walk', lambda path: walks.append(path) or walk(path))
    return root, walks


def test_a_large_listing_is_remembered_until_a_folder_changes(large):
    root, walks = large
    assert list(list_folder(root)) == list(list_folder(root)) == ['a/1.jpg']
    assert len(walks) == 1
    (root / 'a' / '2.jpg').touch()
    os.utime(root / 'a', ns=(1, 1))  # the clock of the file system may be coarse
    assert list(list_folder(root)) == ['a/1.jpg', 'a/2.jpg']
    assert len(walks) == 2
    assert len(list_folder(root)) == 2
    assert len(walks) == 2
    (root / 'b').mkdir()
    os.utime(root, ns=(1, 1))
    list_folder(root)
    assert len(walks) == 3


def test_a_broken_cache_is_written_anew(large, cache):
    root, walks = large
    list_folder(root)
    (file,) = (cache / 'listings').iterdir()
    file.write_bytes(b'PK\3\4 cut off')
    assert list(list_folder(root)) == ['a/1.jpg']
    assert len(walks) == 2
    list_folder(root)
    assert len(walks) == 2


def test_no_cache_where_nothing_can_be_written(large, monkeypatch):
    root, walks = large
    monkeypatch.setenv('HRDET_CACHE', str(root / 'a' / '1.jpg'))  # a file
    assert list(list_folder(root)) == list(list_folder(root)) == ['a/1.jpg']
    assert len(walks) == 2


def test_places_of_the_cache(monkeypatch):
    monkeypatch.delenv('HRDET_CACHE')
    monkeypatch.setenv('XDG_CACHE_HOME', '/x')
    assert str(listing.cache_folder()) == '/x/hrdet'
    monkeypatch.delenv('XDG_CACHE_HOME')
    monkeypatch.setenv('HOME', '/home/me')
    assert str(listing.cache_folder()) == '/home/me/.cache/hrdet'


def test_saved_arrays_come_back(cache):
    listing.save_listing('/a', stamp=np.arange(3))
    assert listing.load_listing('/a')['stamp'].tolist() == [0, 1, 2]
    assert listing.load_listing('/b') is None
    assert [path.suffix for path in (cache / 'listings').iterdir()] == ['.npz']
