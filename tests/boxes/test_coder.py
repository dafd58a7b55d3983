import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hrdet.boxes import DeltaCoder, clip_boxes
from hrdet.registry import ConfigError, build

ONE = torch.tensor([0.0, 0, 1, 1])
STDS = {
    'std1': (1, 1, 1, 1),
    'stdA': (0.1, 0.1, 0.2, 0.2),
    'stdB': (0.05, 0.05, 0.1, 0.1),
    'stdC': (0.033, 0.033, 0.067, 0.067),
}


@pytest.mark.parametrize('name', STDS)
def test_deltas_are_the_release_s(golden_ops, name):
    golden = {k: torch.from_numpy(golden_ops[k]) for k in golden_ops.files if name in k}
    proposals, targets = (
        torch.from_numpy(golden_ops[k]) + ONE for k in ('delta_proposals', 'delta_gts')
    )
    coder = DeltaCoder(stds=STDS[name])
    # 1e-6 of a raw delta, divided by stds down to 0.033.
    torch.testing.assert_close(
        coder.encode(proposals, targets), golden[f'bbox2delta_{name}'], rtol=1e-5, atol=3e-5
    )
    boxes = coder.decode(proposals, golden[f'delta2bbox_in_{name}'])
    # Corners reach 3000 pixels, where a float32 step is 2.4e-4.
    torch.testing.assert_close(
        boxes - ONE, golden[f'delta2bbox_noclip_{name}'], rtol=1e-6, atol=5e-5
    )
    torch.testing.assert_close(
        clip_boxes(boxes, (200, 300), 'inclusive') - ONE,
        golden[f'delta2bbox_clip200x300_{name}'],
        rtol=0,
        atol=5e-5,
    )


def test_several_deltas_a_box_with_means(golden_ops):
    proposals = torch.from_numpy(golden_ops['delta_proposals']) + ONE
    deltas = torch.from_numpy(golden_ops['delta2bbox_multi_in']).unflatten(1, (3, 4))
    coder = DeltaCoder(golden_ops['delta2bbox_multi_means'].tolist(), STDS['stdA'])
    boxes = coder.decode(proposals[:, None], deltas)
    boxes = clip_boxes(boxes, (200, 300), 'inclusive') - ONE
    expected = torch.from_numpy(golden_ops['delta2bbox_multi_out'])
    torch.testing.assert_close(boxes.flatten(1), expected, rtol=0, atol=5e-5)


box = st.tuples(
    st.floats(-100, 1000), st.floats(-100, 1000), st.floats(1, 800), st.floats(1, 800)
).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))
stds = st.tuples(*[st.floats(0.03, 2)] * 4)
means = st.tuples(*[st.floats(-1, 1)] * 4)


@given(boxes=st.lists(st.tuples(box, box), min_size=1, max_size=5), means=means, stds=stds)
def test_decoding_undoes_encoding(boxes, means, stds):
    pair = torch.tensor(boxes, dtype=torch.float64)
    ratio = (pair[:, 1, 2:] - pair[:, 1, :2]) / (pair[:, 0, 2:] - pair[:, 0, :2])
    coder = DeltaCoder(means, stds, max_ratio=1 / 1000)
    assert ((ratio > 1e-3) & (ratio < 1e3)).all()
    again = coder.decode(pair[:, 0], coder.encode(pair[:, 0], pair[:, 1]))
    # Float64 in and out; the same float32 means and stds go both ways.
    torch.testing.assert_close(again, pair[:, 1], rtol=1e-9, atol=1e-7)


@given(deltas=st.tuples(*[st.floats(-20, 20)] * 4))
def test_decode_against_the_formula(deltas):
    x1, y1, x2, y2 = 10.0, 20.0, 50.0, 100.0
    dx, dy, dw, dh = deltas
    limit = abs(math.log(16 / 1000))
    w = 40 * math.exp(max(-limit, min(limit, dw)))
    h = 80 * math.exp(max(-limit, min(limit, dh)))
    cx, cy = 30 + 40 * dx, 60 + 80 * dy
    expected = torch.tensor([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], dtype=torch.float64)
    boxes = torch.tensor([x1, y1, x2, y2], dtype=torch.float64)
    decoded = DeltaCoder().decode(boxes, torch.tensor(deltas, dtype=torch.float64))
    torch.testing.assert_close(decoded, expected, rtol=1e-9, atol=1e-9)


def test_the_gradient_of_decode():
    boxes = torch.tensor([[10.0, 20, 50, 100], [0, 0, 8, 4]], dtype=torch.float64)
    deltas = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    coder = DeltaCoder((0.1, 0, 0, 0.2), (0.1, 0.1, 0.2, 0.2))
    assert torch.autograd.gradcheck(lambda d: coder.decode(boxes, d), deltas)


def test_constants_made_in_inference_serve_training():
    coder = DeltaCoder(stds=(0.123, 0.1, 0.2, 0.2))  # numbers that no other test has used
    boxes = torch.tensor([[0.0, 0, 10, 10]])
    with torch.inference_mode():
        coder.decode(boxes, torch.zeros(1, 4))
    deltas = torch.zeros(1, 4, requires_grad=True)
    coder.decode(boxes, deltas).sum().backward()
    assert deltas.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        ({'means': (0, 0)}, 'target_means, target_stds: 4 numbers'),
        ({'stds': (0.1, 0.1, 1e9, 0.2)}, 'to 1000, not'),
        ({'stds': (0.1, 0.1, 0, 0.2)}, r'stds\[2\]: 0 is not a positive number'),
    ],
)
def test_bad_arguments_name_the_config_path(arguments, text):
    with pytest.raises(ConfigError, match=rf'model\.coder.*{text}'):
        build(dict(type='DeltaCoder', **arguments), 'model.coder')
