"""The shape of what is left after the suppression within classes; its content is tested by use."""

import pytest
import torch

from hrdet.models.multiclass_nms import NMS, multiclass_nms


@pytest.mark.parametrize(
    ('limit', 'rows', 'counts'), [(-1, 5, [5, 2]), (3, 3, [3, 2]), (0, 0, [0, 0])]
)
def test_rows_and_counts(limit, rows, counts):
    """Without a limit no more rows than the fullest image has: masks are made for all of them."""
    corners = torch.arange(4.0)[:, None] * 20  # four boxes apart from each other
    boxes = torch.cat([corners, corners, corners + 10, corners + 10], 1).expand(2, 4, 4)
    scores = torch.zeros(2, 4, 3)
    scores[0, :, 1], scores[0, 2, 2] = torch.tensor([0.4, 0.9, 0.3, 0.8]), 0.5
    scores[1, 3] = torch.tensor([0.6, 0.0, 0.7])
    found = multiclass_nms(boxes[:, :, None], scores, 0.05, NMS(0.5), limit)
    assert [tuple(part.shape) for part in found] == [(2, rows, 4), (2, rows), (2, rows), (2,)]
    assert found[3].tolist() == counts
    assert found[2][0].tolist() == [1, 1, 2, 1, 1][:rows]
    assert found[2][1, :2].tolist() == [2, 0][:rows]
