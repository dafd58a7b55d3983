"""What SECURITY.md promises, sentence by sentence, where no other test does."""

import ast
import builtins
import os
import signal
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
from hrdet.data import ClassFolders, CocoDataset, DataError, LabelMapDataset, VOCDataset
from hrdet.data.annotations import read_labelme, read_proposals
from hrdet.data.datasets.archives import ArchiveImages
from hrdet.data.datasets.images import ZipImages
from hrdet.data.errors import raise_or_warn
from hrdet.data.formats import recognise_labels
from hrdet.data.inputs import read_image
from hrdet.evaluation.coco_annotations import read_results
from hrdet.run_tool import one_line

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


def _labels(text='train: images\nnames: [cat]\n'):
    def read(root):
        if not (root / 'data.yaml').exists():
            (root / 'data.yaml').write_text(text)
        for part in recognise_labels(str(root)).parts:
            raise_or_warn(part.problems)

    return read


def _maps(**options):
    def read(root):
        images, maps = str(root / 'images'), str(root / 'maps')
        options.setdefault('classes', ('cat', 'dog'))
        LabelMapDataset(str(root), images, maps, img_suffix='.png', **options).truth(0)

    return read


# The name of a pipe -> what reads it.
READERS = {
    'coco.json': lambda root: CocoDataset(str(root / 'coco.json'), str(root)),
    'voc.txt': lambda root: VOCDataset(str(root / 'voc.txt'), str(root)),
    'Annotations/a.xml': lambda root: VOCDataset(str(root / 'list'), str(root)),
    'labels/a.txt': _labels(),
    'data.yaml': _labels(),
    'images/b.png': _labels(),
    'images.txt': _labels('train: images.txt\nnames: [cat]\n'),
    'labelme.json': lambda root: read_labelme([root / 'labelme.json'], str(root))[1],
    'images/beside.json': lambda root: recognise_labels(str(root / 'images')),
    'split.txt': _maps(split='split.txt'),
    'maps/a.png': _maps(),
    'names.txt': lambda root: ClassFolders(str(root), 'images', 'names.txt'),
    'classes.txt': lambda root: ClassFolders(str(root), '', classes=str(root / 'classes.txt')),
    'p.json': lambda root: read_proposals(str(root / 'p.json')),
    'p.npz': lambda root: read_proposals(str(root / 'p.npz')),
    'results.json': lambda root: read_results(str(root / 'results.json')),
}


@pytest.mark.parametrize('name', READERS)
def test_a_pipe_is_no_file(tmp_path, name):
    """Reading it would wait for a writer, for ever."""
    for folder in ('images', 'Annotations', 'maps', 'labels', 'JPEGImages'):
        (tmp_path / folder).mkdir()
    (tmp_path / 'list').write_text('a\n')
    (tmp_path / 'labels/a.txt').write_text('0 0.5 0.5 0.5 0.5\n')
    (tmp_path / 'images/a.png').write_bytes(ENCODED['.png'])
    (tmp_path / 'maps/a.png').write_bytes(cv2.imencode('.png', PIXELS[..., 0] // 200)[1])
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    signal.alarm(30)  # against a hang only
    try:
        with pytest.raises((DataError, OSError)) as error:
            raise_or_warn(READERS[name](tmp_path) or [])
    finally:
        signal.alarm(0)
    assert Path(name).name in (one_line(error.value) or '')
    assert 'a pipe or device, not a file' in one_line(error.value)


BOMB = '<!DOCTYPE a [<!ENTITY e0 "haha">{}]>'.format(
    ''.join(f'<!ENTITY e{i + 1} "{10 * f"&e{i};"}">' for i in range(12))
)
OUTSIDE = '<!DOCTYPE a [<!ENTITY e12 SYSTEM "file://{secret}">]>'


@pytest.mark.parametrize('declared', [BOMB, OUTSIDE])
def test_entities_of_xml_are_not_followed(tmp_path, declared):
    """12 levels of tenfold entities are 4 TB of text; the other is the content of a file."""
    (tmp_path / 'secret').write_text('swordfish')
    (tmp_path / 'Annotations').mkdir()
    (tmp_path / 'list').write_text('a\n')
    page = (
        '<annotation><size><width>32</width><height>24</height></size><object><name>&e12;</name>'
        '<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>'
        '</annotation>'
    )
    text = declared.replace('{secret}', str(tmp_path / 'secret')) + page
    (tmp_path / 'Annotations/a.xml').write_text(text)
    with pytest.raises(DataError, match=r'a\.xml: not XML') as error:
        VOCDataset(str(tmp_path / 'list'), str(tmp_path))
    assert 'swordfish' not in str(error.value)


def test_what_annotations_name_is_never_fetched(tmp_path, monkeypatch):
    def connect(*_):
        raise AssertionError('a connection')

    monkeypatch.setattr('socket.socket.connect', connect)
    monkeypatch.setattr('socket.getaddrinfo', connect)
    address = 'http://example.org/0.png'
    (tmp_path / 'a.json').write_text(
        '{"images": [{"id": 1, "file_name": "' + address + '", "coco_url": "' + address + '", '
        '"width": 32, "height": 24}], "annotations": [], "categories": [{"id": 1, "name": "a"}]}'
    )
    dataset = CocoDataset(str(tmp_path / 'a.json'), str(tmp_path), test_mode=True)
    with pytest.raises(DataError, match=r'0\.png: No such file'):
        dataset.image(0)
    (tmp_path / 'data.yaml').write_text(
        f'train: {address}\nnames: [cat]\ndownload: {address}\n'  # which ultralytics fetches, runs
    )
    with pytest.raises(DataError, match='there is no folder or list of images'):
        recognise_labels(str(tmp_path / 'data.yaml'))
    with pytest.raises(DataError, match='ann_file: there is no'):
        CocoDataset(address, str(tmp_path))
