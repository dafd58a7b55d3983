"""COCO files: what is loaded, what is dropped, what is refused."""

import json

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from hrdet.data import CocoDataset, DataError, SampleKey, build_loader, check_images


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
    with pytest.raises(DataError, match=r'annotations\[1\] \(id 2\): an RLE of size'):
        coco_folder.load(with_mask=True)[0]


def test_bad_image_files_are_named(coco_folder):
    coco_folder.content['images'][0]['file_name'] = 'gone.jpg'
    with pytest.raises(DataError, match=r'gone\.jpg: No such file .*listed in .*json'):
        coco_folder.load()[0]
    coco_folder.content['images'][0]['file_name'] = '1.jpg'
    with pytest.raises(DataError, match=r'1\.jpg: .*48 x 64 .*says 64 x 48.*exchanged'):
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
    dataset = coco_folder.load(seg_prefix=str(maps), semantic_classes=8)
    assert (dataset[0].truth.semantic == 7).all()
    dataset = coco_folder.load(seg_prefix=str(maps), semantic_classes=7)
    with pytest.raises(DataError, match=r'0\.png: label 7 \(3,072 pixels\), .* num_classes=7'):
        check_images(dataset)


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
