"""Images with label maps: pairs, truth, errors."""

import re
import warnings

import cv2
import numpy as np
import pytest

from hrdet.data import (
    ConcatDataset,
    DataError,
    DataWarning,
    LabelMapDataset,
    RandomFlip,
    RandomResize,
    RepeatDataset,
    Resize,
    SegRandomCrop,
    build_loader,
    check_images,
)
from hrdet.data.transforms.segmentation import RandomResizeCrop
from hrdet.registry import build

CLASSES = ('road', 'car', 'sky')


def load(root, transforms=(), **options):
    options = {'classes': CLASSES} | options
    return LabelMapDataset(str(root), 'img', 'map', '', transforms, **options)


def labels_in(root, name):
    return cv2.imread(str(root / 'map' / name), cv2.IMREAD_UNCHANGED)


def test_samples(label_folders):
    dataset = load(label_folders)
    assert dataset.classes == CLASSES
    assert list(dataset.image_ids) == ['0.jpg', '1.jpg', '2.jpg', '3.jpg']
    sample = dataset[2]
    assert sample.image.shape == (12, 16, 3)
    np.testing.assert_array_equal(sample.truth.labels, labels_in(label_folders, '2.png'))
    assert sample.meta.path == str(label_folders / 'img/2.jpg')
    assert sample.meta.original_size == (12, 16)
    assert dataset.report.endswith('img: 4 images of 3 classes')
    assert dataset.palette is None
    assert dataset.labels_of(0).tolist() == [0, 1, 2]


def test_truth_is_of_the_files_size_whatever_the_transforms(label_folders):
    dataset = load(label_folders, [Resize((8, 6)), RandomFlip(1.0)], test_mode=True)
    sample = dataset[1]
    assert sample.truth is None
    assert sample.image.shape == (6, 8, 3)
    np.testing.assert_array_equal(dataset.truth(1).labels, labels_in(label_folders, '1.png'))


def test_pixels_and_labels_move_together(label_folders):
    plain, flipped = load(label_folders), load(label_folders, [RandomFlip(1.0)])
    np.testing.assert_array_equal(flipped[0].image, plain[0].image[:, ::-1])
    np.testing.assert_array_equal(flipped[0].truth.labels, plain[0].truth.labels[:, ::-1])


def test_scaling_and_cropping_are_joined(label_folders):
    steps = [RandomResize((32, 24), (0.5, 2.0)), SegRandomCrop(10, 0.75)]
    dataset = load(label_folders, steps)
    assert [type(step) for step in dataset.transforms] == [RandomResizeCrop]
    loader = build_loader(dataset, 2, num_workers=1)
    batch = next(iter(loader))
    assert batch.images.shape == (2, 3, 10, 10)
    assert batch.truth.labels.shape == (2, 10, 10)


@pytest.mark.parametrize('kind', ['zip', 'tar'])
def test_in_an_archive(label_folders, packed, kind):
    before = load(label_folders)[3]
    archive = packed(label_folders, kind)
    sample = load(archive)[3]
    np.testing.assert_array_equal(sample.image, before.image)
    np.testing.assert_array_equal(sample.truth.labels, before.truth.labels)


def test_images_alone(label_folders):
    dataset = LabelMapDataset(str(label_folders), 'img', classes=CLASSES)
    assert not dataset.has_maps
    assert dataset[0].truth is None
    assert dataset.truth(0) is None
    check_images(dataset)


def test_a_list_of_names(label_folders):
    (label_folders / 'val.txt').write_text('3\n1\n\n')
    dataset = LabelMapDataset(str(label_folders), 'img', 'map', 'val.txt', classes=CLASSES)
    assert list(dataset.image_ids) == ['3.jpg', '1.jpg']


def test_suffixes_and_folders_below(tmp_path):
    for city in ('ulm', 'bonn'):
        for folder, suffix in (('img', '_rgb.png'), ('map', '_labels.png'), ('map', '_ids.png')):
            (tmp_path / folder / city).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / folder / city / f'1{suffix}'), np.zeros((4, 5), np.uint8))
    dataset = load(tmp_path, img_suffix='_rgb.png', seg_map_suffix='_labels.png')
    assert list(dataset.image_ids) == ['bonn/1_rgb.png', 'ulm/1_rgb.png']
    assert dataset.map_path(0) == str(tmp_path / 'map/bonn/1_labels.png')


