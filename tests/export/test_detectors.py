"""Exported detectors give what ``predict`` gives, in pixels of the input."""

import numpy as np
import pytest
import torch

from hrdet.export import Dynamic, compare, open_exported, trace, write
from hrdet.models.multiclass_nms import SoftNMS
from hrdet.registry import ConfigError
from tests.export.conftest import needs_onnx, needs_openvino
from tests.models import toy_detectors, toy_fcos
from tests.models.toy_batches import batch


def exported(model, path, any_batch=False):
    model.classes = ('a', 'b', 'c')
    write(trace(model, (2, 64, 96), Dynamic(batch=any_batch)), path, model)
    return open_exported(path)


def inputs(images):
    return dict(images=images.images.numpy(), sizes=images.input_sizes.numpy())


def same_as_predicted(found, model, images):
    """Rows of a file's results are the detections of ``predict``; the others are 0."""
    results = [result.numpy() for result in model.predict(images, rescale=False)]
    counts = [len(result) for result in results]
    assert found['counts'].tolist() == counts
    most = found['scores'].shape[1]
    assert 0 < min(counts) < most
    for image, result in enumerate(results):
        count = counts[image]
        assert found['labels'][image, :count].tolist() == result.labels.tolist()
        # Float32 rounding of boxes up to 100 pixels.
        np.testing.assert_allclose(found['boxes'][image, :count], result.boxes, atol=1e-3)
        np.testing.assert_allclose(found['scores'][image, :count], result.scores, atol=1e-4)
        assert not any(found[name][image, count:].any() for name in found if name != 'counts')


@pytest.mark.parametrize(
    ('name', 'kind', 'convention'),
    [
        pytest.param('m.onnx', 'mask', 'inclusive', marks=needs_onnx),
        pytest.param('m.onnx', 'htc', 'continuous', marks=[needs_onnx, pytest.mark.slow]),
        pytest.param('m.xml', 'mask', 'inclusive', marks=[needs_onnx, needs_openvino]),
        ('m.pt2', 'cascade_mask', 'continuous'),
    ],
)
def test_two_stages(name, kind, convention, tmp_path):
    model = toy_detectors.detector(kind, convention, score_thr=0.5).eval()
    run, texts = exported(model, tmp_path / name)
    images = batch(with_truth=False)
    found = run(inputs(images))
    same_as_predicted(found, model, images)
    # Masks as the eager model has them before they are pasted.
    expected = model.predict_tensors(images.images, images.input_sizes)
    expected = {part: tensor.numpy() for part, tensor in expected.items()}
    assert not any(difference.too_large for difference in compare(expected, found))
    np.testing.assert_allclose(found['masks'], expected['masks'], atol=1e-4)
    assert np.ptp(found['masks'][0, 0]) > 0.1
    assert 'sizes: float32' in texts['input']


@needs_onnx
@pytest.mark.parametrize('convention', ['inclusive', 'continuous'])
def test_fcos_of_any_batch(convention, tmp_path):
    model = toy_fcos.make_detector(convention, score_thr=0.4, nms_pre=30, max_per_img=150).eval()
    run, _ = exported(model, tmp_path / 'm.onnx', any_batch=True)
    images = toy_fcos.make_batch()
    same_as_predicted(run(inputs(images)), model, images)
    one = images.part(slice(1))
    same_as_predicted(run(inputs(one)), model, one)


def test_what_no_file_can_do(tmp_path):
    model = toy_detectors.detector('faster').eval()
    with pytest.raises(ConfigError, match='a fixed size: leave out --dynamic size'):
        trace(model, (1, 64, 96), Dynamic(size=True))
    model.roi_head.max_per_img = -1
    with pytest.raises(ConfigError, match=r'roi_head\.max_per_img is below 0'):
        trace(model, (1, 64, 96))


@needs_onnx
def test_soft_nms(tmp_path):
    model = toy_detectors.detector('faster', nms=SoftNMS(0.5)).eval()
    program = trace(model, (1, 64, 96))
    with pytest.raises(ConfigError, match=r'm\.onnx: ONNX has no soft-NMS: .* export to \.pt2'):
        write(program, tmp_path / 'm.onnx', model)


def test_images_fill_the_input_without_sizes():
    model = toy_detectors.detector('faster').eval()
    images = batch(with_truth=False).images
    sizes = torch.tensor([[64.0, 96]] * 2)
    whole, told = model.predict_tensors(images), model.predict_tensors(images, sizes)
    assert all(torch.equal(whole[name], told[name]) for name in whole)
