"""COCO files: what is loaded, what is dropped, what is refused."""

import copy
import json
import warnings

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from hrdet.data import CocoDataset, DataError, DataWarning, SampleKey, build_loader


def test_columns_equal_pycocotools(coco_val):
    dataset = CocoDataset(*coco_val, with_mask=True)
    coco = COCO(coco_val[0])
    assert dataset.category_ids == tuple(sorted(coco.getCatIds()))
    for index in range(0, len(dataset), 7):
        sample = dataset[index]
        anns = coco.loadAnns(coco.getAnnIds(imgIds=dataset.image_ids[index]))
        things = [a for a in anns if not a['iscrowd']]
        expected = np.array([a['bbox'] for a in things], np.float64)
        expected[:, 2:] += expected[:, :2]
        np.testing.assert_array_equal(sample.truth.boxes, expected.astype(np.float32))
        ids = [dataset.category_ids[label] for label in sample.truth.labels]
        assert ids == [a['category_id'] for a in things]
        np.testing.assert_array_equal(sample.truth.masks, [coco.annToMask(a) for a in things])
        assert len(sample.truth.ignored) == len(anns) - len(things)


def test_order_of_images_is_that_of_the_release(golden, data_dir):
    root = data_dir / 'coco_tiny'
    dataset = CocoDataset(
        str(root / 'annotations/instances_train2017.json'), str(root / 'train2017')
    )
    assert dataset.table.file_names == json.loads(str(golden['train_files_after_filter']))


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


def test_options(coco_folder):
    coco_folder.content['images'].append({'id': 1, 'file_name': '0.jpg', 'height': 48, 'width': 64})
    coco_folder.content['images'].append({'id': 2, 'file_name': '0.jpg', 'height': 31, 'width': 64})
    assert coco_folder.load().image_ids == [7, 8, 9]
    assert coco_folder.load(filter_empty=False).image_ids == [7, 8, 9, 1]
    assert coco_folder.load(filter_empty=False)[3].truth.boxes.shape == (0, 4)
    assert coco_folder.load(filter_empty=False, min_size=0).image_ids == [7, 8, 9, 1, 2]
    test = coco_folder.load(test_mode=True)
    assert test.image_ids == [7, 8, 9, 1, 2]
    assert test[3].truth is None
    assert len(coco_folder.load(with_crowd=False)[0].truth.ignored) == 0
    assert coco_folder.load().reports[0].dropped_images == {
        'below 32 pixels': 1, 'without boxes': 1
    }  # fmt: skip


def test_crowds_have_no_mask(coco_folder):
    truth = coco_folder.load(with_mask=True)[0].truth
    assert truth.masks.shape == (2, 48, 64)
    # COCO's own rasterisation of the rectangle (10, 10)-(40, 30).
    assert truth.masks[0].sum() == 600
    assert truth.masks[0, 10:30, 10:40].all()


def test_rle_masks_of_single_objects(coco_folder):
    annotation = coco_folder.content['annotations'][1]
    annotation['segmentation'] = {'counts': [48 * 3, 48 * 2, 48 * 59], 'size': [48, 64]}
    mask = coco_folder.load(with_mask=True)[0].truth.masks[0]
    assert mask[:, 3:5].all()
    assert mask.sum() == 96
    annotation['segmentation']['size'] = [64, 48]
    with pytest.raises(DataError, match=r'0\.jpg.*RLE of size'):
        coco_folder.load(with_mask=True)[0]


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
    with pytest.raises(DataError, match=r'and 5 more; tools/check_dataset\.py lists all'):
        coco_folder.load()


@pytest.mark.parametrize('box', [[5, 5, 0, 10], [5, 5, 10, 0]])
def test_zero_size_boxes_are_reported_and_counted(coco_folder, box):
    coco_folder.content['annotations'][3].update(bbox=box, area=0)
    with pytest.warns(DataWarning, match=r'instances\.json: annotations\[3\] \(id 4\): .*zero'):
        dataset = coco_folder.load()
    assert dataset[0].truth.labels.tolist() == [0]
    assert dataset.reports[0].dropped_boxes == {'below 1 pixel': 1}