def test_classes_and_colours(label_folders, tmp_path):
    palette = [(1, 2, 3), [4, 5, 6], (7, 8, 9)]
    assert load(label_folders, palette=palette).palette == ((1, 2, 3), (4, 5, 6), (7, 8, 9))
    with pytest.raises(DataError, match='palette: 2 colours for 3 classes'):
        load(label_folders, palette=palette[:2])
    (tmp_path / 'names.txt').write_text('road\ncar\nsky\n')
    assert load(label_folders, classes=str(tmp_path / 'names.txt')).classes == CLASSES
    with pytest.raises(DataError, match='LabelMapDataset needs the names of the values'):
        load(label_folders, classes=None)
    with pytest.raises(DataError, match="classes: the class 'a' is named twice"):
        load(label_folders, classes=('a', 'b', 'a'))


def test_built_under_the_name_of_the_second_release(label_folders):
    node = dict(
        type='BaseSegDataset',
        data_root=str(label_folders),
        img_dir='img',
        ann_dir='map',
        classes=CLASSES,
        transforms=[dict(type='SegRandomCrop', crop_size=(4, 5))],
    )
    assert build(node)[0].image.shape == (4, 5, 3)


def test_wrappers(label_folders):
    dataset = load(label_folders, palette=[(1, 1, 1)] * 3)
    joined = ConcatDataset([dataset, RepeatDataset(dataset, 2)])
    assert len(joined) == 12
    assert joined.palette == ((1, 1, 1),) * 3
    assert joined.labels is None
    np.testing.assert_array_equal(joined.truth(7).labels, dataset.truth(3).labels)
    np.testing.assert_array_equal(joined[7].truth.labels, dataset.truth(3).labels)
    check_images(joined)


def test_a_foreign_label_never_gets_further(label_folders):
    dataset = load(label_folders, classes=('road', 'car'))
    message = re.escape(f'label 2 in {label_folders}/map/0.png')
    for read in (lambda: dataset[0], lambda: dataset.truth(0), lambda: check_images(dataset)):
        with pytest.raises(DataError, match=message):
            read()


def test_sizes_must_agree(label_folders):
    path = label_folders / 'map' / '1.png'
    cv2.imwrite(str(path), np.zeros((12, 17), np.uint8))
    message = re.escape(
        f'{path}: the label map is 17 x 12 pixels, its image {label_folders}/img/1.jpg is 16 x 12'
    )
    dataset = load(label_folders)
    with pytest.raises(DataError, match=message):
        dataset[1]
    with pytest.raises(DataError, match=message):
        check_images(dataset)


def test_classes_that_differ_in_capitals_are_told(label_folders):
    with pytest.warns(DataWarning, match="'Sky' and 'sky' are two classes"):
        load(label_folders, classes=('road', 'Sky', 'sky'))


