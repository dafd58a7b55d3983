"""tools/check_dataset.py: every problem of a data set at once."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from hrdet.data.datasets.check import examine, open_coco
from hrdet.registry import register


def break_everything(coco_folder):
    annotations, images = coco_folder.content['annotations'], coco_folder.content['images']
    annotations[0]['bbox'][0] = float('nan')
    annotations[1]['segmentation'] = [[1, 2, 3, 4]]
    annotations[3]['bbox'] = [1, 1, 0, 5]
    annotations[4]['image_id'] = 1000
    images[2]['file_name'] = 'gone.jpg'
    images[0]['width'] = 640
    file = Path(coco_folder.img_prefix, '1.jpg')
    file.write_bytes(file.read_bytes()[:200])
    coco_folder.write()


def test_all_problems_at_once(coco_folder, run):
    break_everything(coco_folder)
    status, text = run(coco_folder.ann_file, coco_folder.img_prefix)
    assert status == 1
    name = f'error: {coco_folder.ann_file}: '
    doubt = f'warning: {coco_folder.ann_file}: '
    for part in (
        f'{name}annotations[0] (id 1): bbox must be four finite',
        f'{doubt}annotations[1] (id 2): polygon 0 has fewer than three points',
        f'{doubt}annotations[3] (id 4): a box of zero size',
        f'{name}annotations[4] (id 5): there is no image with the id 1000',
        'gone.jpg: No such file',
        '0.jpg: the file is 64 x 48 pixels, its annotation says 640 x 48',
        '1.jpg: the JPEG is cut off',
        '5 errors, 3 warnings',  # the third: most dogs that are left are crowd regions
    ):
        assert part in text


def test_sound_data(coco_folder, run):
    coco_folder.write()
    status, text = run(coco_folder.ann_file, coco_folder.img_prefix)
    assert status == 0
    assert '3 of 3 images, 4 boxes and 1 crowd region of 5; boxes by class: cat 2, dog 2' in text
    assert '0 errors, 0 warnings' in text


def test_annotations_alone_and_files_that_are_none(coco_folder, tmp_path, run):
    coco_folder.write()
    assert run(coco_folder.ann_file, '--no-images')[0] == 0
    (tmp_path / 'bad.json').write_text('{')
    status, text = run(tmp_path / 'bad.json')
    assert status == 1
    assert 'not JSON' in text
    for missing in (
        (tmp_path / 'gone.json', '--no-images'),
        (tmp_path / 'gone',),
        (coco_folder.ann_file, tmp_path / 'away'),
    ):
        status, text = run(*missing)
        assert status == 1
        assert 'there is no' in text
    assert run()[0] == 2


def test_boxes_without_masks_are_sound(coco_folder, run):
    for annotation in coco_folder.content['annotations']:
        annotation.pop('segmentation', None)
    coco_folder.write()
    status, text = run(coco_folder.ann_file, coco_folder.img_prefix)
    assert status == 0
    assert '0 errors, 0 warnings' in text


@pytest.mark.parametrize('with_mask', [False, True])
def test_a_config_needs_masks_only_where_it_loads_them(
    coco_folder, tmp_path, run, pytestconfig, with_mask
):
    base = pytestconfig.rootpath / 'configs/hrnet/faster_rcnn_hrnetv2p_w18_1x.py'
    for annotation in coco_folder.content['annotations']:
        annotation.pop('segmentation', None)
    coco_folder.write()
    data = f"dict(ann_file='{coco_folder.ann_file}', img_prefix='{coco_folder.img_prefix}'"
    config = tmp_path / 'config.py'
    config.write_text(
        f"_base_ = ['{base}']\nclasses = ('cat', 'dog')\n"
        f'data = dict(train={data}, with_mask={with_mask}), val={data}), test={data}))\n'
    )
    status, text = run('--config', config)
    assert status == int(with_mask)
    assert ('no segmentation, which with_mask=True needs' in text) == with_mask


def test_a_voc_folder(tmp_path, run):
    for name in ('Annotations', 'JPEGImages', 'ImageSets/Main'):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / 'ImageSets/Main/train.txt').write_text('a\nb\n')
    (tmp_path / 'Annotations/a.xml').write_text(
        '<annotation><size><width>9</width><height>8</height></size><object><name>cell</name>'
        '<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></object>'
        '</annotation>'
    )
    cv2.imwrite(str(tmp_path / 'JPEGImages/a.jpg'), np.zeros((8, 7, 3), np.uint8))
    status, text = run(tmp_path)
    assert status == 1
    assert "image 'b': no" in text
    assert 'a.jpg: the file is 7 x 8 pixels' in text


def test_yolo_with_images_in_two_parts_and_doubtful_boxes(tmp_path, run):
    root = tmp_path / 'beasts'
    for split, name, seed in (('train', 'a', 0), ('train', 'b', 1), ('val', 'renamed', 0)):
        for folder in ('images', 'labels'):
            (root / folder / split).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 80, 3), np.uint8)
        cv2.imwrite(str(root / f'images/{split}/{name}.jpg'), pixels)
        (root / f'labels/{split}/{name}.txt').write_text('0 0.5 0.5 0.25 0.5\n')
    (root / 'data.yaml').write_text('train: images/train\nval: images/val\nnames: [cat, dog]')
    (root / 'labels/train/a.txt').write_text(
        '1 0.5 0.5 1 1\n0 0.5 0.5 0.25 0.5\n0 0.5 0.5 0.25 0.5\n0 0.5 0.5 0.02 0.5\n'
    )
    status, text = run(root)
    assert status == 0
    lines = text.splitlines()
    assert lines[0].endswith('taken for YOLO: train 2 images, val 1 image; 2 classes: cat, dog')
    for part in (
        "1 box has the box and the class of another box of their image; remove them: such as 'cat'",
        'corners [30.0, 10.0, 50.0, 30.0] in a.jpg',
        "1 box has a side below 2 pixels: such as 'cat'",
        "1 box has the size of their whole image: such as 'dog'",
        '(train): 2 of 2 images, 5 boxes and 0 crowd regions of 5; boxes by class: cat 4, dog 1; '
        'all 80 x 40 pixels',
        '(train): 0 errors, 3 warnings',
        f'1 of 1 image are in {root}/data.yaml (train), too, such as {root}/images/val/renamed.jpg',
    ):
        assert part in text
    (root / 'labels/val/renamed.txt').write_text('2 0.5 0.5 0.25 0.5\n')
    status, text = run(root, '--no-images')
    assert status == 1
    assert f'error: {root}/labels/val/renamed.txt: line 1: class 2, but there are 2 names' in text


def test_a_config(coco_folder, tmp_path, run, pytestconfig):
    base = pytestconfig.rootpath / 'configs/hrnet/faster_rcnn_hrnetv2p_w18_1x.py'
    coco_folder.write()
    data = f"dict(ann_file='{coco_folder.ann_file}', img_prefix='{coco_folder.img_prefix}')"
    config = tmp_path / 'config.py'
    config.write_text(
        f"_base_ = ['{base}']\nclasses = ('cat', 'dgo')\n"
        f'data = dict(train={data}, val={data}, test={data})\n'
    )
    status, text = run('--config', config)
    assert status == 1
    assert "no class 'dgo'; did you mean 'dog'?" in text
    assert text.count('1 error, 0 warnings') == 1, 'one data set used three times is checked once'


def test_a_config_without_its_option_is_named(run):
    status, text = run('configs/mine.py')
    assert status == 2
    assert 'configs/mine.py is a config: write --config configs/mine.py' in text


def test_images_step_by_step(coco_folder):
    coco_folder.write()
    check = open_coco(coco_folder.ann_file, coco_folder.img_prefix)
    assert len(list(check.check_images())) == 3
    assert check.problems == []


def test_data_sets_without_a_check_are_named():
    @register('Unexamined')
    class Unexamined:
        pass

    check = examine(dict(type='Unexamined', transforms=[]))
    assert [str(problem) for problem in check.problems] == [
        'Unexamined: not checked: the class is no ImageDataset'
    ]
    assert (len(check), check.summary(), list(check.check_images())) == (0, '', [])


@pytest.mark.parametrize('segmentation', [None, [], dict(size=[48, 64], counts=[10.0, 3062.0])])
def test_what_the_evaluation_asks_of_its_file(
    coco_folder, tmp_path, run, pytestconfig, segmentation
):
    base = pytestconfig.rootpath / 'configs/hrnet/mask_rcnn_hrnetv2p_w18_1x.py'
    data = f"img_prefix='{coco_folder.img_prefix}')"
    train = coco_folder.write()
    coco_folder.ann_file = str(tmp_path / 'val.json')
    coco_folder.content['annotations'][1]['segmentation'] = segmentation
    val = coco_folder.write()
    config = tmp_path / 'config.py'
    config.write_text(
        f"_base_ = ['{base}']\nclasses = ('cat', 'dog')\ndata = dict("
        f"train=dict(ann_file='{train}', {data}, val=dict(ann_file='{val}', {data}, "
        f"test=dict(ann_file='{val}', {data})\n"
    )
    status, text = run('--config', config)
    assert status == 1
    assert 'val.json: annotations[1] (id 2): ' in text
    assert f'{train}: 0 errors' in text
