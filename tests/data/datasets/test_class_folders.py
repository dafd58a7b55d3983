"""Images of one class each: from folders, archives and lists."""

import re
import shutil

import cv2
import numpy as np
import pytest

from hrdet.data import (
    CenterCrop,
    ClassBalancedDataset,
    ClassFolders,
    ConcatDataset,
    DataError,
    DataWarning,
    ImageNet,
    RepeatDataset,
    ResizeEdge,
    build_loader,
    check_images,
)
from hrdet.data.datasets.check import examine
from hrdet.data.datasets.imagenet_names import imagenet_classes
from hrdet.registry import build


def test_folders_are_classes_in_alphabetical_order(class_folders):
    dataset = ClassFolders(str(class_folders), 'train')
    assert dataset.classes == ('ant', 'bee', 'cat')
    assert dataset.labels.tolist() == [0, 0, 0, 1, 1, 2]
    assert list(dataset.image_ids)[2:4] == ['ant/2.jpg', 'bee/0.jpg']
    assert dataset.class_counts().tolist() == [3, 2, 1]
    sample = dataset[3]
    assert sample.truth.labels == 1
    assert sample.image.shape == (20, 30, 3)
    assert sample.image.mean() == pytest.approx(160, abs=1)
    assert sample.meta.path == str(class_folders / 'train/bee/0.jpg')
    assert sample.meta.image_id == 'bee/0.jpg'
    assert dataset.report.endswith('train: 6 images of 3 classes, 1 to 3 of each')
    assert dataset.aspect_groups is None
    assert dataset.largest_sizes() is None


def test_test_mode_keeps_the_labels_for_the_evaluator(class_folders):
    dataset = ClassFolders(str(class_folders), 'train', test_mode=True)
    assert dataset[0].truth is None
    assert dataset.truth(5).labels == 2


@pytest.mark.parametrize('kind', ['zip', 'tar'])
def test_folders_inside_an_archive(class_folders, packed, kind):
    before = ClassFolders(str(class_folders), 'train')
    images = [before.image(i) for i in range(6)]
    archive = packed(class_folders, kind)
    dataset = ClassFolders(str(archive), 'train')
    assert dataset.classes == before.classes
    for i, image in enumerate(images):
        np.testing.assert_array_equal(dataset.image(i), image)
    loader = build_loader(ClassFolders(str(archive), 'train', '', [CenterCrop(20)]), 2, 1)
    assert sum(len(batch.metas) for batch in loader) == 6


def test_batches_of_a_loader(class_folders):
    steps = [ResizeEdge(16), CenterCrop(16)]
    loader = build_loader(ClassFolders(str(class_folders), 'train', '', steps), 3, num_workers=0)
    batches = list(loader)
    assert [batch.images.shape for batch in batches] == [(3, 3, 16, 16)] * 2
    labels = np.concatenate([batch.truth.labels for batch in batches])
    assert sorted(labels) == [0, 0, 0, 1, 1, 2]


def test_classes_choose_folders_and_their_order(class_folders):
    dataset = ClassFolders(str(class_folders), 'train', classes=('cat', 'ant'))
    assert dataset.classes == ('cat', 'ant')
    assert [(name, label) for name, label in zip(dataset.image_ids, dataset.labels)] == [
        ('ant/0.jpg', 1),
        ('ant/1.jpg', 1),
        ('ant/2.jpg', 1),
        ('cat/0.jpg', 0),
    ]


def test_as_many_names_as_folders_are_shown_instead(class_folders, tmp_path):
    names = ('Ameise', 'Biene', 'Katze')
    file = tmp_path / 'names.txt'
    file.write_text('\n'.join(names) + '\n')
    for classes in (names, str(file)):
        dataset = ClassFolders(str(class_folders), 'train', classes=classes)
        assert dataset.classes == names
        assert dataset.labels.tolist() == [0, 0, 0, 1, 1, 2]


