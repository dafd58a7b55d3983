import numpy as np
import pytest
import torch

from hrdet.losses.accuracy import accuracy, topk_hits


def test_top_1_and_top_5_are_mmpretrain_s(reference_dir):
    with np.load(reference_dir / 'cls_transforms.npz') as file:
        scores, labels = torch.from_numpy(file['acc_scores']), torch.from_numpy(file['acc_labels'])
        expected = file['acc_top1_top5']
    # mmpretrain counts a hit only where its score is above 0, as all softmax scores are.  The
    # golden scores are not: a label whose score is negative has to become no class.
    assert accuracy(scores.softmax(dim=1), labels, (5,)).item() == pytest.approx(46)
    own = scores.gather(1, labels[:, None])[:, 0]
    labels = torch.where(own > 0, labels, -1)
    np.testing.assert_allclose(accuracy(scores, labels, (1, 5)), expected, rtol=1e-6)
    halves = [topk_hits(s, l, (1, 5)) for s, l in zip(scores.split(25), labels.split(25))]
    np.testing.assert_array_equal(sum(halves) / len(labels) * 100, expected.astype(np.float32))


def test_of_pixels_it_is_mmsegmentation_s(reference_dir):
    with np.load(reference_dir / 'seg_ops.npz') as file:
        logits, labels = (torch.from_numpy(file[f'loss_{n}']) for n in ('logits', 'labels'))
        expected = file['loss_acc']
    np.testing.assert_allclose(accuracy(logits, labels, ignore_index=255), expected, rtol=1e-6)


def test_order_of_k_is_the_caller_s():
    scores = torch.tensor([[0.1, 0.5, 0.4], [0.6, 0.3, 0.1]])
    assert topk_hits(scores, torch.tensor([2, 2]), (3, 1, 2)).tolist() == [2, 0, 1]
    assert topk_hits(scores, torch.tensor([1, 7]), (3, 1)).tolist() == [1, 1], '7 is no class'


def test_without_labels_that_count_it_is_100():
    labels = torch.full((1, 2, 2), 255)
    assert accuracy(torch.randn(1, 3, 2, 2), labels, ignore_index=255).tolist() == [100]


def test_k_above_the_number_of_classes():
    with pytest.raises(ValueError, match=r'topk=\(1, 5\): there are only 2 classes'):
        topk_hits(torch.randn(3, 2), torch.zeros(3, dtype=torch.long), (1, 5))
