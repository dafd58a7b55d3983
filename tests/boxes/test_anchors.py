import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hrdet.boxes import AnchorGenerator

ONE = torch.tensor([0.0, 0, 1, 1])
RATIOS = (0.5, 1.0, 2.0)


@pytest.mark.parametrize('stride', [4, 8, 16, 32, 64])
def test_anchors_are_the_release_s(golden_ops, stride):
    generator = AnchorGenerator([stride], [8], RATIOS, convention='inclusive')
    base = torch.from_numpy(golden_ops[f'anchor_base_{stride}'])
    assert torch.equal(generator.base_anchors[0] - ONE, base)
    grid = torch.from_numpy(golden_ops[f'anchor_grid_{stride}_5x7'])
    assert torch.equal(generator.grid([(5, 7)])[0] - ONE, grid)


def test_order_of_scales_and_ratios_is_the_release_s(golden_ops):
    for name, stride, scales in (
        ('anchor_base_16_scales2_4_8_scale_major', 16, (2, 4, 8)),
        ('anchor_base_8_retina', 8, [4 * 2 ** (i / 3) for i in range(3)]),
    ):
        generator = AnchorGenerator([stride], scales, RATIOS, convention='inclusive')
        assert generator.num_anchors == 9
        assert torch.equal(generator.base_anchors[0] - ONE, torch.from_numpy(golden_ops[name]))


def test_inside_is_the_release_s(golden_ops):
    generator = AnchorGenerator([16], [8], RATIOS, convention='inclusive')
    anchors = generator.grid([(5, 7)])[0]
    # Valid 4 x 5 cells: an own padding of 64 x 80 pixels; one pixel more opens the next row.
    sizes, padded = torch.tensor([[70.0, 100.0]]), torch.tensor([[64.0, 80.0]])
    for border in (0, 16, -1):
        inside = generator.inside(anchors, [(5, 7)], sizes, padded, border)
        expected = torch.from_numpy(golden_ops[f'anchor_inside_h70_w100_border{border}']).bool()
        assert torch.equal(inside, expected[None])
    valid = torch.from_numpy(golden_ops['anchor_valid_flags_5x7_valid4x5']).bool()
    assert torch.equal(generator.inside(anchors, [(5, 7)], sizes, padded, -1), valid[None])
    padded = padded + torch.tensor([1.0, 0.0])
    assert generator.inside(anchors, [(5, 7)], sizes, padded, -1).sum() == valid.sum() + 15


def test_continuous_base_anchors_by_formula():
    """mmdetection 2 and 3: centred on 0, not rounded."""
    generator = AnchorGenerator([4, 64], [8, 11.5], RATIOS, base_sizes=[4, 60])
    for base, anchors in zip((4, 60), generator.base_anchors):
        expected = [
            [-w / 2, -h / 2, w / 2, h / 2]
            for ratio in RATIOS
            for scale in (8, 11.5)
            for w, h in [(base * scale / math.sqrt(ratio), base * scale * math.sqrt(ratio))]
        ]
        # float32 against float64 at up to 500 pixels
        torch.testing.assert_close(anchors, torch.tensor(expected), rtol=1e-6, atol=1e-5)


feature_sizes = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=2, max_size=2)


@pytest.mark.parametrize('convention', ['inclusive', 'continuous'])
@given(
    sizes=feature_sizes,
    inputs=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=3),
    border=st.sampled_from([-1, 0, 3.5, 40]),
)
def test_grid_and_inside_against_loops(convention, sizes, inputs, border):
    generator = AnchorGenerator([4, 10], [1, 2], [0.7, 1.9], convention=convention)
    padded = [(h + 3, w + 9) for h, w in inputs]
    offset = 1 if convention == 'inclusive' else 0
    anchors, expected = [], []
    for stride, base, (h, w) in zip((4, 10), generator.base_anchors, sizes):
        for y in range(h):
            for x in range(w):
                for box in base.tolist():
                    shift = (x * stride, y * stride) * 2
                    moved = [c + s for c, s in zip(box, shift)]
                    anchors.append(moved)
                    x1, y1, x2, y2 = moved
                    expected.append(
                        [
                            y < math.ceil(ph / stride)
                            and x < math.ceil(pw / stride)
                            and (
                                border < 0
                                or (
                                    x1 >= -border
                                    and y1 >= -border
                                    and x2 - offset < iw + border
                                    and y2 - offset < ih + border
                                )
                            )
                            for (ih, iw), (ph, pw) in zip(inputs, padded)
                        ]
                    )
    grid = generator.grid(sizes)
    assert [len(level) for level in grid] == [h * w * 4 for h, w in sizes]
    grid = torch.cat(grid)
    torch.testing.assert_close(grid, torch.tensor(anchors), rtol=0, atol=1e-5)
    inside = generator.inside(
        grid, sizes, torch.tensor(inputs).float(), torch.tensor(padded).float(), border
    )
    assert torch.equal(inside, torch.tensor(expected).T)


def test_the_grid_is_kept():
    generator = AnchorGenerator([16], [8], RATIOS)
    first = generator.grid([(3, 4)])[0]
    assert generator.grid([(3, 4)])[0].data_ptr() == first.data_ptr()
    assert generator.grid([(4, 3)])[0].data_ptr() != first.data_ptr()


def test_wrong_numbers_of_levels_are_errors():
    with pytest.raises(ValueError, match='1 base_sizes for 2 strides'):
        AnchorGenerator([4, 8], [8], RATIOS, base_sizes=[4])
    with pytest.raises(ValueError, match='1 feature maps for 2 strides'):
        AnchorGenerator([4, 8], [8], RATIOS).grid([(3, 3)])
