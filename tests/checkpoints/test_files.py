"""Reading safely and writing atomically."""

import hashlib
import re
import sys
import types
from datetime import date

import numpy as np
import pytest
import safetensors.torch
import torch

from hrdet.checkpoints import CheckpointError, read_checkpoint, save_checkpoint
from hrdet.checkpoints.files import Bookkeeping, save_safetensors


class Payload:
    """What a stranger may have pickled."""

    def __reduce__(self):
        return (exec, ('import sys; sys.hrdet_payload_ran = True',))


@pytest.fixture
def weights():
    return {'conv.weight': torch.arange(6.0).view(2, 3)}


def test_round_trip_keeps_tensors_and_plain_types(tmp_path, weights):
    content = {'state_dict': weights, 'meta': {'epoch': 3, 'classes': ('a', 'b'), 'note': None}}
    save_checkpoint(tmp_path / 'deep' / 'a.pth', content)
    back = read_checkpoint(tmp_path / 'deep' / 'a.pth')
    assert back['meta'] == content['meta']
    assert torch.equal(back['state_dict']['conv.weight'], weights['conv.weight'])


@pytest.mark.parametrize('legacy', [False, True])
def test_mapped_into_memory(tmp_path, weights, legacy):
    """The same tensors, which stay what they were when another file takes the name."""
    path = tmp_path / 'a.pth'
    torch.save({'state_dict': weights}, path, _use_new_zipfile_serialization=not legacy)
    back = read_checkpoint(path, mapped=True)['state_dict']['conv.weight']
    save_checkpoint(path, {'state_dict': {'conv.weight': torch.zeros(2, 3)}})
    assert torch.equal(back, weights['conv.weight'])


@pytest.mark.parametrize('legacy', [False, True])
def test_foreign_code_is_refused_named_and_not_run(tmp_path, legacy):
    path = tmp_path / 'evil.pth'
    torch.save({'x': Payload()}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match=r'evil\.pth.*refused.*exec.*trusted=True'):
        read_checkpoint(path)
    assert not hasattr(sys, 'hrdet_payload_ran')


def test_trusted_reads_what_the_safe_reader_refuses(tmp_path):
    path = tmp_path / 'old.pth'
    torch.save({'state_dict': {}, 'meta': {'day': date(2019, 8, 1)}}, path)
    with pytest.raises(CheckpointError, match=r'datetime\.date'):
        read_checkpoint(path)
    content = read_checkpoint(path, trusted=True)
    assert content['meta']['day'].year == 2019
    # The cure that the message names.
    save_checkpoint(tmp_path / 'new.pth', dict(state_dict=content['state_dict']))


class HistoryBuffer:
    """What mmengine's pickles: numpy arrays, and references to its own methods."""

    def __init__(self):
        self.max_length = 1000000
        self._log_history, self._count_history = np.array([0.5]), np.array([1])
        self.statistics_methods = dict(min=HistoryBuffer.min, mean=HistoryBuffer.mean)

    def min(self): ...

    def mean(self): ...


@pytest.fixture
def mmengine(monkeypatch):
    """The module that this class says it is from."""
    name = 'mmengine.logging.history_buffer'
    module = types.ModuleType(name)
    module.HistoryBuffer = HistoryBuffer
    for part in ('mmengine', 'mmengine.logging'):
        monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
    monkeypatch.setitem(sys.modules, name, module)
    for named in (HistoryBuffer, HistoryBuffer.min, HistoryBuffer.mean):
        monkeypatch.setattr(named, '__module__', name)


def test_what_mmengine_notes_beside_the_weights_is_not_read(tmp_path, weights, mmengine):
    """mmdetection 3 saves its loss histories with every checkpoint: objects and numpy arrays."""
    hub = {'log_scalars': {'train/loss': HistoryBuffer()}, 'runtime_info': {'epoch': 3}}
    content = {'state_dict': weights, 'message_hub': hub | {'resumed_keys': {}}}
    torch.save(content, tmp_path / 'epoch_3.pth')
    foreign = torch.serialization.get_unsafe_globals_in_checkpoint(tmp_path / 'epoch_3.pth')
    assert {'builtins.getattr', 'mmengine.logging.history_buffer.HistoryBuffer'} <= set(foreign)
    back = read_checkpoint(tmp_path / 'epoch_3.pth')
    assert torch.equal(back['state_dict']['conv.weight'], weights['conv.weight'])
    assert isinstance(back['message_hub']['log_scalars']['train/loss'], Bookkeeping)
    assert back['message_hub']['runtime_info'] == {'epoch': 3}


class Borrowed:
    """An attack that stays within the names of that bookkeeping."""

    def __reduce__(self):
        return (getattr, ('text', 'upper'))


def test_the_names_of_that_bookkeeping_do_nothing(tmp_path):
    torch.save({'x': Borrowed()}, tmp_path / 'a.pth')
    assert isinstance(read_checkpoint(tmp_path / 'a.pth')['x'], Bookkeeping)


def named_by_hash(path, digits=8):
    """The same file under the name that publishing gives it."""
    named = path.with_name(f'{path.stem}-{hashlib.sha256(path.read_bytes()).hexdigest()[:digits]}')
    return path.rename(named.with_suffix(path.suffix))


