"""Reading COCO files: every wrong entry is named."""

import copy
import warnings

import numpy as np
import pytest

from hrdet.data import CocoDataset, DataError, DataWarning


def set_at(path, value):
    def change(content):
        *parents, last = path
        for key in parents:
            content = content[key]
        if value is KeyError:
            del content[last]
        else:
            content[last] = value

    return change


def duplicate(table):
    return lambda content: content[table].append(copy.deepcopy(content[table][0]))


NAN = float('nan')


@pytest.mark.parametrize(
    ('change', 'where', 'reason'),
    [
        (set_at(['annotations', 1, 'bbox'], [1, NAN, 3, 4]), 'annotations[1] (id 2)', 'finite'),
        (set_at(['annotations', 1, 'bbox'], [1, 2, 3]), 'annotations[1] (id 2)', 'four'),
        (set_at(['annotations', 1, 'bbox'], 'box'), 'annotations[1] (id 2)', 'four'),
        (set_at(['annotations', 1, 'bbox'], [9, 9, -3, 4]), 'annotations[1] (id 2)', 'negative'),
        (set_at(['annotations', 1, 'bbox'], KeyError), 'annotations[1] (id 2)', "missing 'bbox'"),
        (set_at(['annotations', 1, 'id'], KeyError), 'annotations[1]:', "missing 'id'"),
        (set_at(['annotations', 1, 'area'], NAN), 'annotations[1] (id 2)', 'area'),
        (set_at(['annotations', 3, 'image_id'], 77), 'annotations[3] (id 4)', 'no image with'),
        (set_at(['annotations', 3, 'category_id'], 5), 'annotations[3] (id 4)', 'no category with'),
        (set_at(['annotations', 3, 'image_id'], [1]), 'annotations[3] (id 4)', 'whole numbers'),
        (set_at(['annotations', 3], 'text'), 'annotations[3]', 'object'),
        (duplicate('annotations'), 'annotations[5] (id 1)', 'twice'),
        (duplicate('images'), 'images[3] (id 7)', 'twice'),
        (duplicate('categories'), 'categories[2] (id 90)', 'twice'),
        (set_at(['images', 2, 'height'], KeyError), 'images[2] (id 9)', "missing 'height'"),
        (set_at(['images', 2, 'width'], 0), 'images[2] (id 9)', 'above 0'),
        (set_at(['images', 2, 'width'], '50'), 'images[2] (id 9)', 'above 0'),
        (set_at(['categories', 0, 'id'], 'x'), 'categories[0] (id x)', 'whole number'),
        (set_at(['categories', 0, 'name'], 'cat'), 'categories[1] (id 3)', "second class 'cat'"),
        (set_at(['categories', 0, 'name'], 'a\ud800'), 'categories[0] (id 90)', 'name a text'),
        (set_at(['categories', 0, 'id'], -1), 'categories[0] (id -1)', 'whole number'),
        (set_at(['categories', 0, 'id'], 2**64), 'categories[0]', 'whole number'),
        (set_at(['images', 2, 'height'], 10**400), 'images[2] (id 9)', 'above 0'),
        (set_at(['images', 2, 'height'], 1e7), 'images[2] (id 9)', 'at most'),
        (set_at(['images', 2, 'height'], True), 'images[2] (id 9)', 'above 0'),
        (set_at(['images', 2, 'file_name'], ['a.jpg']), 'images[2] (id 9)', 'file_name'),
        (set_at(['images', 2, 'file_name'], None), 'images[2] (id 9)', 'file_name'),
        (set_at(['images', 2, 'file_name'], '\ud800.jpg'), 'images[2] (id 9)', 'file_name'),
        (set_at(['images', 2, 'id'], True), 'images[2] (id True)', 'whole number or a text'),
        (set_at(['annotations', 1, 'bbox'], [1, 10**400, 3, 4]), 'annotations[1] (id 2)', 'four'),
        (set_at(['annotations', 1, 'bbox'], [1, True, 3, 4]), 'annotations[1] (id 2)', 'four'),
        (set_at(['annotations', 1, 'iscrowd'], '0'), 'annotations[1] (id 2)', "0 or 1, not '0'"),
        (set_at(['annotations', 1, 'iscrowd'], 'false'), 'annotations[1] (id 2)', 'iscrowd'),
        (set_at(['annotations', 1, 'iscrowd'], 0.5), 'annotations[1] (id 2)', 'iscrowd'),
        (set_at(['annotations', 1, 'ignore'], 'no'), 'annotations[1] (id 2)', 'ignore'),
    ],
)  # fmt: skip
def test_broken_entries_are_named(coco_folder, change, where, reason):
    change(coco_folder.content)
    with pytest.raises(DataError) as caught:
        coco_folder.load()
    line = str(caught.value).splitlines()[0]
    assert line.startswith(f'{coco_folder.ann_file}: {where}')
    assert reason in str(caught.value)


