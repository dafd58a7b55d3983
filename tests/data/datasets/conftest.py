"""Class folders and folders of label maps, written on the spot; the tool that checks data sets."""

import importlib.util
import shutil
import tarfile
import zipfile

import cv2
import numpy as np
import pytest


@pytest.fixture
def class_folders(tmp_path):
    """``train/{ant,bee,cat}/N.jpg``, 3, 2 and 1 images of as many grey levels."""
    root = tmp_path / 'animals'
    grey = 0
    for name, count in (('ant', 3), ('bee', 2), ('cat', 1)):
        folder = root / 'train' / name
        folder.mkdir(parents=True)
        for i in range(count):
            grey += 40
            image = np.full((20 + i, 30, 3), grey, np.uint8)
            cv2.imwrite(str(folder / f'{i}.jpg'), image)
    return root


@pytest.fixture
def label_folders(tmp_path):
    """``img/N.jpg`` and ``map/N.png``: 4 images of 12 x 16 with labels 0, 1, 2 and 255."""
    root = tmp_path / 'street'
    rng = np.random.default_rng(0)
    for folder in ('img', 'map'):
        (root / folder).mkdir(parents=True)
    for i in range(4):
        cv2.imwrite(str(root / 'img' / f'{i}.jpg'), rng.integers(0, 256, (12, 16, 3), np.uint8))
        labels = rng.choice(np.array([0, 1, 2, 255], np.uint8), (12, 16))
        cv2.imwrite(str(root / 'map' / f'{i}.png'), labels)
    return root


@pytest.fixture
def packed():
    """``packed(folder, kind)``: the folder's content as FOLDER.zip or FOLDER.tar."""

    def pack(folder, kind):
        archive = folder.with_suffix(f'.{kind}')
        files = sorted(path for path in folder.rglob('*') if path.is_file())
        if kind == 'zip':
            with zipfile.ZipFile(archive, 'w') as file:
                for i, path in enumerate(files):
                    method = zipfile.ZIP_DEFLATED if i % 2 else zipfile.ZIP_STORED
                    file.write(path, path.relative_to(folder), method)
        else:
            with tarfile.open(archive, 'w') as file:
                file.add(folder, '.')
        shutil.rmtree(folder)
        return archive

    return pack


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of this test alone."""
    monkeypatch.setenv('HRDET_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


@pytest.fixture
def run(pytestconfig, capsys, monkeypatch):
    """Runs tools/check_dataset.py in this process: its exit status and what it printed.

    The picture of the labels, which takes seconds, is drawn only with ``--labels``.
    """
    path = pytestconfig.rootpath / 'tools' / 'check_dataset.py'
    spec = importlib.util.spec_from_file_location('check_dataset', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    draw = tool.draw_labels

    def call(*arguments):
        wanted = '--labels' in arguments
        monkeypatch.setattr(tool, 'draw_labels', draw if wanted else lambda *_: None)
        try:
            status = tool.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            status = stop.code
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return call