@pytest.mark.parametrize(
    'change', [{'area': 0}, {'bbox': [5, 5, 0.9, 10]}, {'bbox': [5, 5, 9, 0.9]}]
)
def test_tiny_boxes_are_dropped_by_the_rules_of_the_release(coco_folder, change):
    coco_folder.content['annotations'][3].update(change)
    assert coco_folder.load().reports[0].dropped_boxes == {'below 1 pixel': 1}


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


def test_flagged_boxes_are_dropped(coco_folder):
    coco_folder.content['annotations'][3]['ignore'] = 1
    assert coco_folder.load().reports[0].dropped_boxes == {'flagged as ignored': 1}


@pytest.mark.parametrize('text', ['', '{"images": [', '[]', '{"images": [], "annotations": []}'])
def test_files_that_are_no_coco_files(coco_folder, text):
    coco_folder.write()
    with open(coco_folder.ann_file, 'w') as file:
        file.write(text)
    with pytest.raises(DataError, match=r'instances\.json: (not JSON|no list)'):
        CocoDataset(coco_folder.ann_file, coco_folder.img_prefix)
    with pytest.raises(DataError, match=r'there is no file .*nowhere\.json'):
        CocoDataset('nowhere.json', coco_folder.img_prefix)


def test_nothing_left_is_an_error_with_counts(coco_folder):
    with pytest.raises(DataError, match=r'no image is left.*3 below 100 pixels'):
        coco_folder.load(min_size=100)


def test_bad_image_files_are_named(coco_folder):
    coco_folder.content['images'][0]['file_name'] = 'gone.jpg'
    with pytest.raises(DataError, match=r'gone\.jpg: No such file'):
        coco_folder.load()[0]
    coco_folder.content['images'][0]['file_name'] = '1.jpg'
    with pytest.raises(DataError, match=r'1\.jpg: .*48 x 64 .*says 64 x 48.*EXIF'):
        coco_folder.load()[0]


def test_errors_in_workers_name_the_image(coco_folder):
    def break_(sample, rng):
        raise RuntimeError('a slip')

    loader = build_loader(coco_folder.load([break_]), 1, num_workers=1, training=False)
    with pytest.raises(DataError, match=r'0\.jpg: RuntimeError: a slip'):
        list(loader)


def test_randomness_follows_the_key(coco_folder):
    def draw(sample, rng):
        sample.meta.scale = float(rng.random())
        return sample

    dataset = coco_folder.load([draw])

    def value(*key):
        return dataset[SampleKey(*key)].meta.scale

    assert value(1, 2, 3) == value(1, 2, 3)
    assert len({value(1, 2, 3), value(0, 2, 3), value(1, 1, 3), value(1, 2, 4)}) == 4
    assert dataset[1].meta.scale == value(1, 0, 0)
    with pytest.raises(IndexError):
        dataset[3]


def test_semantic_maps(coco_folder, tmp_path):
    maps = tmp_path / 'maps'
    maps.mkdir()
    cv2.imwrite(str(maps / '0.png'), np.full((48, 64), 7, np.uint8))
    cv2.imwrite(str(maps / '1.png'), np.full((64, 48, 3), 7, np.uint8))
    dataset = coco_folder.load(seg_prefix=str(maps))
    assert (dataset[0].truth.semantic == 7).all()
    with pytest.raises(DataError, match=r'1\.png: a semantic map must be'):
        dataset[1]
    with pytest.raises(DataError, match=r'2\.png: No such file'):
        dataset[2]


def test_to_coco_is_the_file_again(coco_val):
    written = CocoDataset(*coco_val).to_coco()
    original = COCO(coco_val[0])
    assert [image['id'] for image in written['images']] == original.getImgIds()

    def rows(annotations):
        keys = ('image_id', 'category_id', 'iscrowd', 'area')
        return sorted([a[key] for key in keys] + a['bbox'] for a in annotations)

    # Boxes went through float32 corners: of up to 640 pixels, 24 bits of mantissa.
    expected = rows(original.anns.values())
    np.testing.assert_allclose(rows(written['annotations']), expected, atol=1e-4)
