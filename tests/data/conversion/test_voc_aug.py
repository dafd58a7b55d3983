import sys

import numpy as np
import pytest

from hrdet.data import DataError
from hrdet.data.conversion import convert

SBD = {'train': ['2008_1', '2008_2', '2008_3'], 'val': ['2008_4', '2008_5']}
VOC = {'train': ['2007_9', '2008_2'], 'val': ['2008_5', '2007_8']}


@pytest.fixture
def maps(download):
    """SBD's maps as its .mat files hold them, and the lists of both data sets."""
    io = pytest.importorskip('scipy.io')
    rng, maps = np.random.default_rng(0), {}
    kind = [('Boundaries', 'O'), ('Segmentation', 'O'), ('CategoriesPresent', 'O')]
    for part, names in SBD.items():
        download.write(f'dataset/{part}.txt', '\n'.join(names))
        for name in names:
            maps[name] = rng.integers(0, 21, (7, 9), np.uint8)
            content = np.zeros((1, 1), kind)
            content[0, 0] = (np.zeros(1), maps[name], np.zeros(1))
            path = download.write(f'dataset/cls/{name}.mat', b'')
            io.savemat(path, {'GTcls': content})
            download.write(f'dataset/inst/{name}.mat', b'not read')
    for part, names in VOC.items():
        path = download.out / f'ImageSets/Segmentation/{part}.txt'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('\n'.join(names) + '\n')
    return maps


def test_maps_and_lists(download, maps):
    summary = convert('voc12aug', download.raw, download.out, processes=1)
    for name, expected in maps.items():
        np.testing.assert_array_equal(download.read(f'SegmentationClassAug/{name}.png'), expected)
    lists = download.out / 'ImageSets/Segmentation'
    assert (lists / 'aug.txt').read_text().split() == ['2008_1', '2008_3', '2008_4']
    both = ['2007_9', '2008_1', '2008_2', '2008_3', '2008_4']
    assert (lists / 'trainaug.txt').read_text().split() == both
    assert summary.startswith(f'5 label maps in {download.out}/SegmentationClassAug; 3 names in')
    with pytest.raises(DataError, match='SegmentationClassAug exists, and nothing is overwritten'):
        convert('voc12aug', download.raw, download.out, processes=1)


def test_what_is_missing_is_named(download, maps):
    (download.raw / 'dataset/cls/2008_4.mat').unlink()
    with pytest.raises(DataError, match=r'dataset/cls: 2008_4\.mat is missing, which SBD lists'):
        convert('voc12aug', download.raw, download.out)
    with pytest.raises(DataError, match=r'out has no dataset/cls/\*\.mat'):
        convert('voc12aug', download.out, download.out)


def test_out_must_be_voc(download, maps, tmp_path):
    with pytest.raises(DataError, match=r'other/ImageSets/Segmentation/train\.txt is missing: OUT'):
        convert('voc12aug', download.raw, tmp_path / 'other')


def test_a_broken_file(download, maps):
    download.write('dataset/cls/2008_3.mat', b'MATLAB 5.0 MAT-file, but not really' * 20)
    with pytest.raises(DataError, match=r'^.*2008_3\.mat: not a label map of SBD'):
        convert('voc12aug', download.raw, download.out, processes=1)
    assert not (download.out / 'SegmentationClassAug').exists()


def test_without_scipy(download, maps, monkeypatch):
    monkeypatch.setitem(sys.modules, 'scipy.io', None)
    with pytest.raises(DataError, match=r'2008_1\.mat: .mat files are read by scipy: pip install'):
        convert('voc12aug', download.raw, download.out, processes=1)
