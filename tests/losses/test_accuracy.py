import numpy as np
import pytest
import torch

from hrdet.losses.accuracy import pixel_accuracy


def test_it_is_mmsegmentation_s(reference_dir):
    with np.load(reference_dir / 'seg_ops.npz') as file:
        logits, labels = (torch.from_numpy(file[f'loss_{n}']) for n in ('logits', 'labels'))
        expected = file['loss_acc'].item()
    assert pixel_accuracy(logits, labels).item() == pytest.approx(expected, rel=1e-6)


def test_ignored_pixels_do_not_count():
    logits = torch.randn(2, 3, 4, 5)
    labels = torch.randint(0, 3, (2, 4, 5), dtype=torch.uint8)
    labels[:, :2] = 255
    hits = logits.argmax(dim=1)[:, 2:] == labels[:, 2:]
    assert pixel_accuracy(logits, labels).item() == pytest.approx(100 * hits.double().mean().item())


def test_without_labels_that_count_it_is_100():
    labels = torch.full((1, 2, 2), 255)
    assert pixel_accuracy(torch.randn(1, 3, 2, 2), labels).item() == 100
