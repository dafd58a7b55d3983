"""Proposals with the objects added to them."""

import torch

from hrdet.matching import Assignment
from hrdet.models.roi.sampling import add_gt_as_proposals
from hrdet.structures import GroundTruth, Proposals


def test_objects_in_front_of_proposals():
    objects = torch.tensor([[[0.0, 0, 4, 4], [2, 2, 8, 8]], [[1, 1, 5, 5], [3, 3, 9, 9]]])
    truth = GroundTruth(
        objects,
        torch.zeros(2, 2, dtype=torch.int64),
        torch.zeros(2, 0, 4),
        valid=torch.tensor([[True, True], [True, False]]),  # a padded row may hold anything
    )
    boxes = torch.arange(24.0).reshape(2, 3, 4)
    proposals = Proposals(boxes, torch.rand(2, 3), torch.tensor([[True] * 3, [True, False, False]]))
    assignment = Assignment(torch.tensor([[0, -1, 1], [0, -2, -2]]), torch.rand(2, 3))
    more, assigned = add_gt_as_proposals(proposals, assignment, truth)
    assert torch.equal(more.boxes, torch.cat([truth.boxes, boxes], 1))
    assert torch.equal(more.scores[:, 2:], proposals.scores)
    assert more.valid.tolist() == [[True] * 5, [True, False, True, False, False]]
    assert assigned.gt_index.tolist() == [[0, 1, 0, -1, 1], [0, -2, 0, -2, -2]]
    assert assigned.max_iou[:, :2].tolist() == [[1, 1], [1, -1]]
    assert torch.equal(assigned.max_iou[:, 2:], assignment.max_iou)
