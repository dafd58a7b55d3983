"""Images read in place out of .zip and .tar files."""

import io
import pickle
import tarfile
import zipfile

import pytest

from hrdet.data import DataError
from hrdet.data.datasets import archives
from hrdet.data.datasets.archives import open_store


@pytest.fixture
def files(tmp_path):
    root = tmp_path / 'set'
    for name in ('train/a/1.jpg', 'train/b/2.jpg', 'val/a/3.jpg'):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode() * 50)
    return root


@pytest.mark.parametrize('kind', ['zip', 'tar'])
def test_members_by_name(files, packed, kind):
    archive = packed(files, kind)
    whole = open_store(str(archive), 'img_prefix')
    assert list(whole.files()) == ['train/a/1.jpg', 'train/b/2.jpg', 'val/a/3.jpg']
    assert whole.read('val/a/3.jpg') == b'val/a/3.jpg' * 50
    part = open_store(f'{archive}/train', 'img_prefix')
    assert list(part.files()) == ['a/1.jpg', 'b/2.jpg']
    assert part.folders() == {'a', 'b'}
    assert part.read('b/2.jpg') == b'train/b/2.jpg' * 50
    assert part.path('b/2.jpg') == f'{archive}/train/b/2.jpg'
    copy = pickle.loads(pickle.dumps(part))
    assert copy.read('a/1.jpg') == part.read('a/1.jpg')
    with pytest.raises(DataError, match=r'set\.(zip|tar) has no member train/3\.jpg'):
        part.read('3.jpg')


def test_a_folder_is_a_store_too(files):
    store = open_store(str(files / 'train'), 'img_prefix')
    assert list(store.files()) == ['a/1.jpg', 'b/2.jpg']
    assert store.folders() == {'a', 'b'}
    assert store.read('a/1.jpg').startswith(b'train')


@pytest.mark.parametrize('kind', ['zip', 'tar'])
def test_contents_are_remembered_until_the_archive_changes(files, packed, kind, monkeypatch):
    monkeypatch.setattr(archives, 'CACHED_FROM', 1)
    reads = []
    name = f'_read_{kind}'
    read = getattr(archives, name)
    monkeypatch.setattr(archives, name, lambda path: reads.append(path) or read(path))
    archive = packed(files, kind)
    for _ in range(2):
        assert open_store(str(archive), 'x').read('train/a/1.jpg') == b'train/a/1.jpg' * 50
    assert len(reads) == 1
    (files / 'other').mkdir(parents=True)
    (files / 'other' / '9.jpg').write_bytes(b'nine')
    packed(files, kind)
    assert open_store(str(archive), 'x').read('other/9.jpg') == b'nine'
    assert len(reads) == 2


def test_a_damaged_member_is_named(files, packed):
    archive = packed(files, 'zip')
    data = bytearray(archive.read_bytes())
    place = data.index(b'train/a/1.jpgtrain/a')  # stored
    data[place + 20] ^= 1
    archive.write_bytes(data)
    store = open_store(str(archive), 'x')
    with pytest.raises(DataError, match=r'member train/a/1.jpg cannot be read \(its checksum is'):
        store.read('train/a/1.jpg')
    assert store.read('val/a/3.jpg')


def test_a_tar_that_is_cut_off(files, packed):
    archive = packed(files, 'tar')
    store = open_store(str(archive), 'x')
    archive.write_bytes(archive.read_bytes()[:700])
    with pytest.raises(DataError, match=r'cannot be read \(the file is cut off\); fetch'):
        store.read('val/a/3.jpg')


def test_what_is_no_archive(tmp_path):
    for kind in ('zip', 'tar'):
        file = tmp_path / f'bad.{kind}'
        file.write_bytes(b'no archive at all' * 100)
        with pytest.raises(DataError, match=rf'bad\.{kind}: the archive cannot be read'):
            open_store(str(file), 'data_prefix')
    with pytest.raises(DataError, match=r'data_prefix: there is no archive .*none\.tar'):
        open_store(str(tmp_path / 'none.tar' / 'train'), 'data_prefix')
    with pytest.raises(DataError, match='data_prefix: give the folder'):
        open_store('', 'data_prefix')


def test_compressed_archives(tmp_path):
    file = tmp_path / 'images.tar.gz'
    with tarfile.open(file, 'w:gz'):
        pass
    with pytest.raises(DataError, match=r'cannot be read out of the compressed .*unpack it'):
        open_store(str(file / 'train'), 'data_prefix')
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w', zipfile.ZIP_BZIP2) as archive:
        archive.writestr('1.jpg', b'1')
    with pytest.raises(DataError, match=r'1\.jpg is neither stored nor deflated'):
        open_store(str(tmp_path / 'a.zip'), 'data_prefix')


@pytest.mark.parametrize(
    ('offset', 'value', 'reason'),
    [
        (6, b'\xff\0', 'zip file version 25.5'),
        (8, b'\x01\0', '3.jpg is encrypted: unpack the archive'),
        (9, b'\x08', "'utf-8' codec can't decode byte"),
        (10, b'\x63\0', '3.jpg is neither stored nor deflated'),
    ],
)
def test_a_damaged_table_of_contents_is_named(files, packed, offset, value, reason):
    archive = packed(files, 'zip')
    data = bytearray(archive.read_bytes())
    entry = data.rfind(b'PK\x01\x02')  # of the last member
    data[entry + offset : entry + offset + len(value)] = value
    data[entry + 46] = 0xFF  # the first letter of its name
    archive.write_bytes(data)
    with pytest.raises(DataError, match=rf'set\.zip: the archive cannot be read \(.*{reason}'):
        open_store(str(archive), 'img_prefix')


@pytest.mark.parametrize('kind', ['zip', 'tar'])
def test_the_last_member_of_a_name_counts(tmp_path, kind):
    """Archives are changed by adding to them: as zipfile, tarfile and the commands have it."""
    path = tmp_path / f'a.{kind}'
    contents = (b'old', b'new')
    if kind == 'zip':
        with zipfile.ZipFile(path, 'w') as archive:
            archive.writestr('x/0.png', contents[0])
            with pytest.warns(UserWarning, match='Duplicate'):
                archive.writestr('x/0.png', contents[1])
    else:
        with tarfile.open(path, 'w') as archive:
            for data in contents:
                member = tarfile.TarInfo('x/0.png')
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    store = open_store(str(path), 'img_prefix')
    assert list(store.files()) == ['x/0.png']
    assert store.read('x/0.png') == b'new'
