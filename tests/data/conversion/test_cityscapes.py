import json
import sys
from types import ModuleType

import numpy as np
import pytest

from hrdet.data import DataError
from hrdet.data.conversion import convert

NAMES = [('train', 'ulm', 'ulm_000000_000019'), ('val', 'bonn', 'bonn_000001_000019')]


@pytest.fixture
def ids(download, photo):
    """Two images, and maps of all ids of Cityscapes (0 to 33)."""
    rng = np.random.default_rng(1)
    ids = {}
    for split, city, name in (*NAMES, ('test', 'berlin', 'berlin_000000_000019')):
        ids[name] = rng.integers(0, 34, (20, 40), np.uint8)
        download.write(f'gtFine/{split}/{city}/{name}_gtFine_labelIds.png', ids[name])
        download.write(f'gtFine/{split}/{city}/{name}_gtFine_color.png', photo(20, 40))
        download.write(f'leftImg8bit/{split}/{city}/{name}_leftImg8bit.png', photo(20, 40))
    return ids


def check_maps(download, ids, reference_dir):
    """Every pixel against the published table."""
    row = json.loads((reference_dir / 'manifests/tasks/seg_datasets.json').read_text())
    table = row['_cityscapes_label_ids']
    for split, city, name in NAMES:
        found = download.read(f'gtFine/{split}/{city}/{name}_gtFine_labelTrainIds.png')
        expected = [[table[str(value)] for value in line] for line in ids[name].tolist()]
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize('packed', [False, True])
def test_into_another_folder(download, ids, reference_dir, packed):
    if packed:
        download.pack('leftImg8bit_trainvaltest.zip', 'leftImg8bit')
        download.pack('gtFine_trainvaltest.zip', 'gtFine')
    summary = convert('cityscapes', download.raw, download.out, processes=1)
    assert summary == f'2 label maps in {download.out / "gtFine"}'
    assert download.made() == [
        'gtFine/train/ulm/ulm_000000_000019_gtFine_labelTrainIds.png',
        'gtFine/val/bonn/bonn_000001_000019_gtFine_labelTrainIds.png',
        'leftImg8bit/test/berlin/berlin_000000_000019_leftImg8bit.png',
        'leftImg8bit/train/ulm/ulm_000000_000019_leftImg8bit.png',
        'leftImg8bit/val/bonn/bonn_000001_000019_leftImg8bit.png',
    ]
    check_maps(download, ids, reference_dir)


def test_beside_the_other_maps(download, ids, reference_dir):
    """What is there already is kept."""
    download.out = download.raw
    before = download.made()
    kept = download.write(f'gtFine/val/bonn/{NAMES[1][2]}_gtFine_labelTrainIds.png', b'mine')
    convert('cityscapes', download.raw, download.raw, processes=1)
    assert kept.read_bytes() == b'mine'
    kept.unlink()
    convert('cityscapes', download.raw, download.raw, processes=1)
    check_maps(download, ids, reference_dir)
    assert len(download.made()) == len(before) + 2


def test_nothing_to_convert(download):
    download.write('leftImg8bit/train/ulm/ulm_leftImg8bit.png', b'')
    with pytest.raises(DataError, match=r'raw has no train/CITY/.*gtFine_trainvaltest\.zip has'):
        convert('cityscapes', download.raw, download.out)


POLYGONS = {'imgHeight': 4, 'imgWidth': 6, 'objects': []}


def test_polygons_without_the_package(download, monkeypatch):
    monkeypatch.setitem(sys.modules, 'cityscapesscripts', None)
    download.write('gtFine/train/ulm/a_gtFine_polygons.json', json.dumps(POLYGONS))
    with pytest.raises(
        DataError, match=r'a_gtFine_polygons\.json: polygons are drawn by .*pip install cityscapes'
    ):
        convert('cityscapes', download.raw, download.out, processes=1)


def test_polygons_go_to_the_package(download, monkeypatch):
    """The package's part is played by a stand-in: it is an extra that not everybody has."""

    class Annotation:
        def fromJsonText(self, text):
            self.content = json.loads(text)

    def create(annotation, encoding):
        assert encoding == 'trainIds'
        return np.full((annotation.content['imgHeight'], annotation.content['imgWidth']), 7, 'u1')

    for name, content in {
        'cityscapesscripts': {},
        'cityscapesscripts.helpers': {},
        'cityscapesscripts.helpers.annotation': {'Annotation': Annotation},
        'cityscapesscripts.preparation': {},
        'cityscapesscripts.preparation.json2labelImg': {'createLabelImage': create},
    }.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    download.write('gtFine/train/ulm/a_gtFine_polygons.json', json.dumps(POLYGONS))
    convert('cityscapes', download.raw, download.out, processes=1)
    found = download.read('gtFine/train/ulm/a_gtFine_labelTrainIds.png')
    np.testing.assert_array_equal(found, np.full((4, 6), 7))

    download.write('gtFine/train/ulm/b_gtFine_polygons.json', '{')
    with pytest.raises(DataError, match=r'b_gtFine_polygons\.json: not polygons of Cityscapes'):
        convert('cityscapes', download.raw, download.out.with_name('other'), processes=1)
