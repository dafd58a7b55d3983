"""What follows an image through the transforms, whatever it is."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from hrdet.boxes import BoxConvention
from hrdet.data import Expand, RandomFlip, Resize, collate
from hrdet.data.transforms.geometry import crop
from hrdet.structures import Annotation, GroundTruth, ImageMeta, LoadedProposals, Sample
from hrdet.structures.arrays import pad_maps


@dataclass(slots=True)
class Label(Annotation):
    """The truth of a task without geometry."""

    label: int | torch.Tensor

    @classmethod
    def collate(cls, annotations, metas, size):
        return cls(torch.tensor([truth.label for truth in annotations]))


@dataclass(slots=True)
class LabelMap(Annotation):
    """The truth of a task with a label in every pixel."""

    labels: np.ndarray | torch.Tensor

    def flip(self, size):
        return LabelMap(self.labels[:, ::-1])

    def crop(self, left, top, size):
        return LabelMap(self.labels[top : top + size[0], left : left + size[1]])

    @classmethod
    def collate(cls, annotations, metas, size):
        return cls(pad_maps([truth.labels for truth in annotations], size, fill=255))


def sample(truth, h=40, w=60):
    image = np.arange(h * w * 3, dtype=np.uint8).reshape(h, w, 3)
    return Sample(image, ImageMeta('x.jpg', 1, (h, w), (h, w), (h, w)), truth)


def test_a_class_label_needs_no_geometry():
    changed = sample(Label(7))
    rng = np.random.default_rng(0)
    for transform in (Resize((30, 20)), RandomFlip(1), Expand(ratio_range=(2, 2))):
        changed = transform(changed, rng)
    changed = crop(changed, 3, 4, (10, 12))
    assert changed.truth == Label(7)
    batch = collate([changed, sample(Label(3))])
    assert batch.truth.label.tolist() == [7, 3]
    assert batch.to('meta').truth.label.device.type == 'meta'
    assert batch.part(slice(1, 2)).truth.label.tolist() == [3]


def test_a_map_of_labels_follows_and_is_padded():
    labels = np.arange(40 * 60, dtype=np.uint8).reshape(40, 60)
    moved = crop(RandomFlip(1)(sample(LabelMap(labels)), np.random.default_rng(0)), 5, 6, (20, 30))
    np.testing.assert_array_equal(moved.truth.labels, labels[:, ::-1][6:26, 5:35])
    batch = collate([moved, sample(LabelMap(labels))], size_divisor=32)
    assert batch.truth.labels.shape == (2, 64, 64)
    assert (batch.truth.labels[0, :20, :30].numpy() == moved.truth.labels).all()
    assert (batch.truth.labels[0, 20:] == 255).all()
    assert (batch.truth.labels[1, :, 60:] == 255).all()


@pytest.mark.parametrize('convention', list(BoxConvention))
def test_the_convention_of_boxes_travels_with_them(convention):
    """Inclusive corners end on the last pixel, and are scaled as pixels are counted from 0."""
    boxes = np.float32([[50, 30, 60, 40]])
    truth = GroundTruth(boxes, np.zeros(1, np.int64), boxes, convention=convention)
    before = sample(truth)
    before.proposals = LoadedProposals(np.float32([[50, 30, 60, 40, 0.5]]), convention)
    resized = Resize((120, 80))(before, np.random.default_rng(0))
    inclusive = convention is BoxConvention.INCLUSIVE
    expected = [[100.0, 60.0, 119.0, 79.0] if inclusive else [100.0, 60.0, 120.0, 80.0]]
    assert resized.truth.boxes.tolist() == resized.truth.ignored.tolist() == expected
    assert resized.proposals.rows[:, :4].tolist() == expected
    outside = crop(before, 0, 0, (30, 50)).truth.ignored
    assert outside.shape == (0, 4)
    assert collate([resized]).truth.convention is convention
