"""Which classes, images and boxes of an annotation file are used."""

import pytest

from hrdet.data import DataError


def test_classes_of_the_file_in_order_of_their_ids(coco_folder):
    dataset = coco_folder.load()
    assert dataset.classes == ('cat', 'dog')
    assert dataset.category_ids == (3, 90)
    assert dataset.image_ids == [7, 8, 9]
    assert dataset.aspect_groups.tolist() == [1, 0, 0]
    truth = dataset[0].truth
    assert truth.boxes.tolist() == [[10, 10, 40, 30], [2, 4, 10, 12]]
    assert truth.labels.tolist() == [0, 1]
    assert truth.ignored.tolist() == [[0, 0, 64, 48]]
    assert truth.masks is None


def test_classes_of_the_config_in_its_order(coco_folder):
    dataset = coco_folder.load(classes=('dog', 'cat'))
    assert dataset.category_ids == (90, 3)
    assert dataset[0].truth.labels.tolist() == [1, 0]
    only_dogs = coco_folder.load(classes=('dog',))
    assert only_dogs.image_ids == [7, 8]
    assert only_dogs.reports[0].dropped_images == {'without boxes': 1}
    assert only_dogs.reports[0].dropped_boxes == {'of other classes': 2}
    assert '2 of 3 images (dropped: 1 without boxes)' in only_dogs.report
    assert '2 of other classes' in only_dogs.report


def test_wrong_classes_say_both_sides_and_the_counts(coco_folder):
    with pytest.raises(DataError) as caught:
        coco_folder.load(classes=('catt', 'horse'))
    message = str(caught.value)
    assert "no class 'catt'; did you mean 'cat'?" in message
    assert 'the file has 2 classes: cat, dog' in message
    assert 'the config wants 2: catt, horse' in message
    assert '0 of 3 images (dropped: 3 without boxes)' in message
    with pytest.raises(ValueError, match="'cat',"):
        coco_folder.load(classes='cat')
    with pytest.raises(DataError, match='twice'):
        coco_folder.load(classes=('cat', 'cat'))


@pytest.mark.parametrize(
    'change', [{'area': 0}, {'bbox': [5, 5, 0.9, 10]}, {'bbox': [5, 5, 9, 0.9]}]
)
def test_tiny_boxes_are_dropped_by_the_rules_of_the_release(coco_folder, change):
    coco_folder.content['annotations'][3].update(change)
    assert coco_folder.load().reports[0].dropped_boxes == {'below 1 pixel': 1}


def test_flagged_boxes_are_dropped(coco_folder):
    coco_folder.content['annotations'][3]['ignore'] = 1
    assert coco_folder.load().reports[0].dropped_boxes == {'flagged as ignored': 1}


def test_nothing_left_is_an_error_with_counts(coco_folder):
    with pytest.raises(DataError, match=r'no image is left.*3 below 100 pixels'):
        coco_folder.load(min_size=100)
