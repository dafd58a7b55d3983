"""Truths of classification and segmentation follow the image and are collated by kind."""

import numpy as np
import torch

from hrdet.structures import ClassLabel, ImageMeta, LabelMap, SegmentationMap

META = ImageMeta('a.jpg', 0, (4, 6), (4, 6), (4, 6))


def test_class_labels_do_not_move_and_are_stacked():
    label = ClassLabel(3)
    assert label.flip((4, 6)) is label
    assert label.crop(1, 1, (2, 2)) is label
    batch = ClassLabel.collate([ClassLabel(3), ClassLabel(0)], [META, META], (8, 8))
    assert batch.labels.tolist() == [3, 0]
    assert batch.labels.dtype == torch.int64


def test_a_map_follows_its_image():
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    truth = SegmentationMap(pixels)
    np.testing.assert_array_equal(truth.flip((4, 6)).labels, pixels[:, ::-1])
    np.testing.assert_array_equal(truth.crop(2, 1, (2, 3)).labels, pixels[1:3, 2:5])
    twice = truth.resize((8, 12), (2.0, 2.0), (8, 12)).labels
    np.testing.assert_array_equal(twice, pixels.repeat(2, 0).repeat(2, 1))
    canvas = truth.expand(1, 2, (7, 9)).labels
    np.testing.assert_array_equal(canvas[2:6, 1:7], pixels)
    assert (canvas == 255).sum() == 63 - 24
    assert pixels.tolist() == np.arange(24).reshape(4, 6).tolist()


def test_padding_of_a_batch_is_ignored():
    maps = [
        SegmentationMap(np.full((2, 3), 5, np.uint8)),
        SegmentationMap(np.zeros((4, 4), np.uint8)),
    ]
    batch = SegmentationMap.collate(maps, [META, META], (4, 5))
    assert batch.labels.shape == (2, 4, 5)
    assert (batch.labels[0] == 255).sum() == 20 - 6
    assert (batch.labels[1] == 255).sum() == 20 - 16


def test_a_label_map_is_an_array():
    result = LabelMap(torch.tensor([[1, 2], [3, 4]]))
    assert np.asarray(result).tolist() == [[1, 2], [3, 4]]
    assert np.asarray(result).dtype == np.uint8
    assert np.asarray(result, dtype=np.int64).dtype == np.int64
