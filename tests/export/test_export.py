"""Exported files give what ``predict`` of their model gives, and say what they are."""

import json
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from hrdet import __version__
from hrdet.export import Dynamic, check_format, files, open_exported, trace, write
from hrdet.models.base import BaseModel
from hrdet.models.preprocess import Preprocess
from hrdet.registry import ConfigError
from tests.export.conftest import FORMATS, make_segmentor, needs_openvino

FIXED, BOTH = Dynamic(), Dynamic(batch=True, size=True)


def exported(model, path, shape, dynamic=FIXED):
    """The function of a file of the model, and the file's metadata."""
    write(trace(model, shape, dynamic), path, model)
    return open_exported(path)


@pytest.mark.parametrize('name', FORMATS)
def test_scores_of_a_classifier(classifier, whole_batch, tmp_path, name):
    run, _ = exported(classifier, tmp_path / name, (2, 64, 96))
    batch = whole_batch(2, 64, 96)
    scores = run(dict(images=batch.images.numpy()))['scores']
    expected = torch.stack([result.scores for result in classifier.predict(batch)]).numpy()
    assert np.ptp(expected, axis=0).max() > 1e-3  # the images matter
    np.testing.assert_allclose(scores, expected, atol=1e-6)  # of probabilities in float32


@pytest.mark.parametrize('name', FORMATS)
def test_one_file_for_all_sizes_and_batches(segmentor, whole_batch, tmp_path, name):
    run, _ = exported(segmentor, tmp_path / name, (1, 64, 96), BOTH)
    for shape in ((1, 64, 96), (3, 96, 64)):
        batch = whole_batch(*shape)
        labels = run(dict(images=batch.images.numpy()))['labels']
        expected = np.stack([np.asarray(result) for result in segmentor.predict(batch)])
        assert len(np.unique(expected)) > 2
        assert (labels.shape, labels.dtype) == (shape, np.uint8)
        assert (labels != expected).mean() < 1e-3  # where two logits are equal to rounding


@pytest.mark.parametrize('name', FORMATS[:2])
def test_sliding_windows(whole_batch, tmp_path, name):
    model = make_segmentor(crop_size=(48, 64), stride=(32, 40))
    run, _ = exported(model, tmp_path / name, (2, 80, 96))
    batch = whole_batch(2, 80, 96)
    labels = run(dict(images=batch.images.numpy()))['labels']
    expected = np.stack([np.asarray(result) for result in model.predict(batch)])
    assert (labels != expected).mean() < 1e-3
    with pytest.raises(ConfigError, match=r"leave out --dynamic.*mode='whole'"):
        trace(model, (1, 96, 96), Dynamic(batch=True))


@pytest.mark.parametrize('name', FORMATS)
def test_a_file_describes_itself(classifier, tmp_path, name):
    _, texts = exported(classifier, tmp_path / 'new' / name, (1, 32, 32))
    assert texts['hrdet_version'] == __version__
    assert texts['task'] == 'classification'
    assert json.loads(texts['classes']) == ['ant', 'bee', 'ähre']
    assert json.loads(texts['mean']) == pytest.approx([123.675, 116.28, 103.53])
    assert json.loads(texts['std']) == pytest.approx([58.395, 57.12, 57.375])
    assert texts['channel_order'] == 'rgb'
    assert 'blue green red' in texts['input']
    assert 'sizes' not in texts['input']
    assert texts['output'].startswith('``scores`` (N, K)')


def test_the_model_stays_as_it_was(classifier):
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    trace(classifier, (1, 32, 32))
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert all(parameter.requires_grad for parameter in classifier.parameters())


def test_what_cannot_be_exported(segmentor, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match='multiples of 32, not 64 x 90'):
        trace(segmentor, (1, 64, 90), Dynamic(size=True))
    own = type('Own', (BaseModel,), {})(Preprocess([0] * 3, [1] * 3), nn.Identity())
    with pytest.raises(ConfigError, match='Own has no predict_tensors'):
        trace(own, (1, 32, 32))
    with pytest.raises(
        ConfigError, match=r'm\.pth: an exported file ends in \.onnx, \.xml, \.pt2 or'
    ):
        check_format(tmp_path / 'm.pth')
    monkeypatch.setattr(files, 'find_spec', lambda name: name == 'onnx' or None)
    check_format(tmp_path / 'm.pt2')
    with pytest.raises(ConfigError, match='pip install onnxscript onnxruntime'):
        check_format(tmp_path / 'm.onnx')
    with pytest.raises(ConfigError, match=r"openvino: .* \(or hrdet's extra 'openvino'\)"):
        check_format(tmp_path / 'm.xml')
    monkeypatch.setenv('CXX', 'no-such-compiler')
    with pytest.raises(ConfigError, match=r'needs a C\+\+ compiler: install g\+\+'):
        check_format(tmp_path / 'm.aoti.pt2')


@needs_openvino
def test_openvino_and_sliding_windows(tmp_path):
    program = trace(make_segmentor(crop_size=(48, 64), stride=(32, 40)), (2, 80, 96))
    with pytest.raises(ConfigError, match=r'OpenVINO cannot convert this model .* to \.onnx or'):
        write(program, tmp_path / 'm.xml', make_segmentor())


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which('g++'), reason='needs a C++ compiler')
def test_machine_code(classifier, whole_batch, tmp_path):
    run, texts = exported(classifier, tmp_path / 'm.aoti.pt2', (1, 64, 96))
    batch = whole_batch(1, 64, 96)
    expected = classifier.predict(batch)[0].scores
    np.testing.assert_allclose(
        run(dict(images=batch.images.numpy()))['scores'][0], expected, atol=1e-6
    )
    assert json.loads(texts['classes']) == ['ant', 'bee', 'ähre']
