"""Reading safely and writing atomically."""

import re
import sys

import numpy as np
import pytest
import torch

from hrdet.checkpoints import CheckpointError, read_checkpoint, save_checkpoint


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
def test_foreign_code_is_refused_named_and_not_run(tmp_path, legacy):
    path = tmp_path / 'evil.pth'
    torch.save({'x': Payload()}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match=r'evil\.pth.*refused.*exec.*trusted=True'):
        read_checkpoint(path)
    assert not hasattr(sys, 'hrdet_payload_ran')


def test_trusted_reads_what_the_safe_reader_refuses(tmp_path):
    path = tmp_path / 'old.pth'
    torch.save({'meta': {'best': np.float64(0.5)}}, path)
    with pytest.raises(CheckpointError, match='numpy'):
        read_checkpoint(path)
    assert read_checkpoint(path, trusted=True)['meta']['best'] == 0.5


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
    with pytest.raises(CheckpointError, match=rf'x\.pth.*{reason}'):
        read_checkpoint(path)


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
    safetensors = pytest.importorskip('safetensors.torch', reason='safetensors is an extra')
    safetensors.save_file(weights, tmp_path / 'a.safetensors', metadata={'note': 'x'})
    back = read_checkpoint(tmp_path / 'a.safetensors')
    assert torch.equal(back['state_dict']['conv.weight'], weights['conv.weight'])
    assert back['meta'] == {'note': 'x'}