def test_many_problems_are_counted(coco_folder):
    for annotation in coco_folder.content['annotations']:
        annotation['image_id'] = 0
    coco_folder.content['annotations'] *= 2
    with pytest.raises(DataError, match='and 5 more; hrdet check lists all'):
        coco_folder.load()


@pytest.mark.parametrize('box', [[5, 5, 0, 10], [5, 5, 10, 0]])
def test_zero_size_boxes_are_reported_and_counted(coco_folder, box):
    coco_folder.content['annotations'][3].update(bbox=box, area=0)
    with pytest.warns(DataWarning, match=r'instances\.json: annotations\[3\] \(id 4\): .*zero'):
        dataset = coco_folder.load()
    assert dataset[0].truth.labels.tolist() == [0]
    assert dataset.reports[0].dropped_boxes == {'below 1 pixel': 1}


def test_boxes_keep_the_order_of_the_file(coco_folder):
    template = coco_folder.content['annotations'][1]
    rng = np.random.default_rng(0)
    coco_folder.content['annotations'] = [
        template | {'id': i, 'image_id': int(rng.integers(7, 10)), 'bbox': [i % 9, i % 7, 2 + i, 5]}
        for i in range(1, 40)
    ]
    dataset = coco_folder.load(with_mask=True)
    for index, image_id in enumerate(dataset.image_ids):
        widths = dataset[index].truth.boxes[:, 2] - dataset[index].truth.boxes[:, 0]
        annotations = coco_folder.content['annotations']
        assert widths.tolist() == [a['bbox'][2] for a in annotations if a['image_id'] == image_id]


def test_boxes_outside_their_image(coco_folder):
    coco_folder.content['annotations'][3]['bbox'] = [70, 4, 8, 8]
    with pytest.warns(DataWarning, match=r'annotations\[3\] \(id 4\): .*leaves its image of 64 x'):
        dataset = coco_folder.load()
    assert dataset.reports[0].dropped_boxes == {'outside their image': 1}
    coco_folder.content['annotations'][3]['bbox'] = [50, 4, 20, 8]
    with pytest.warns(DataWarning, match='leaves'):
        assert coco_folder.load()[0].truth.boxes[1].tolist() == [50, 4, 70, 12]


@pytest.mark.parametrize(
    ('polygons', 'reason'),
    [
        ([[1, 1, 9, 9]], 'fewer than three points'),
        ([[1, 1, 9, 9, 3, 3], [1, 2]], 'polygon 1 has fewer'),
        ([[1, 1, 9, 9, 3]], 'pairs'),
        (['abc'], 'pairs'),
    ],
)
def test_bad_polygons_stop_only_who_needs_masks(coco_folder, polygons, reason):
    coco_folder.content['annotations'][3]['segmentation'] = polygons
    with pytest.warns(DataWarning, match=rf'annotations\[3\] \(id 4\): .*{reason}'):
        coco_folder.load()
    with pytest.raises(DataError, match=rf'annotations\[3\] \(id 4\): .*{reason}'):
        coco_folder.load(with_mask=True)


@pytest.mark.parametrize(
    ('segmentation', 'reason'),
    [([], 'no segmentation'), ([[1, 2, NAN, 4, 5, 6]], 'finite'), ({'size': [1, 1]}, 'counts')],
)
def test_unusable_segmentations_stop_mask_training(coco_folder, segmentation, reason):
    coco_folder.content['annotations'][3]['segmentation'] = segmentation
    with pytest.raises(DataError, match=reason):
        coco_folder.load(with_mask=True)


