"""hrdet's operators in ONNX give what hrdet's kernels give."""

import numpy as np
import pytest
import torch
from torch import nn

from hrdet import ops
from tests.export.conftest import needs_onnx

pytestmark = needs_onnx


class Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *tensors):
        return self.function(*tensors)


def in_onnx(function, *tensors):
    """The results of a function of tensors after its translation."""
    import onnxruntime

    from hrdet.export.onnx_operators import translations

    names = [f'input{number}' for number in range(len(tensors))]
    onnx = torch.onnx.export(
        Call(function),
        tensors,
        dynamo=True,
        verbose=False,
        input_names=names,
        custom_translation_table=translations(),
    )
    session = onnxruntime.InferenceSession(
        onnx.model_proto.SerializeToString(), providers=['CPUExecutionProvider']
    )
    return session.run(None, {name: tensor.numpy() for name, tensor in zip(names, tensors)})


def test_nms():
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(4, 60, 4, generator=generator) * 40
    boxes[..., 2:] += boxes[..., :2]
    # Scores of a few values only: equal ones go by their index.
    scores = torch.randint(0, 9, (4, 60), generator=generator) / 8
    scores[1, ::2] = -torch.inf
    scores[1, 5] = torch.nan
    scores[2] = -torch.inf
    boxes[3, :, 2:] = boxes[3, :, :2]  # without area
    expected = ops.nms(boxes, scores, 0.4, 40)
    assert 0 < expected[1][1].sum() < 40
    assert not expected[1][2].any()
    index, valid = in_onnx(lambda boxes, scores: ops.nms(boxes, scores, 0.4, 40), boxes, scores)
    np.testing.assert_array_equal(valid, expected[1])
    np.testing.assert_array_equal(index, expected[0])


@pytest.mark.parametrize('half_pixel', [False, True])
@pytest.mark.parametrize('sampling_ratio', [0, 2])
@pytest.mark.parametrize('strides', [[4, 8, 16], [8]])
def test_roi_align(half_pixel, sampling_ratio, strides):
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(2, 3, 96 // s, 128 // s, generator=generator) for s in strides]
    near = torch.rand(200, 2, generator=generator) * 80
    size = torch.rand(200, 2, generator=generator).square() * 80  # also far below a pixel
    image = torch.randint(-1, 2, (200, 1), generator=generator).float()  # -1 is padding
    rois = torch.cat([image, near, near + size], 1)
    rois[-1] = torch.tensor([0.0, 5, 5, 5, 5])
    rois[-2] = torch.tensor([1.0, -30, -30, 150, 150])

    def align(rois, *maps):
        return ops.roi_align(
            maps, rois, (5, 4), strides, sampling_ratio, half_pixel, finest_scale=14
        )

    (found,) = in_onnx(align, rois, *maps)
    expected = align(rois, *maps).numpy()
    assert not expected[rois[:, 0] < 0].any()
    np.testing.assert_allclose(found, expected, atol=1e-5)  # of values about 1 in float32


def test_roi_align_of_given_levels():
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(1, 2, 12, 12, generator=generator) for _ in range(2)]
    rois = torch.tensor([[0.0, 2, 3, 30, 20], [0, 4, 4, 40, 44], [0, 1, 1, 9, 8]])
    levels = torch.tensor([1, 0, 1])

    def align(rois, levels, *maps):
        return ops.roi_align(maps, rois, 2, [4, 4], 2, True, levels=levels)

    (found,) = in_onnx(align, rois, levels, *maps)
    np.testing.assert_allclose(found, align(rois, levels, *maps).numpy(), atol=1e-5)


def test_a_sort_is_stable():
    values = torch.tensor([[1.0, 2, 1, 2, -torch.inf, 2], [0.0, 0, 3, 0, 3, 0]])
    for dim, descending in ((1, True), (0, False)):

        def sort(values, dim=dim, descending=descending):
            return values.sort(dim=dim, descending=descending, stable=True)

        found, expected = in_onnx(sort, values), sort(values)
        np.testing.assert_array_equal(found[0], expected.values)
        np.testing.assert_array_equal(found[1], expected.indices)
