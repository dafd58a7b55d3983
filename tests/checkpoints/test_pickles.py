"""Pickles that torch's safe reader would take, and that cost time or memory, or hold no data."""

import io
import re
import struct
import zipfile

import pytest
import torch

from hrdet.checkpoints import CheckpointError, read_checkpoint
from hrdet.checkpoints.archive import check_pickle

WEIGHT = torch.arange(150.0).view(50, 3)
RECORD = WEIGHT.numpy().tobytes()


def archive(pickled, name='archive/data.pkl', before=(), **options):
    """A file with this pickle, and the record of one storage, 0."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', **options) as made:
        records = {name: b'\x80\x02' + pickled + b'.', 'archive/data/0': RECORD}
        for record in [*before, *records.items(), ('archive/version', b'3\n')]:
            made.writestr(*record)
    return file.getvalue()


def named(name):
    return b'c' + b'\n'.join(name.rpartition('.')[::2][i].encode() for i in (0, 1)) + b'\n'


def plain(value):
    if isinstance(value, int):
        return b'J' + struct.pack('<i', value)
    return b'X' + struct.pack('<I', len(value)) + value.encode()


def of(*parts):
    """A tuple of pickled parts."""
    return b'(' + b''.join(parts) + b't'


def call(name, *arguments):
    return named(name) + of(*arguments) + b'R'


def storage(kind='torch.FloatStorage', count=150):
    parts = plain('storage'), named(kind), plain('0'), plain('cpu'), plain(count)
    return of(*parts) + b'Q'


def tensor(stored=storage(), size=(50, 3), stride=(3, 1)):  # noqa: B008
    shape = [of(*map(plain, edges)) for edges in (size, stride)]
    hooks = call('collections.OrderedDict')
    return call('torch._utils._rebuild_tensor_v2', stored, plain(0), *shape, b'\x89', hooks)


def weights(value, state=b''):
    table = call('collections.OrderedDict') + plain('a') + value + b's' + state
    return b'}' + plain('state_dict') + table + b's'


def doubled(times):
    """A tuple of two, which are one tuple of two, and so on."""
    return b')' + b'q\x01h\x01\x86' * times


def old(change=lambda pickled: pickled):
    """A file in the format before torch 1.6: five pickles, then the storages."""
    file = io.BytesIO()
    content = {'state_dict': {'a': WEIGHT}}
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return change(file.getvalue())


FAN_OUT = b'}' + b''.join(
    b'q\x01}(' + b''.join(plain(k) + b'h\x01' for k in range(100)) + b'u' for _ in range(9)
)
WIDE = tensor(storage(count=10000), (10000,), (1,))
HOSTILE = {
    'hashed for ever': (archive(b'}' + doubled(60) + b'K\x01s'), 'have more than 30,000,000 parts'),
    'in a set': (archive(call('builtins.set', b']' + doubled(60) + b'a')), 'more than 30,000,000'),
    'walked for ever': (archive(FAN_OUT), 'have more than 30,000,000 parts'),
    'used before it is full': (archive(b']q\x01]q\x02ah\x02h\x01a0'[:-1]), 'became a part'),
    'deep': (archive(b']' * 200 + b'a' * 199), 'more than 100 values'),
    'memory as weights': (archive(weights(call('torch.FloatTensor', plain(9)))), 'in memory'),
    'memory of a new object': (
        archive(weights(named('torch.Tensor') + of(plain(9)) + b'\x81')),
        'in memory',
    ),
    'memory as a storage': (
        archive(weights(tensor(call('torch.storage.TypedStorage', plain(150))))),
        'in memory',
    ),
    'memory by another call': (
        archive(weights(call('torch._tensor._rebuild_from_type_v2', named('torch.FloatTensor')))),
        'of torch.FloatTensor',
    ),
    'text that grows': (archive(call('_codecs.encode', plain('a'), plain('hex'))), "in 'hex'"),
    'bytes of a number': (archive(call('builtins.bytearray', plain(1 << 30))), 'of a number'),
    'methods replaced': (
        archive(weights(tensor(), b'}' + plain('items') + b'K\x05sb')),
        "the name 'items'",
    ),
    'another element size': (
        archive(weights(tensor(storage('torch.FloatTensor', 600), (600,), (1,)))),
        "kind 'torch.FloatTensor'",
    ),
    'negative': (archive(weights(tensor(storage(count=-150)))), 'size -150'),
    'two sizes': (
        archive(of(tensor(), WIDE)),
        'to be 600 and 40000 bytes',
    ),
    'too large': (archive(weights(WIDE)), 'record data/0 is 600 bytes, .* need 40000'),
    'a second pickle': (
        archive(weights(WIDE), before=[('archive/sub/data.pkl', b'\x80\x02}.')]),
        'record data/0 is 600 bytes, .* need 40000',
    ),
    'protocol 4': (archive(b'\x8c\x02os\x8c\x06system\x93)R'), 'SHORT_BINUNICODE'),
    'a buffer': (archive(b'\x97'), 'NEXT_BUFFER'),
    'an extension': (archive(b'\x82\x01'), 'EXT1'),
    'longer than memory': (archive(b'\x8d' + struct.pack('<Q', 1 << 62)), 'unicodestring8'),
    'unpacks to gigabytes': (
        archive(weights(tensor()), before=[('archive/x', bytes(9 << 20))], compression=8),
        'unpack to 9,',
    ),
    'old, memory as weights': (
        old(lambda data: re.sub(rb'\x80\x02\]q.X.*?a\.', b'\x80\x02].', data, flags=re.DOTALL)),
        'list of its storages differ',
    ),
}


@pytest.mark.parametrize('name', HOSTILE)
@pytest.mark.parametrize('mapped', [False, True])
def test_hostile_pickles_are_refused(tmp_path, monkeypatch, name, mapped):
    monkeypatch.setattr('hrdet.checkpoints.archive._MOST_BYTES', 1 << 20)
    data, reason = HOSTILE[name]
    (tmp_path / 'x.pth').write_bytes(data)
    with pytest.raises(CheckpointError, match=rf'x\.pth: damaged or not a checkpoint.*{reason}'):
        read_checkpoint(tmp_path / 'x.pth', mapped=mapped)


@pytest.mark.parametrize('data', [archive(weights(tensor())), old()], ids=['zip', 'old'])
def test_the_same_without_the_trick_is_read(tmp_path, data):
    (tmp_path / 'x.pth').write_bytes(data)
    assert torch.equal(read_checkpoint(tmp_path / 'x.pth')['state_dict']['a'], WEIGHT)


def test_a_place_in_the_memo_costs_nothing(tmp_path):
    """The unpickler of Python would make room for 2^31 more, 34 GB."""
    (tmp_path / 'x.pth').write_bytes(archive(b'}r\xff\xff\xff\x7f'))
    assert read_checkpoint(tmp_path / 'x.pth') == {}


def test_every_kind_of_value_that_torch_saves_is_followed(tmp_path):
    kinds = {str(d): torch.ones(3, dtype=d) for d in (torch.float64, torch.bfloat16, torch.bool)}
    kinds |= {'fp8': torch.ones(3).to(torch.float8_e4m3fn), 'complex': torch.ones(2) * 1j}
    kinds |= {'parameter': torch.nn.Parameter(torch.ones(2)), 'view': WEIGHT[3:9, 1]}
    kinds['marked'] = torch.ones(2)
    kinds['marked'].note = 'pickled with the tensor'
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.rand(4, 3)).sum().backward()
    optimizer.step()
    content = dict(kinds=kinds, state_dict=network.state_dict(), optimizer=optimizer.state_dict())
    content['meta'] = dict(bytes=b'x', large=1 << 70, set={1, (2, 3)}, size=WEIGHT.shape, none=None)
    content['meta']['same'] = [content['meta']['size'], kinds, kinds]
    torch.save(content, tmp_path / 'x.pth')
    check_pickle(tmp_path / 'x.pth')
    assert read_checkpoint(tmp_path / 'x.pth')['meta']['set'] == {1, (2, 3)}


def test_a_directory_elsewhere_is_found(tmp_path):
    """zipfile takes the 64-bit directory before its locator, torch the one the locator names."""

    def directory(data, at):
        """Count, size and offset of the directory, as the end of an archive has them."""
        return struct.unpack_from('<HII', data, at + 10)

    def long_end(count, size, offset):
        numbers = (44, 45, 45, 0, 0, count, count, size, offset)
        return b'PK\x06\x06' + struct.pack('<QHHIIQQQQ', *numbers)

    shown, hidden = archive(weights(tensor())), archive(weights(WIDE))
    ends = [data.rfind(b'PK\x05\x06') for data in (shown, hidden)]
    count, size, offset = directory(shown, ends[0])
    # 1. The hidden archive with its directory; 2. the shown one, moved behind it.
    file = hidden[: ends[1]] + long_end(*directory(hidden, ends[1]))
    entries, at = bytearray(shown[offset : ends[0]]), 0
    while (at := entries.find(b'PK\x01\x02', at)) >= 0:
        (place,) = struct.unpack_from('<I', entries, at + 42)
        struct.pack_into('<I', entries, at + 42, place + len(file))
        at += 4
    locator = b'PK\x06\x07' + struct.pack('<IQI', 0, ends[1], 1)
    file += shown[:offset]
    file += entries + long_end(count, size, len(file)) + locator
    file += b'PK\x05\x06' + struct.pack('<HHHHIIH', 0, 0, *[0xFFFF] * 2, *[0xFFFFFFFF] * 2, 0)
    (tmp_path / 'x.pth').write_bytes(file)
    with pytest.raises(CheckpointError, match='damaged'):
        read_checkpoint(tmp_path / 'x.pth')