def test_missing_optional_keys(coco_folder):
    for annotation in coco_folder.content['annotations']:
        del annotation['area'], annotation['segmentation']
        if not annotation['iscrowd']:
            del annotation['iscrowd']
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        dataset = coco_folder.load()
    assert dataset[0].truth.labels.tolist() == [0, 1]
    assert dataset.table.areas.tolist() == [600, 64 * 48, 64, 600, 49 * 49]


@pytest.mark.parametrize('text', ['', '{"images": [', '[]', '{"images": [], "annotations": []}'])
def test_files_that_are_no_coco_files(coco_folder, text):
    coco_folder.write()
    with open(coco_folder.ann_file, 'w') as file:
        file.write(text)
    with pytest.raises(DataError, match=r'instances\.json: (not JSON|no list)'):
        CocoDataset(coco_folder.ann_file, coco_folder.img_prefix)
    with pytest.raises(DataError, match=r'there is no file .*nowhere\.json'):
        CocoDataset('nowhere.json', coco_folder.img_prefix)


def test_deep_nesting_is_no_coco_file(coco_folder):
    coco_folder.write()
    with open(coco_folder.ann_file, 'w') as file:
        file.write('[' * 100_000)
    with pytest.raises(DataError, match='not JSON'):
        CocoDataset(coco_folder.ann_file, coco_folder.img_prefix)


@pytest.mark.parametrize('flag', [0, 1, False, True, 1.0, None])
def test_flags_of_any_sensible_type(coco_folder, flag):
    coco_folder.content['annotations'][3]['iscrowd'] = flag
    assert coco_folder.load().table.crowd.tolist() == [False, True, bool(flag), False, False]


def test_lists_of_images_without_annotations(coco_folder):
    del coco_folder.content['annotations']
    dataset = coco_folder.load(test_mode=True)
    assert len(dataset) == 3
    with pytest.raises(DataError, match="no list 'annotations'"):
        coco_folder.load()


def test_every_mask_is_checked_before_it_is_needed(coco_folder):
    """Run lengths that cover less than the image would give masks of any content."""
    annotations = coco_folder.content['annotations']
    annotations[1]['segmentation'] = {'counts': [10, 5], 'size': [48, 64]}
    annotations[3]['segmentation'] = [[1e9, 1, 5, 5, 3, 3]]
    with pytest.raises(DataError) as caught:
        coco_folder.load(with_mask=True)
    lines = str(caught.value).splitlines()
    assert lines[0].endswith('annotations[1] (id 2): the run lengths of an RLE cover 15 pixels; '
                             'the image has 3072')  # fmt: skip
    assert 'annotations[3] (id 4): polygon 0 has a coordinate' in lines[1]
    # Of boxes alone a bad polygon is a doubt, but damaged run lengths mean a damaged file.
    with pytest.raises(DataError, match=r'annotations\[1\] \(id 2\): the run lengths'):
        coco_folder.load()
    del annotations[1]
    with pytest.warns(DataWarning, match=r'annotations\[2\] \(id 4\): polygon 0'):
        coco_folder.load()


def test_masks_beside_their_image_are_told(coco_folder):
    coco_folder.content['annotations'][3]['segmentation'] = [[70, 1, 80, 1, 80, 9]]
    with pytest.warns(DataWarning, match=r'annotations\[3\] \(id 4\): its mask is empty'):
        coco_folder.load(with_mask=True)


def test_a_heading_among_the_classes_is_told(coco_folder):
    """Exports of some tools begin with a class that is the parent of all others."""
    coco_folder.content['categories'] = [
        {'id': 0, 'name': 'animals', 'supercategory': 'none'},
        {'id': 3, 'name': 'cat', 'supercategory': 'animals'},
        {'id': 90, 'name': 'dog', 'supercategory': 'animals'},
    ]
    with pytest.warns(DataWarning, match=r"'animals' has no object .*classes=\("):
        coco_folder.load()
