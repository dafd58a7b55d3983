"""What SECURITY.md promises, sentence by sentence, where no other test does."""

import ast
import builtins
import os
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hrdet.checkpoints import CheckpointError, read_checkpoint
from hrdet.config import load_config
from hrdet.data import CocoDataset, DataError
from hrdet.data.datasets.archives import ArchiveImages
from hrdet.data.datasets.images import ZipImages
from hrdet.data.formats import recognise_labels
from hrdet.data.inputs import read_image

ROOT = Path(__file__).resolve().parents[1]
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
ENCODED = {s: cv2.imencode(s, PIXELS)[1].tobytes() for s in ('.jpg', '.png', '.bmp', '.tif')}


def calls():
    """(file, name of the function, keywords) of every call in the package and the tools."""
    for path in [*(ROOT / 'hrdet').rglob('*.py'), *(ROOT / 'tools').glob('*.py')]:
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Call):
                keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
                yield path.relative_to(ROOT).as_posix(), ast.unparse(node.func), keywords


def test_only_config_files_are_executed():
    found = {(file, name) for file, name, _ in calls() if name in ('exec', 'eval', 'compile')}
    assert found == {('hrdet/config/load.py', 'exec'), ('hrdet/config/load.py', 'compile')}


def test_no_pickle_is_read():
    for file, name, keywords in calls():
        assert name not in ('pickle.load', 'pickle.loads', 'pickle.Unpickler', 'yaml.load'), file
        if name == 'np.load':
            assert keywords.get('allow_pickle') == 'False', file
        if name == 'torch.load':
            assert (file, keywords['weights_only']) == (
                'hrdet/checkpoints/files.py',
                'not trusted',
            )
        assert keywords.get('trusted', 'False') == 'False', file


class Payload:
    def __reduce__(self):
        return (exec, ('import builtins; builtins.hrdet_was_here = True',))


def test_a_checkpoint_that_wants_code_run_is_refused_and_named(tmp_path):
    torch.save(dict(state_dict={}, meta=Payload()), tmp_path / 'evil.pth')
    with pytest.raises(CheckpointError, match=r'evil\.pth: refused, .*exec'):
        read_checkpoint(tmp_path / 'evil.pth')
    assert not hasattr(builtins, 'hrdet_was_here')


def test_options_of_the_command_line_are_not_evaluated():
    from hrdet.command_line import Parser, add_cfg_options

    parser = Parser('.')
    add_cfg_options(parser)
    text = '__import__("builtins").__dict__.update(hrdet_was_here=1)'
    options = parser.parse_args(['--cfg-options', f'total_epochs={text}']).cfg_options
    assert options['total_epochs'] == text
    config = load_config({'total_epochs': 1}, options)
    assert config.total_epochs == text
    assert not hasattr(builtins, 'hrdet_was_here')


def test_archives_are_read_in_place(tmp_path, monkeypatch):
    archive = tmp_path / 'a.zip'
    with zipfile.ZipFile(archive, 'w') as file:
        file.writestr('x/0.png', ENCODED['.png'])
        file.writestr('../climbs.png', ENCODED['.png'])
    monkeypatch.chdir(tmp_path)
    for store in (ZipImages(str(archive)), ArchiveImages(str(archive))):
        assert store.read('x/0.png') == ENCODED['.png']
        with pytest.raises(DataError, match='leaves the folder'):
            store.read('../climbs.png')
    assert os.listdir(tmp_path) == ['a.zip']
    assert not (tmp_path.parent / 'climbs.png').exists()


def test_large_json_files_of_an_archive_are_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setenv('HRDET_MAX_PIXELS', '1000')
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w', zipfile.ZIP_DEFLATED) as file:
        file.writestr('instances_train.json', bytes(10_000))
    with pytest.raises(DataError, match=r'a\.zip: instances_train\.json unpacks to more'):
        recognise_labels(str(tmp_path / 'a.zip'))


def test_links_inside_the_folder_are_followed(tmp_path):
    (tmp_path / 'far').mkdir()
    (tmp_path / 'far/0.png').write_bytes(ENCODED['.png'])
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images/0.png').symlink_to(tmp_path / 'far/0.png')
    (tmp_path / 'a.json').write_text(
        '{"images": [{"id": 1, "file_name": "0.png", "width": 32, "height": 24}], "annotations": '
        '[], "categories": [{"id": 1, "name": "a"}]}'
    )
    dataset = CocoDataset(str(tmp_path / 'a.json'), str(tmp_path / 'images'), test_mode=True)
    np.testing.assert_array_equal(dataset.image(0), PIXELS)


@settings(max_examples=200, deadline=None)
@given(
    suffix=st.sampled_from(sorted(ENCODED)),
    edits=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 10**6),
)
def test_any_bytes_give_an_image_or_a_data_error(suffix, edits, cut):
    data = bytearray(ENCODED[suffix])
    for position, value in edits:
        data[position % min(len(data), 400)] = value  # where the headers are
    data = bytes(data[: cut % (2 * len(data))])
    os.environ['HRDET_MAX_PIXELS'] = '1000000'  # a header may claim any size below the bound
    try:
        image = read_image(data)
    except DataError:
        return
    finally:
        del os.environ['HRDET_MAX_PIXELS']
    assert image.dtype == np.uint8
    assert image.ndim == 3


@given(st.binary(max_size=300))
def test_noise_is_no_image(data):
    with pytest.raises(DataError):
        read_image(data)