@pytest.mark.parametrize('digits', [8, 64])
def test_a_hash_in_the_name_is_checked(tmp_path, weights, digits):
    save_checkpoint(tmp_path / 'a_20190522.pth', {'state_dict': weights})
    path = named_by_hash(tmp_path / 'a_20190522.pth', digits)
    assert 'state_dict' in read_checkpoint(path)
    broken = bytearray(path.read_bytes())
    broken[-1] ^= 1
    path.write_bytes(broken)
    digest = path.stem.rpartition('-')[2]
    with pytest.raises(CheckpointError, match=rf'begins with {digest}.*damaged.*Fetch it again'):
        read_checkpoint(path)


@pytest.mark.parametrize('name', [
    'run-20240131.pth', 'mask-rcnn.pth', 'w18-e368c3.pth', 'w18_e368c387.pth', 'a-E368C387.pth',
])  # fmt: skip
def test_what_is_no_hash_is_not_checked(tmp_path, weights, name):
    save_checkpoint(tmp_path / name, {'state_dict': weights})
    assert 'state_dict' in read_checkpoint(tmp_path / name)


def test_digits_that_are_no_date_are_a_hash(tmp_path, weights):
    """As in the release's faster_rcnn_hrnetv2_w40_fpn_1x_20190522-30502318.pth."""
    save_checkpoint(tmp_path / 'w40-30502318.pth', {'state_dict': weights})
    with pytest.raises(CheckpointError, match='begins with 30502318'):
        read_checkpoint(tmp_path / 'w40-30502318.pth')


def test_a_web_page_under_a_hashed_name_is_called_that(tmp_path):
    (tmp_path / 'a-e368c387.pth').write_bytes(b'<!DOCTYPE html>')
    with pytest.raises(CheckpointError, match='web page'):
        read_checkpoint(tmp_path / 'a-e368c387.pth')


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (b'<!DOCTYPE html><html>', 'web page'),
        (b'version https://git-lfs.github.com/spec/v1\n', 'git lfs pull'),
        (b'', r'0 bytes'),
        (b'PK\x03\x04 cut short', 'damaged'),
        (b'weights: 1 2 3', 'not a checkpoint'),
    ],
)
def test_files_that_are_no_checkpoint_say_so(tmp_path, content, reason):
    path = tmp_path / 'x.pth'
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf'x\.pth.*{reason}') as raised:
        read_checkpoint(path)
    assert 'weights_only' not in str(raised.value), "torch's advice to run what is in the file"


def test_a_truncated_checkpoint_is_damaged(tmp_path, weights):
    path = tmp_path / 'cut.pth'
    save_checkpoint(path, {'state_dict': weights})
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match='damaged'):
        read_checkpoint(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / 'no.pth'))):
        read_checkpoint(tmp_path / 'no.pth')


def test_a_list_is_no_checkpoint(tmp_path):
    torch.save([torch.zeros(1)], tmp_path / 'list.pth')
    with pytest.raises(CheckpointError, match='holds a list'):
        read_checkpoint(tmp_path / 'list.pth')


@pytest.mark.parametrize('failure', [OSError('disk full'), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path, weights, monkeypatch, failure
):
    path = tmp_path / 'latest.pth'
    save_checkpoint(path, {'state_dict': weights})
    before = path.read_bytes()

    def half_written(content, file):
        file.write(b'half')
        raise failure

    monkeypatch.setattr(torch, 'save', half_written)
    with pytest.raises(type(failure)):
        save_checkpoint(path, {'state_dict': weights})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_could_not_be_read_back_is_not_written(tmp_path, weights):
    path = tmp_path / 'a.pth'
    with pytest.raises(TypeError, match='numpy'):
        save_checkpoint(path, {'state_dict': weights, 'meta': {'ap': np.float64(0.1)}})
    assert list(tmp_path.iterdir()) == []


def test_safetensors(tmp_path, weights):
    safetensors.torch.save_file(weights, tmp_path / 'a.safetensors', metadata={'note': 'x'})
    back = read_checkpoint(tmp_path / 'a.safetensors')
    assert torch.equal(back['state_dict']['conv.weight'], weights['conv.weight'])
    assert back['meta'] == {'note': 'x'}


def test_safetensors_keep_meta(tmp_path, weights):
    meta = {'classes': ['a', 'b'], 'epoch': 3}
    save_safetensors(tmp_path / 'a.safetensors', weights, meta)
    path = named_by_hash(tmp_path / 'a.safetensors')
    back = read_checkpoint(path)
    assert back['meta'] == meta
    assert torch.equal(back['state_dict']['conv.weight'], weights['conv.weight'])
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / 'any').touch()
    assert path.stat().st_mode == (tmp_path / 'any').stat().st_mode


@pytest.mark.parametrize(
    'number',
    [np.int64(12), np.float64(0.5), np.float32(0.25), np.bool_(True), np.uint8(7),
     np.dtype('>f8').type(3.5)],
)  # fmt: skip
@pytest.mark.parametrize('mapped', [False, True])
def test_numpy_numbers_are_data(tmp_path, number, mapped):
    torch.save(dict(state_dict={'a': torch.ones(2)}, meta=dict(best=number)), tmp_path / 'a.pth')
    found = read_checkpoint(tmp_path / 'a.pth', mapped=mapped)['meta']['best']
    assert (found, type(found)) == (number.item(), type(number.item()))
    save_checkpoint(tmp_path / 'b.pth', dict(state_dict={}, meta=dict(best=found)))


@pytest.mark.parametrize(
    'value', [np.array(['text'])[0], np.datetime64('2020-01-01'), np.complex128(1j)]
)
def test_other_numpy_values_are_refused(tmp_path, value):
    torch.save(dict(state_dict={}, meta=dict(best=value)), tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=r'a\.pth: '):
        read_checkpoint(tmp_path / 'a.pth')