def test_names_of_folders_decide_whatever_their_order(class_folders, tmp_path):
    """In capitals, with blanks, and where a part of the data has no image of a class."""
    right = [('ant/0.jpg', 2), ('bee/0.jpg', 1), ('cat/0.jpg', 0)]
    names = tmp_path / 'names.txt'
    names.write_text('cat \nbee \nant \n')
    for classes in (('Cat', 'Bee', 'Ant'), str(names)):
        dataset = ClassFolders(str(class_folders), 'train', classes=classes)
        assert set(right) <= set(zip(dataset.image_ids, dataset.labels))
    with pytest.warns(DataWarning, match='1 class without an image: wasp'):
        dataset = ClassFolders(str(class_folders), 'train', classes=('wasp', 'bee', 'ant'))
    assert set(zip(dataset.image_ids, dataset.labels)) > {('bee/0.jpg', 1), ('ant/0.jpg', 2)}
    assert 'cat/0.jpg' not in list(dataset.image_ids)


def test_lists(class_folders):
    listed = class_folders / 'meta.txt'
    listed.write_text('cat/0.jpg 4\n\nant/1.jpg 0\n')
    dataset = ClassFolders(str(class_folders), 'train', 'meta.txt')
    assert dataset.classes == ('0', '1', '2', '3', '4')
    assert dataset.labels.tolist() == [4, 0]
    assert dataset.image(0).shape == (20, 30, 3)
    named = ClassFolders(
        str(class_folders), 'train', 'meta.txt', classes=('a', 'b', 'c', 'd', 'e'), with_label=True
    )
    assert named.classes[4] == 'e'
    unlabelled = ClassFolders(str(class_folders), 'train', 'meta.txt', with_label=False)
    assert list(unlabelled.image_ids) == ['cat/0.jpg', 'ant/1.jpg']
    assert unlabelled[0].truth is None


def test_no_pass_over_the_files(class_folders, monkeypatch):
    """Opening a data set reads folders and nothing else."""
    monkeypatch.setattr('pathlib.Path.read_bytes', lambda path: pytest.fail(f'reads {path}'))
    monkeypatch.setattr('cv2.imdecode', lambda *_: pytest.fail('decodes'))
    assert len(ClassFolders(str(class_folders), 'train')) == 6


class TestImageNet:
    def test_split(self, class_folders):
        dataset = ImageNet(str(class_folders), 'train')
        assert len(dataset) == 6
        assert dataset.classes == ('ant', 'bee', 'cat')
        with pytest.raises(ValueError, match="split is 'train', 'val' or 'test', not 'trian'"):
            ImageNet(str(class_folders), 'trian')

    def test_a_list_in_meta_is_found(self, class_folders):
        (class_folders / 'meta').mkdir()
        (class_folders / 'meta' / 'train.txt').write_text('bee/1.jpg 999\n')
        dataset = ImageNet(str(class_folders), 'train')
        assert dataset.labels.tolist() == [999]
        assert dataset.classes == imagenet_classes()

    def test_paths_of_mmcls_0(self, class_folders):
        (class_folders / 'val.txt').write_text('ant/1.jpg 3\n')
        prefix, listed = str(class_folders / 'train'), str(class_folders / 'val.txt')
        assert ImageNet(data_prefix=prefix, ann_file=listed).labels.tolist() == [3]

    def test_thousand_folders_have_imagenets_names(self, tmp_path):
        for i in range(1000):
            (tmp_path / 'val' / f'n{i:08}').mkdir(parents=True)
            (tmp_path / 'val' / f'n{i:08}' / 'x.JPEG').touch()
        dataset = ImageNet(str(tmp_path), 'val')
        assert dataset.classes == imagenet_classes()
        assert dataset.labels.tolist() == list(range(1000))

    def test_the_test_split_has_no_labels(self, class_folders):
        (class_folders / 'train').rename(class_folders / 'test')
        dataset = ImageNet(str(class_folders), 'test')
        assert dataset.labels is None
        assert len(dataset) == 6
        assert dataset[0].truth is None


def test_built_from_a_config(class_folders):
    node = dict(type='CustomDataset', data_root=str(class_folders), data_prefix='train')
    assert build(node).labels.tolist() == [0, 0, 0, 1, 1, 2]