class TestPartners:
    def test_images_without_a_map(self, label_folders):
        (label_folders / 'map' / '1.png').unlink()
        (label_folders / 'map' / '3.png').unlink()
        with pytest.raises(
            DataError, match=r'img/: 2 x no label map \(\.png\) in .*map/: 1\.jpg, 3\.jpg$'
        ):
            load(label_folders)

    def test_maps_without_an_image_are_doubtful(self, label_folders):
        (label_folders / 'img' / '1.jpg').unlink()
        with pytest.warns(DataWarning, match=r'map/: 1 x no image in .*img/: 1\.png'):
            dataset = load(label_folders)
        assert list(dataset.image_ids) == ['0.jpg', '2.jpg', '3.jpg']

    def test_images_of_another_suffix_are_left_out_and_told(self, label_folders):
        for folder in ('img', 'map'):
            (label_folders / folder / '1.jpg').write_bytes(b'')  # only in img an image is meant
        (label_folders / 'img' / '1.jpg').rename(label_folders / 'img' / '1.JPG')
        (label_folders / 'map' / '1.png').unlink()
        with pytest.warns(DataWarning, match=r'img/: 1 x left out: .* in \.jpg, .*: 1\.JPG'):
            dataset = load(label_folders)
        assert list(dataset.image_ids) == ['0.jpg', '2.jpg', '3.jpg']
        for path in (label_folders / 'map').glob('*.png'):
            path.rename(label_folders / 'img' / path.name)
        (label_folders / 'img' / '1.JPG').unlink()
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            LabelMapDataset(str(label_folders), 'img', 'img', classes=CLASSES)

    def test_names_without_an_image(self, label_folders):
        (label_folders / 'train.txt').write_text('0\n7\n')
        with pytest.raises(DataError, match=r'1 x named in .*train\.txt: no image: 7\.jpg'):
            LabelMapDataset(str(label_folders), 'img', 'map', 'train.txt', classes=CLASSES)
        (label_folders / 'train.txt').write_text('0.jpg\n')
        with pytest.raises(DataError, match='where names have no suffix: no image'):
            LabelMapDataset(str(label_folders), 'img', 'map', 'train.txt', classes=CLASSES)

    def test_lists_of_no_name_and_of_names_twice(self, label_folders):
        (label_folders / 'train.txt').write_text('')
        with pytest.raises(DataError, match=r'train\.txt: there is no name in it'):
            LabelMapDataset(str(label_folders), 'img', 'map', 'train.txt', classes=CLASSES)
        (label_folders / 'train.txt').write_text('1\n0\n1\n')
        with pytest.warns(DataWarning, match=r'train\.txt: 1 of 3 names are there before'):
            dataset = LabelMapDataset(
                str(label_folders), 'img', 'map', 'train.txt', classes=CLASSES
            )
        assert list(dataset.image_ids) == ['1.jpg', '0.jpg']

    def test_another_suffix(self, label_folders):
        with pytest.raises(
            DataError, match=r'no file ends in \.png, which img_suffix says; it has \.jpg'
        ):
            load(label_folders, img_suffix='.png')

    def test_paths_that_are_none(self, label_folders):
        with pytest.raises(DataError, match='ann_dir: there is no folder'):
            LabelMapDataset(str(label_folders), 'img', 'maps', classes=CLASSES)
        with pytest.raises(DataError, match='split: there is no file'):
            LabelMapDataset(str(label_folders), 'img', 'map', 'x.txt', classes=CLASSES)


def test_the_start_of_training_sees_values_that_mean_nothing(label_folders):
    for i in range(4):
        cv2.imwrite(str(label_folders / f'map/{i}.png'), np.eye(12, 16, dtype=np.uint8) * 255)
    with pytest.warns(
        DataWarning,
        match=r'0 and 255 only: 255 is ignored, and your second class '
        r"'car' is empty; if 255 means 'car', write 1 instead",
    ):
        check_images(load(label_folders))
    with pytest.raises(
        DataError,
        match=r'map: no pixel has a class: the label maps hold 0, 255, and reduce_zero_label '
        r'ignores 0\. Write the number of its class into each pixel, 1 to 3',
    ):
        check_images(load(label_folders, reduce_zero_label=True))


def test_an_upright_photo_is_turned_as_its_exif_says(label_folders, tmp_path):
    """As both releases load it, so that label maps drawn on what one sees fit."""
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.new('RGB', (16, 12)).save(label_folders / 'img' / '0.jpg', exif=exif)
    cv2.imwrite(str(label_folders / 'map' / '0.png'), np.zeros((16, 12), np.uint8))
    assert load(label_folders)[0].image.shape == (16, 12, 3)


def test_a_class_named_twice(label_folders, tmp_path):
    (tmp_path / 'names.txt').write_text('road\ncar\nroad\n')
    for classes, where in (
        (('road', 'car', 'road'), 'classes: '),
        (str(tmp_path / 'names.txt'), 'names.txt: '),
    ):
        with pytest.raises(DataError, match=f"{where}the class 'road' is named twice"):
            LabelMapDataset(
                img_dir=str(label_folders / 'img'),
                ann_dir=str(label_folders / 'map'),
                classes=classes,
            )
