"""tools/export.py, and the scripts of docs/export.md with hrdet out of reach."""

import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hrdet.apis import init_model
from hrdet.export import place, trace, write
from tests.export.conftest import make_segmentor, needs_onnx, needs_openvino
from tests.models import toy_detectors

ROOT = Path(__file__).resolve().parents[2]
BLOCKED = 'import sys; sys.modules["hrdet"] = None\n'


def script(heading):
    """The code of a section of the page."""
    page = (ROOT / 'docs/export.md').read_text(encoding='utf-8')
    section = page.split(f'## {heading}\n')[1].split('\n## ')[0]
    return '\n'.join(line[4:] for line in re.findall(r'^(?:    .*|)$', section, re.MULTILINE))


def run_script(heading, folder):
    """What the script of a section prints, run in ``folder`` where hrdet cannot be imported."""
    done = subprocess.run(
        [sys.executable, '-c', BLOCKED + script(heading)],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def trained(task, tmp_path):
    """A task with weights under which images matter, and a photo as large as its input."""
    content = torch.load(task.checkpoint)
    generator = torch.Generator().manual_seed(0)
    for name, value in content['state_dict'].items():
        if name.endswith(('fc.weight', 'conv_seg.weight')):
            value.normal_(std=0.05, generator=generator)
    torch.save(content, tmp_path / 'weights.pth')
    blocks = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'photo.png'), cv2.resize(blocks, (64, 64)))
    (tmp_path / 'photo.png').rename(tmp_path / 'photo.jpg')  # without loss
    return task.config, tmp_path / 'weights.pth', tmp_path


@needs_onnx
@pytest.mark.slow
def test_the_scripts_of_the_page(command, trained):
    config, weights, folder = trained
    size = ('--size', 64, 64)
    told = command('export', config, weights, folder / 'model.onnx', *size)
    assert 'largest difference: ' in told
    assert re.search(r'1 x 3 x 64 x 64: model \d+\.\d ms, file \d+\.\d ms a call', told)
    model = init_model(config, weights, 'cpu')
    picture = cv2.imread(str(folder / 'photo.jpg'))
    images = torch.from_numpy(picture.transpose(2, 0, 1)[None].copy())
    if model.task == 'classification':
        scores = model.predict_tensors(images)['scores'][0]
        best = scores.argsort(descending=True, stable=True)[:5]
        expected = [f'{model.classes[label]} {scores[label]:.4f}' for label in best]
        assert run_script('Run a classifier', folder) == expected
    else:
        labels = model.predict_tensors(images)['labels'][0].numpy()
        expected = [
            f'{model.classes[label]} {(labels == label).mean():.4f}' for label in np.unique(labels)
        ]
        assert run_script('Run a segmentor', folder) == expected
        written = cv2.imread(str(folder / 'labels.png'), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(written, labels)


@needs_openvino
def test_the_script_of_openvino(tmp_path):
    model = make_segmentor()
    write(trace(model, (1, 64, 96)), tmp_path / 'model.xml', model)
    cv2.imwrite(str(tmp_path / 'photo.jpg'), np.zeros((40, 40, 3), np.uint8))
    (printed,) = run_script('Run an OpenVINO file', tmp_path)
    assert printed == "['a', 'b', 'c', 'd'] {'labels': (1, 64, 96)}"


@needs_onnx
@pytest.mark.slow
def test_the_script_of_detectors(tmp_path):
    model = toy_detectors.detector('faster', 'continuous').eval()
    model.classes = ('ant', 'bee', 'cat')
    write(trace(model, (1, 64, 96)), tmp_path / 'model.onnx', model)
    # Half of the input's height remains empty; the photo is twice as large as its place.
    blocks = np.random.default_rng(0).integers(0, 256, (8, 24, 3), np.uint8)
    photo = cv2.resize(blocks, (192, 64), interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(tmp_path / 'photo.png'), photo)
    (tmp_path / 'photo.png').rename(tmp_path / 'photo.jpg')  # without loss
    image, size = place(photo, (64, 96), padded=True)
    assert size == (32, 96)
    found = model.predict_tensors(torch.from_numpy(image)[None], torch.tensor([size]).float())
    expected = [
        f'{model.classes[label]} {score:.4f} ' + ' '.join(f'{2 * side:.1f}' for side in box)
        for box, score, label in zip(found['boxes'][0], found['scores'][0], found['labels'][0])
        if score > 0.3
    ]
    assert len(expected) > 1
    names, numbers = _split(run_script('Run a detector', tmp_path))
    expected_names, expected_numbers = _split(expected)
    assert names == expected_names
    np.testing.assert_allclose(numbers, expected_numbers, atol=0.11)  # one in the last digit


def _split(lines):
    """The class of each line, and its numbers."""
    rows = [line.split() for line in lines]
    return [name for name, *_ in rows], np.array([row[1:] for row in rows], float)


@pytest.mark.slow
def test_a_pt2_without_hrdet(command, classification, tmp_path):
    """In the size of the config's test, which the script of the page has."""
    out = tmp_path / 'model.pt2'
    told = command('export', classification.config, classification.checkpoint, out)
    assert 'input 64 x 64 (h x w)' in told
    assert 'largest difference: scores' in told
    cv2.imwrite(str(tmp_path / 'photo.jpg'), np.zeros((48, 48, 3), np.uint8))
    classes, shapes = run_script('Run a .pt2', tmp_path)
    assert json.loads(classes) == list(classification.data.classes)
    assert shapes == f"{{'scores': (1, {len(classification.data.classes)})}}"


def test_a_difference_is_an_error(command, classification, tmp_path, monkeypatch):
    from hrdet.export import files

    monkeypatch.setattr(files, '_open_pt2', lambda path: (wrong_scores, {}))
    out = tmp_path / 'model.pt2'
    told = command('export', classification.config, classification.checkpoint, out)
    assert 'model.pt2 differs from its model: scores' in told


def wrong_scores(inputs):
    return dict(scores=np.zeros((len(inputs['images']), 1), np.float32))


@pytest.mark.parametrize(('arguments', 'told'), [
    (('m.pth',), r'm\.pth: an exported file ends in \.onnx, \.xml, \.pt2 or \.aoti\.pt2'),
    (('m.pt2', '--image', 'gone.jpg'), r'gone\.jpg: No such file'),
    (('m.pt2', '--size', '64', '80', '--dynamic', 'size'), 'multiples of 32, not 64 x 80'),
])  # fmt: skip
def test_a_mistake_is_one_line(command, classification, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    text = command('export', classification.config, classification.checkpoint, *arguments)
    assert re.match(rf'error: .*{told}', text)
    assert not list(tmp_path.iterdir())
