import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from hrdet.data import DataError
from hrdet.data.conversion import convert
from hrdet.data.datasets.palettes import SEGMENTATION_SOURCES

CLASSES = SEGMENTATION_SOURCES['pascal_context'].classes
# Detail's ids of some classes, and their labels.
AEROPLANE, BAG, WALL, WOOD = (
    (number, CLASSES.index(name))
    for number, name in ((2, 'aeroplane'), (9, 'bag'), (440, 'wall'), (458, 'wood'))
)
ALL_IDS = (
    '0 2 259 260 415 324 9 258 144 18 19 22 23 397 25 284 158 159 416 33 162 420 454 295 296 427 '
    '44 45 46 308 59 440 445 31 232 65 354 424 68 326 72 458 34 207 80 355 85 347 220 349 360 98 '
    '187 104 105 366 189 368 113 115'
)


class Detail:
    """The JSON file: images with regions drawn one over the other."""

    def __init__(self, download):
        self.download = download
        self.content = {'images': [], 'annos_segmentation': []}
        (download.out / 'JPEGImages').mkdir(parents=True)

    def image(self, name, phase, *regions, size=(6, 8)):
        number = len(self.content['images'])
        self.content['images'].append(
            dict(image_id=number, file_name=f'{name}.jpg', phase=phase, height=6, width=8)
        )
        for category, rows in regions:
            region = np.zeros(size, np.uint8, order='F')
            region[rows] = 1
            rle = coco_mask.encode(region)
            rle['counts'] = rle['counts'].decode()
            self.content['annos_segmentation'].append(
                dict(id=9, image_id=number, category_id=category, segmentation=rle, iscrowd=1)
            )

    def convert(self):
        self.download.write('trainval_merged.json', json.dumps(self.content))
        return convert('pascal_context', self.download.raw, self.download.out, processes=1)


@pytest.fixture
def detail(download):
    return Detail(download)


def test_later_regions_lie_over_earlier_ones(detail, download):
    detail.image('b', 'train', (WALL[0], slice(0, 4)), (BAG[0], slice(3, 5)))
    detail.image('a', 'train', (WOOD[0], slice(0, 6)))
    detail.image('c', 'val', (AEROPLANE[0], slice(5, 6)))
    detail.image('d', 'test')
    summary = detail.convert()
    assert summary == (
        f'label maps of 2 train, 1 val images in {download.out}/SegmentationClassContext'
    )
    expected = np.repeat([WALL[1]] * 3 + [BAG[1]] * 2 + [0], 8).reshape(6, 8)
    np.testing.assert_array_equal(download.read('SegmentationClassContext/b.png'), expected)
    assert set(download.read('SegmentationClassContext/a.png').ravel()) == {WOOD[1]}
    expected = np.repeat([0] * 5 + [AEROPLANE[1]], 8).reshape(6, 8)
    np.testing.assert_array_equal(download.read('SegmentationClassContext/c.png'), expected)
    sets = download.out / 'ImageSets/SegmentationContext'
    assert (sets / 'train.txt').read_text() == 'a\nb\n'
    assert (sets / 'val.txt').read_text() == 'c\n'


def test_every_class_gets_the_rank_of_its_id(detail, download):
    ids = sorted(map(int, ALL_IDS.split()))
    assert len(ids) == 60
    for start in range(0, 60, 6):
        part = [(ids[start + row], slice(row, row + 1)) for row in range(6)]
        detail.image(f'{start}', 'train', *part)
    detail.convert()
    found = [download.read(f'SegmentationClassContext/{n}.png')[:, 0] for n in range(0, 60, 6)]
    assert np.concatenate(found).tolist() == list(range(60))


def test_a_category_that_is_none_of_the_classes(detail):
    detail.image('a', 'train', (3, slice(0, 2)))
    with pytest.raises(
        DataError, match=r'trainval_merged\.json: a\.jpg: category_id 3 is not one of'
    ):
        detail.convert()


def test_a_region_of_another_size(detail):
    detail.image('a', 'train', (2, slice(0, 2)), size=(5, 8))
    with pytest.raises(DataError, match=r'a\.jpg: a region of \(5, 8\) in an image of \(6, 8\)'):
        detail.convert()


def test_broken_regions_and_files(detail, download):
    detail.image('a', 'train', (2, slice(0, 2)))
    detail.content['annos_segmentation'][0]['segmentation'] = [[1, 2, 3]]
    with pytest.raises(DataError, match=r'a\.jpg: a region is not a run-length code'):
        detail.convert()
    del detail.content['annos_segmentation']
    with pytest.raises(DataError, match=r'json: not the annotations of Detail .*annos_segm'):
        detail.convert()
    (download.raw / 'trainval_merged.json').unlink()
    with pytest.raises(DataError, match=r'raw has no trainval_merged\.json'):
        convert('pascal_context', download.raw, download.out)


def test_out_must_be_voc(detail, download):
    detail.image('a', 'train')
    (download.out / 'JPEGImages').rmdir()
    with pytest.raises(DataError, match=r'out/JPEGImages is missing: OUT is the folder VOC2010'):
        detail.convert()
