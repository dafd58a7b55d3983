"""Damage inside checkpoint files is found, also where torch maps them into memory unread."""

import io
import zipfile

import pytest
import torch

from hrdet.checkpoints import CheckpointError, read_checkpoint

WEIGHTS = {'a': torch.arange(150.0).view(50, 3), 'b': torch.arange(10), 'c': torch.zeros(0)}
WEIGHTS['view'] = WEIGHTS['a'][5:10]


def content():
    file = io.BytesIO()
    torch.save({'state_dict': WEIGHTS}, file)
    return bytearray(file.getvalue())


def repacked(data, compression=zipfile.ZIP_STORED, change=lambda name, record: record):
    """The archive as another program writes it, with sound checksums."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, 'w', compression) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return file.getvalue()


def same(read):
    return all(torch.equal(read['state_dict'][key], value) for key, value in WEIGHTS.items())


@pytest.fixture(params=[False, True], ids=['read', 'mapped'])
def read(request, tmp_path):
    def from_bytes(data):
        (tmp_path / 'x.pth').write_bytes(data)
        return read_checkpoint(tmp_path / 'x.pth', mapped=request.param)

    return from_bytes


def test_a_flipped_bit_is_found_or_changes_nothing(read):
    """Of 8,000 of a file, every 41st: those that change nothing lie between the records."""
    data, found = content(), 0
    for bit in range(0, 8 * len(data), 41):
        data[bit // 8] ^= 1 << bit % 8
        try:
            assert same(read(data)), bit
        except CheckpointError as error:
            found += 'x.pth: damaged' in str(error)
        data[bit // 8] ^= 1 << bit % 8
    assert found > 100


@pytest.mark.parametrize('compression', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_that_was_packed_again_is_the_same(read, compression):
    assert same(read(repacked(content(), compression)))


def test_a_record_shorter_than_its_tensor_is_not_read_from_its_neighbour(read):
    def cut(name, record):
        return record[:-8] if name.endswith('/data/0') else record

    with pytest.raises(CheckpointError, match=r'record data/0 is 592 bytes, .* need 600'):
        read(repacked(content(), change=cut))


def test_records_exchanged_are_found(read):
    """The sizes are all there, but not where they belong."""
    data = content()
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        records = {name: file.read(f'archive/data/{name}') for name in '01'}

    def exchange(name, record):
        return records['10'[int(name[-1])]] if '/data/' in name and name[-1] in '01' else record

    with pytest.raises(CheckpointError, match=r'record data/0 is 80 bytes, .* need 600'):
        read(repacked(data, change=exchange))


def test_a_record_twice_is_found(read):
    """zipfile takes the last one, torch another."""
    file = io.BytesIO(repacked(content()))
    with zipfile.ZipFile(file, 'a') as archive, pytest.warns(UserWarning, match='Duplicate'):
        archive.writestr('archive/data/1', bytes(80))
    with pytest.raises(CheckpointError, match='there are two records archive/data/1'):
        read(file.getvalue())


def test_every_cut_is_found(read):
    data = content()
    for length in range(0, len(data), 97):
        with pytest.raises(CheckpointError, match='bytes'):
            read(data[:length])


def test_a_file_without_checksums_is_read(read):
    """As ``torch.utils.serialization.config.save.compute_crc32 = False`` writes it."""
    config = pytest.importorskip('torch.utils.serialization').config.save
    before = config.compute_crc32
    try:
        config.compute_crc32 = False
        assert same(read(content()))
    finally:
        config.compute_crc32 = before


def test_the_message_names_the_record(read):
    data = content()
    place = data.index(WEIGHTS['a'].numpy().tobytes())
    data[place] ^= 1
    with pytest.raises(CheckpointError, match=r'damaged .*checksum of archive/data/0 is wrong'):
        read(data)
