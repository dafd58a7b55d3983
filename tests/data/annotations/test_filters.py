"""Which classes, images and boxes of an annotation file are used."""

import warnings

import pytest

from hrdet.data import DataError, DataWarning


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


@pytest.mark.parametrize('change', [{'bbox': [5, 5, 0.9, 10]}, {'bbox': [5, 5, 9, 0.9]}])
def test_tiny_boxes_are_dropped_by_the_rules_of_the_release(coco_folder, change):
    coco_folder.content['annotations'][3].update(change)
    assert coco_folder.load().reports[0].dropped_boxes == {'below 1 pixel': 1}


def test_flagged_boxes_are_dropped(coco_folder):
    coco_folder.content['annotations'][3]['ignore'] = 1
    assert coco_folder.load().reports[0].dropped_boxes == {'flagged as ignored': 1}


def test_nothing_left_is_an_error_with_counts(coco_folder):
    with pytest.raises(DataError, match=r'no image is left.*3 below 100 pixels'):
        coco_folder.load(min_size=100)


@pytest.mark.parametrize('area', [0, 0.0, -1])
def test_objects_without_an_area_have_that_of_their_box(coco_folder, area):
    for annotation in coco_folder.content['annotations']:
        annotation['area'] = area
    with pytest.warns(DataWarning, match=r'annotations\[0\] \(id 1\): area 0, like 5 of 5'):
        dataset = coco_folder.load()
    assert dataset.table.areas.tolist() == [600, 64 * 48, 64, 600, 49 * 49]
    assert dataset.reports[0].dropped_boxes == {}


def counts_of(report):
    return report.boxes_kept + report.crowds_kept + sum(report.dropped_boxes.values())


def test_every_object_is_in_one_count(coco_folder):
    """Objects exported as RLE with iscrowd=1 take their images with them."""
    annotations = coco_folder.content['annotations']
    for annotation in annotations[:2] + annotations[4:]:
        annotation['iscrowd'] = 1
    annotations[3]['bbox'] = [2, 4, 0.5, 8]
    with pytest.raises(
        DataError, match=r"4 on images without boxes\)\n.*objects of 'cat' are crowd"
    ):
        coco_folder.load()
    with pytest.warns(DataWarning, match=r"2 of 2 objects of 'cat' are crowd regions"):
        dataset = coco_folder.load(filter_empty=False)
    assert counts_of(dataset.reports[0]) == 5
    del annotations[3]['iscrowd']
    annotations[3]['bbox'] = [2, 4, 8, 8]
    with pytest.warns(DataWarning, match='crowd regions'):
        report = coco_folder.load().reports[0]
    assert (report.boxes_kept, report.crowds_kept) == (1, 2)
    assert report.dropped_boxes == {'on images without boxes': 2}
    assert report.by_class == {'cat': 0, 'dog': 1}


def test_a_file_may_lack_a_class_of_the_config(coco_folder):
    with pytest.warns(DataWarning, match='lacks horse of the 3 classes'):
        dataset = coco_folder.load(classes=('dog', 'horse', 'cat'))
    assert dataset.category_ids == (90, 91, 3)
    assert dataset.absent_classes == {91: 'horse'}
    assert dataset[1].truth.labels.tolist() == [0]
    for misspelt in (('dog', 'Cat'), ('cat', 'dogs')):
        with pytest.raises(DataError, match=f"has no class '{misspelt[1]}'; did you mean"):
            coco_folder.load(classes=misspelt)
    with pytest.raises(DataError, match="no class 'horse'"):
        coco_folder.load(classes=('horse', 'cow'))


def test_one_class_of_several_in_training_is_doubtful(coco_folder):
    for annotation in coco_folder.content['annotations']:
        annotation['category_id'] = 90
    with pytest.warns(DataWarning, match="all objects are of one class, 'dog', of 2"):
        coco_folder.load()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        coco_folder.load(classes=('dog',))
        coco_folder.load(filter_empty=False)


def test_a_file_that_is_two_images(coco_folder):
    """Its objects are split between them, and each has the others as background."""
    coco_folder.content['images'][2]['file_name'] = coco_folder.content['images'][0]['file_name']
    with pytest.warns(DataWarning, match='images: 1 image is of a file that another image has'):
        coco_folder.load()


def test_annotations_that_are_there_twice(coco_folder):
    """As joined exports have them; a few of many boxes are usual."""
    again = [dict(entry, id=entry['id'] + 100) for entry in coco_folder.content['annotations']]
    coco_folder.content['annotations'] += again
    with pytest.warns(DataWarning, match='4 boxes have the box and the class of another box'):
        coco_folder.load()


def test_classes_that_differ_in_capitals_are_told(coco_folder):
    coco_folder.content['categories'][0]['name'] = 'Cat '
    with pytest.warns(DataWarning, match='are two classes: correct the names'):
        coco_folder.load()