def test_wrappers(class_folders):
    dataset = ClassFolders(str(class_folders), 'train')
    twice = RepeatDataset(dataset, 2)
    assert twice.labels.tolist() == [0, 0, 0, 1, 1, 2] * 2
    joined = ConcatDataset([dataset, twice])
    assert joined.labels.tolist() == [0, 0, 0, 1, 1, 2] * 3
    assert [joined[i].truth.labels for i in (5, 11, 12)] == [2, 2, 0]
    assert joined.image_ids[5] == 'cat/0.jpg'
    # cat on 1 of 6 images: sqrt(1 / (1 / 6)) = 2.4 copies.
    balanced = ClassBalancedDataset(dataset, 1.0)
    assert list(balanced.image_ids).count('cat/0.jpg') == 3
    check_images(joined)


def error_of(*arguments, **options):
    with pytest.raises(DataError) as caught:
        ClassFolders(*arguments, **options)
    assert '\n' not in str(caught.value)
    return str(caught.value)


class TestErrors:
    def test_empty_class_folders(self, class_folders):
        (class_folders / 'train' / 'dog').mkdir()
        (class_folders / 'train' / 'dog' / 'notes.txt').touch()
        text = error_of(str(class_folders), 'train')
        assert text.endswith('train: 1 class folder without an image (dog): fill or remove')

    def test_no_folders(self, class_folders, tmp_path):
        assert 'images but no folders' in error_of(str(class_folders), 'train/ant')
        (tmp_path / 'nothing').mkdir()
        assert 'no folders with images' in error_of(str(tmp_path / 'nothing'))
        assert 'there is no folder' in error_of(str(tmp_path / 'nowhere'))

    def test_classes_that_do_not_fit(self, class_folders):
        text = error_of(str(class_folders), 'train', classes=('ant', 'beee'))
        assert text.endswith(
            'classes names 2 classes and there are 3 class folders; no folder is called '
            "'beee'; did you mean 'bee'?"
        )
        assert "there is no file 'ant'" in error_of(str(class_folders), 'train', classes='ant')
        text = error_of(str(class_folders), 'train', classes=('cats', 'bee', 'ant'))
        assert text.endswith("no folder is called 'cats'; did you mean 'cat'?")
        text = error_of(str(class_folders), 'train', classes=('ant', 'bee', 'ant'))
        assert text.endswith("classes names the folder 'ant' twice")

    def test_a_folder_of_that_name_is_no_list_of_classes(
        self, class_folders, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        (tmp_path / 'ant').mkdir()
        assert "as a tuple: ('ant',)" in error_of(str(class_folders), 'train', classes='ant')

    def test_lists(self, class_folders):
        listed = class_folders / 'meta.txt'
        listed.write_text('a.jpg 0\nb.jpg five\n')
        text = error_of(str(class_folders), 'train', 'meta.txt')
        assert text.endswith(
            'meta.txt, line 2: \'b.jpg five\' is not "name label" with a number as label'
        )
        listed.write_text('a.jpg 0\nb.jpg 3\n')
        text = error_of(str(class_folders), 'train', 'meta.txt', classes=('x', 'y', 'z'))
        assert text.endswith(
            'meta.txt: label 3 of b.jpg, but 3 classes end at 2: labels count from 0'
        )
        listed.write_text('')
        assert 'there are no images' in error_of(str(class_folders), 'train', 'meta.txt')
        assert 'ann_file: there is no file' in error_of(str(class_folders), 'train', 'other.txt')
        archive = shutil.make_archive(str(class_folders), 'zip', class_folders)
        text = error_of(archive, 'train', 'meta.txt')
        assert 'put this one beside the archive, and write both paths without data_root' in text

    def test_files_are_named_when_they_are_read(self, class_folders):
        path = class_folders / 'train' / 'ant' / '0.jpg'
        path.write_bytes(path.read_bytes()[:-30])
        dataset = ClassFolders(str(class_folders), 'train')
        with pytest.raises(DataError, match=re.escape(f'{path}: the JPEG is cut off')):
            dataset[0]
        with pytest.raises(DataError, match='the JPEG is cut off'):
            check_images(dataset)
        path.write_bytes(b'text')
        with pytest.raises(DataError, match=re.escape(f'{path}: not an image')):
            dataset[0]
        path.unlink()
        with pytest.raises(DataError, match=re.escape(f'{path}: No such file')):
            dataset[0]

    def test_a_transform_that_fails(self, class_folders):
        def fail(sample, rng):
            raise RuntimeError('no')

        dataset = ClassFolders(str(class_folders), 'train', '', [fail])
        with pytest.raises(DataError, match=r'ant/0\.jpg: RuntimeError: no'):
            dataset[0]


def test_real_photos(data_dir):
    dataset = ClassFolders(str(data_dir / 'hymenoptera'), 'val')
    assert dataset.classes == ('ants', 'bees')
    assert len(dataset) == 153
    check_images(dataset)


def test_an_image_that_a_resize_refuses_is_found_at_the_start(class_folders):
    """By a training and by hrdet check, in the words of the resize."""
    thin = class_folders / 'train/ant/thin.png'
    cv2.imwrite(str(thin), np.zeros((1, 65000, 3), np.uint8))
    reason = rf'{thin}: 65000 x 1 pixels would become \d+ x 256 by ResizeEdge.*so thin'
    prefix = str(class_folders / 'train')
    with pytest.raises(DataError, match=reason):
        check_images(ClassFolders(data_prefix=prefix, transforms=[ResizeEdge(256)]))
    steps = [dict(type='ResizeEdge', scale=256), dict(type='CenterCrop', crop_size=224)]
    checked = examine(dict(type='ClassFolders', data_prefix=prefix, transforms=steps))
    list(checked.check_images())
    (problem,) = checked.problems
    assert re.match(reason, str(problem))
    check_images(
        ClassFolders(data_prefix=prefix, transforms=[CenterCrop(8)])
    )  # other transforms take it


def test_what_is_left_out_or_contradicts_itself_is_told(class_folders):
    """Formats that are not read, classes without an image, images with two classes."""
    prefix = str(class_folders / 'train')
    (class_folders / 'train/ant/x.gif').write_bytes(b'GIF89a')
    with pytest.warns(DataWarning, match=r'1 image of formats that are not read, .*ant/x\.gif'):
        ClassFolders(data_prefix=prefix)
    listed = class_folders / 'list.txt'
    listed.write_text('ant/0.jpg 1\nbee/0.jpg 2\n')
    with pytest.warns(DataWarning, match='1 class without an image: 0; labels count from 0'):
        ClassFolders(data_prefix=prefix, ann_file=str(listed))
    listed.write_text('ant/0.jpg 0\nbee/0.jpg 1\nant/0.jpg 1\n')
    with pytest.raises(DataError, match=r'ant/0\.jpg: the labels 0 and 1: keep one'):
        ClassFolders(data_prefix=prefix, ann_file=str(listed))
    listed.write_text('ant/0.jpg 0\nbee/0.jpg 1\n./ant/0.jpg 0\n')
    with pytest.warns(DataWarning, match='1 line of images that are there before'):
        ClassFolders(data_prefix=prefix, ann_file=str(listed))
    with pytest.raises(DataError, match='1 line of images that are there before: remove'):
        ClassFolders(data_prefix=prefix, ann_file=str(listed), test_mode=True)
    shutil.copy(class_folders / 'train/ant/0.jpg', class_folders / 'train')
    with pytest.warns(DataWarning, match=r'1 image in no class folder, such as 0\.jpg: left out'):
        ClassFolders(data_prefix=prefix)


@pytest.mark.parametrize(
    ('names', 'message'),
    [(('Bee', 'bee'), "'Bee' and 'bee' are two classes"), (('train', 'val'), 'are train, val: is')],
)
def test_doubtful_names_of_classes_are_told(tmp_path, names, message):
    for i, name in enumerate(names):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / 'a.png'), np.full((4, 4), i, np.uint8))
    with pytest.warns(DataWarning, match=message):
        ClassFolders(data_prefix=str(tmp_path))
