"""What counts as the same result."""

import numpy as np
import pytest

from benchmarks import compare
from benchmarks.compare import (
    near_arrays,
    same_arrays,
    same_detections,
    same_labels,
    same_losses,
    same_training,
)
from benchmarks.harness import DisagreementError


def detections(scores=(0.9, 0.8, 0.3), labels=(0, 1, 1)):
    boxes = np.array([[10, 10, 50, 60], [30, 20, 90, 80], [5, 5, 25, 25]], np.float32)
    masks = np.zeros((3, 100, 100), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int)):
        mask[y1:y2, x1:x2] = True
    return {
        'boxes0': boxes[: len(scores)],
        'scores0': np.array(scores, np.float32),
        'labels0': np.array(labels[: len(scores)]),
        'masks0': np.packbits(masks.reshape(3, -1), axis=1)[: len(scores)],
    }


def test_order_and_rounding_do_not_count():
    ours, theirs = detections(), detections()
    order = [2, 0, 1]
    theirs = {name: value[order] for name, value in theirs.items()}
    theirs['boxes0'] = theirs['boxes0'] + 0.04
    theirs['scores0'] = theirs['scores0'] - 9e-4
    text = same_detections(ours, theirs)
    assert text.startswith('6 of 6 detections agree, scores to 9e-04, boxes to 4e-02 px')
    assert text.endswith('masks to IoU 1.0000')


def move_box(found):
    found['boxes0'][1, 2] += 0.06


def lower_score(found):
    found['scores0'][0] -= 2e-3


def change_label(found):
    found['labels0'][0] = 7


def cut_mask(found):
    found['masks0'][0, 250:275] = 0


@pytest.mark.parametrize('change', [move_box, lower_score, change_label, cut_mask])
def test_a_difference_is_found(change):
    theirs = detections()
    change(theirs)
    with pytest.raises(DisagreementError, match='detections agree'):
        same_detections(detections(), theirs)


def test_the_last_of_a_full_list_may_be_another(monkeypatch):
    monkeypatch.setattr(compare, 'MOST', 3)
    ours, theirs = detections(), detections()
    theirs['scores0'][2], theirs['labels0'][2] = 0.3004, 5
    assert same_detections(ours, theirs).startswith('4 of 6')
    # One that is clearly above the last may not be missing.
    ours['scores0'][1], ours['labels0'][1] = 0.8, 9
    with pytest.raises(DisagreementError):
        same_detections(ours, theirs)


def test_a_detection_too_many_at_the_threshold():
    assert same_detections(detections((0.9, 0.8, 0.0505)), detections((0.9, 0.8)))
    with pytest.raises(DisagreementError):
        same_detections(detections((0.9, 0.8, 0.3)), detections((0.9, 0.8)))


def test_no_detections_at_all():
    empty = {name: value[:0] for name, value in detections().items()}
    assert same_detections(empty, empty).startswith('0 of 0')


def test_arrays_must_have_the_same_names_and_shapes():
    a = {'x': np.zeros(3)}
    assert same_arrays()(a, a) == 'identical'
    for other in ({'y': np.zeros(3)}, {'x': np.zeros(4)}, {'x': np.full(3, np.nan)}):
        with pytest.raises(DisagreementError):
            same_arrays()(a, other)


def test_losses_are_compared_by_name_and_relatively():
    ours = {'loss/a': np.float32(2), 'moved/w': np.float32(1e-5)}
    theirs = {'loss/a': np.float32(2.0001), 'moved/w': np.float32(1.003e-5)}
    words = '1 losses equal to 5e-05, steps of 1 parameters to 3e-03'
    assert same_losses(ours, theirs) == words
    for name, value in (('loss/a', 2.001), ('moved/w', 1.01e-5), ('loss/a', np.nan)):
        with pytest.raises(DisagreementError, match=f'1 of 2 differ: {name}'):
            same_losses(ours, theirs | {name: np.float32(value)})
    with pytest.raises(DisagreementError, match='only hrdet has'):
        same_losses(ours, {'loss/a': np.float32(2)})


def test_a_step_is_compared_as_a_whole_where_norms_have_batch_statistics():
    ours = {'loss/a': np.float32(2), 'moved/w': np.float32(3), 'moved/b': np.float32(0.01)}
    theirs = ours | {'moved/b': np.float32(0.011)}
    with pytest.raises(DisagreementError, match='moved/b'):
        same_losses(ours, theirs)
    words = '1 losses equal to 0e+00, the step of 2 parameters to 3e-04'
    assert same_training(ours, theirs) == words
    for name, value in {'loss/a': 2.001, 'moved/w': 3.1, 'moved/b': np.nan, 'moved/c': 1}.items():
        with pytest.raises(DisagreementError):
            same_training(ours, theirs | {name: np.float32(value)})


def test_label_maps_agree_up_to_a_share():
    labels = np.arange(100, dtype=np.uint8).reshape(10, 10)
    other = labels.copy()
    other[0, 0] = 255
    assert same_labels(0.99)({'labels': labels}, {'labels': other}) == '99 of 100 labels agree'
    with pytest.raises(DisagreementError, match=r'99 of 100 labels agree; expected are 99\.50%'):
        same_labels(0.995)({'labels': labels}, {'labels': other})
    with pytest.raises(DisagreementError, match=r'\(10, 10\) and \(100,\)'):
        same_labels(0.0)({'labels': labels}, {'labels': other.ravel()})


def test_rounded_arrays_are_near_and_others_are_not():
    ours = {'map': np.array([[3.0, 4.0]], np.float32)}
    near = near_arrays(0.03)
    assert near(ours, {'map': np.array([[3.1, 4.0]])}) == 'equal to 2.0%, root mean square'
    for other in ([[3.2, 4.0]], [[3.0, np.nan]], [[3.0], [4.0]]):
        with pytest.raises(DisagreementError, match='map'):
            near(ours, {'map': np.array(other)})
    with pytest.raises(DisagreementError, match='another'):
        near(ours, {'another': ours['map']})
