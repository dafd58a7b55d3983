import os

import numpy as np
import pytest

from hrdet.data import DataError
from hrdet.data.conversion.raw_files import find_files


def test_files_in_folders_and_archives_read_alike(download):
    for name in ('a/b/1.txt', 'a/2.txt', '__MACOSX/a/._3.txt', 'a/._4.txt'):
        download.write(name, name)
    plain = find_files(download.raw, lambda f: f.name in ('1.txt', '2.txt'))
    assert [(f.name, f.folders, f.read()) for f in plain] == [
        ('2.txt', ('a',), b'a/2.txt'),
        ('1.txt', ('a', 'b'), b'a/b/1.txt'),
    ]
    download.pack('x.zip', 'a', '__MACOSX')
    packed = find_files(download.raw, lambda f: f.name.endswith('.txt'))
    assert [(f.name, f.folders, f.read()) for f in packed[:2]] == [
        ('2.txt', ('x.zip', 'a'), b'a/2.txt'),
        ('1.txt', ('x.zip', 'a', 'b'), b'a/b/1.txt'),
    ]
    assert [f.name for f in packed] == ['2.txt', '1.txt']
    assert str(packed[0]) == str(download.raw / 'x.zip/a/2.txt')


def test_a_file_is_linked_and_a_member_is_unpacked(download):
    source = download.write('a/1.txt', 'one')
    (file,) = find_files(download.raw, lambda f: f.name == '1.txt')
    file.place(download.out / 'deep/1.txt')
    assert os.path.samefile(source, download.out / 'deep/1.txt')
    download.pack('x.zip', 'a')
    (file,) = find_files(download.raw, lambda f: f.name == '1.txt')
    file.place(download.out / '2.txt')
    assert (download.out / '2.txt').read_text() == 'one'


def test_where_links_do_not_work_the_file_is_copied(download, monkeypatch):
    def no_links(*paths):
        raise OSError('no links')

    monkeypatch.setattr(os, 'link', no_links)
    download.write('1.txt', 'one')
    (file,) = find_files(download.raw, lambda f: True)
    file.place(download.out / '1.txt')
    assert (download.out / '1.txt').read_text() == 'one'


def test_errors_name_the_file(download, tmp_path):
    with pytest.raises(DataError, match=r'RAW: there is no folder .*/nowhere$'):
        find_files(tmp_path / 'nowhere', lambda f: True)
    download.write('map.png', np.zeros((2, 3, 3), np.uint8))
    (file,) = find_files(download.raw, lambda f: True)
    with pytest.raises(DataError, match=r'map\.png: 2x3x3 uint8; a label map has one byte a pixel'):
        file.label_map()
    download.write('cut.zip', b'PK no archive')
    with pytest.raises(DataError, match=r'cut\.zip: not a readable zip archive'):
        find_files(download.raw, lambda f: True)


def test_a_damaged_member(download):
    download.write('a/1.txt', 'some text')
    download.pack('x.zip', 'a')
    archive = download.raw / 'x.zip'
    archive.write_bytes(archive.read_bytes().replace(b'some text', b's0me text'))
    (file,) = find_files(download.raw, lambda f: f.name == '1.txt')
    with pytest.raises(DataError, match=r'x\.zip/a/1\.txt: cannot be read .*CRC'):
        file.read()
