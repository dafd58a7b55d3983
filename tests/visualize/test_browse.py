"""The page of hrdet check --browse."""

import json
import re

import cv2
import numpy as np
import pytest

from tools.check_dataset import main


def image(path, size=(60, 100)):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(path.name.encode()))  # no image is a copy of another
    cv2.imwrite(str(path), rng.integers(0, 255, (*size, 3)))


@pytest.fixture
def page(tmp_path, monkeypatch, capsys):
    """The content of the page for a data set that a function writes into a folder."""
    monkeypatch.chdir(tmp_path)

    def check(write):
        write(tmp_path / 'data')
        status = main(['data', '--browse', 'shown'])
        assert capsys.readouterr().out.endswith('look at: shown/index.html\n')
        text = (tmp_path / 'shown/index.html').read_text(encoding='utf-8')
        content = json.loads(re.search(r'application/json">(.*?)</script>', text, re.S)[1])
        for entry in content['images']:
            assert cv2.imread(str(tmp_path / 'shown' / entry['file'])).shape[1] == entry['width']
        return status, content

    return check


def write_yolo(root):
    for part, count in (('train', 3), ('val', 1)):
        for i in range(count):
            image(root / f'images/{part}/{part}{i}.jpg')
            labels = root / f'labels/{part}/{part}{i}.txt'
            labels.parent.mkdir(parents=True, exist_ok=True)
            twice = 2 if (part, i) == ('train', 2) else 1
            labels.write_text(f'{i % 2} 0.5 0.5 0.25 0.5\n' * twice)
    (root / 'data.yaml').write_text('train: images/train\nval: images/val\nnames: [cat, dog]\n')


def test_boxes_with_the_doubtful_image_first(page):
    status, content = page(write_yolo)
    assert status == 0
    assert (content['classes'], content['outcomes']) == (['cat', 'dog'], ['train', 'val'])
    first, *others = content['images']
    assert first['title'] == 'train train2.jpg'
    assert '1 box has the box and the class of another box' in first['text']
    titles = ['train train0.jpg', 'train train1.jpg', 'val val0.jpg']
    assert [entry['title'] for entry in others] == titles
    assert [entry['outcomes'] for entry in others] == [
        [[0, 'train', 1.0]], [[1, 'train', 1.0]], [[0, 'val', 1.0]],
    ]  # fmt: skip


def test_classes_and_an_image_that_cannot_be_read(page):
    def write(root):
        for part in ('train', 'val'):
            for name in ('ant', 'bee'):
                image(root / part / name / f'{name}.jpg')
        (root / 'val/bee/cut.jpg').write_bytes(b'cut')

    status, content = page(write)
    assert status == 1
    assert len(content['images']) == 4
    assert [o[0] for entry in content['images'] for o in entry['outcomes']] == [0, 1, 0, 1]


def test_label_maps_that_all_have_an_error(page):
    def write(root):
        image(root / 'images/train/0.jpg')
        (root / 'labels/train').mkdir(parents=True)
        cv2.imwrite(str(root / 'labels/train/0.png'), np.full((60, 100), 7, np.uint8))
        (root / 'classes.txt').write_text('earth\nsky\n')

    status, content = page(write)
    assert (status, content['images']) == (1, [])


def test_the_limit(tmp_path, monkeypatch):
    from hrdet.finetune import open_parts
    from hrdet.visualize.browse import write_browser

    monkeypatch.chdir(tmp_path)
    write_yolo(tmp_path / 'data')
    _, parts = open_parts('data')
    kind, arguments = parts['train']
    dataset = kind(**arguments, transforms=())
    page = write_browser({'train': dataset}, [], tmp_path / 'shown', limit=2)
    assert page.read_text(encoding='utf-8').count('"file"') == 2
    names = sorted(path.name for path in (tmp_path / 'shown/images').iterdir())
    assert names == ['train_000000_train0.jpg', 'train_000002_train2.jpg']


def test_a_problem_marks_the_image_of_its_name_alone(page):
    def write(root):
        write_yolo(root)
        (root / 'images/train/train2.jpg').rename(root / 'images/train/a_train1.jpg')
        (root / 'labels/train/train2.txt').rename(root / 'labels/train/a_train1.txt')

    _, content = page(write)
    doubtful = [entry['title'] for entry in content['images'] if entry['score'] == 0]
    assert doubtful == ['train a_train1.jpg']  # not train1.jpg too
