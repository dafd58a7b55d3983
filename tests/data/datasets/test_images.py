"""Where image files are read from: folders and zip archives."""

import os
import pickle
import struct
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from hrdet.data import CocoDataset, DataError, build_loader
from hrdet.data.datasets.archives import ArchiveImages
from hrdet.data.datasets.images import FolderImages, ZipImages, decode, image_store


@pytest.fixture
def archive(coco_folder, tmp_path):
    """The images of ``coco_folder`` as ``train.zip`` with the folder ``train/`` inside."""
    coco_folder.write()
    path = tmp_path / 'train.zip'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as file:
        for i in range(3):
            file.write(f'{coco_folder.img_prefix}/{i}.jpg', f'train/{i}.jpg')
    return path


def equal(samples_a, samples_b):
    return all(np.array_equal(a.image, b.image) for a, b in zip(samples_a, samples_b, strict=True))


def test_zip_reads_what_the_folder_has(coco_folder, archive):
    plain = CocoDataset(coco_folder.ann_file, coco_folder.img_prefix)
    for prefix in (str(archive), f'{archive}/train', f'{archive}/train/'):
        zipped = CocoDataset(coco_folder.ann_file, prefix)
        assert equal([plain[i] for i in range(3)], [zipped[i] for i in range(3)])
    assert zipped[1].meta.path == f'{archive}/train/1.jpg'


def test_many_workers_and_threads(coco_folder, archive):
    dataset = CocoDataset(coco_folder.ann_file, str(archive))
    expected = [dataset[i].image for i in range(3)]  # opens the archive before the workers start
    loader = build_loader(dataset, 1, num_workers=3, training=False)
    for _ in range(3):
        for batch, image in zip(loader, expected, strict=True):
            np.testing.assert_array_equal(batch.images[0].permute(1, 2, 0).numpy(), image)
    with ThreadPoolExecutor(4) as pool:
        assert all(
            pool.map(lambda i: np.array_equal(dataset[i % 3].image, expected[i % 3]), range(60))
        )


def test_travels_without_its_handle(archive):
    store = ZipImages(str(archive))
    data = store.read('0.jpg')
    copied = pickle.loads(pickle.dumps(store))
    assert copied._open_for is None
    assert copied.read('0.jpg') == data


def test_every_process_opens_for_itself(archive):
    store = ZipImages(str(archive))
    store.read('0.jpg')
    handle = store._open_for[1]
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        store.read('1.jpg')
        os.write(write, b'other' if store._open_for[1] is not handle else b'same')
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 10) == b'other'
    os.close(read)
    os.close(write)


def test_missing_member_is_named(archive):
    with pytest.raises(DataError, match=r'train\.zip has no member 9\.jpg'):
        ZipImages(str(archive)).read('9.jpg')
    with pytest.raises(DataError, match=r'has no member val/0\.jpg'):
        image_store(f'{archive}/val').read('0.jpg')


def test_ambiguous_member(archive):
    with zipfile.ZipFile(archive, 'a') as file:
        file.writestr('val/0.jpg', b'other')
        file.writestr('x0.jpg', b'no match: the name differs')
    with pytest.raises(DataError, match=r'2 members 0\.jpg: train/0\.jpg, val/0\.jpg.*/FOLDER'):
        ZipImages(str(archive)).read('0.jpg')
    assert image_store(f'{archive}/val').read('0.jpg') == b'other'
    assert len(ZipImages(str(archive)).read('1.jpg')) > 100


def test_corrupt_member_is_named(archive):
    data = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as file:
        info = file.getinfo('train/1.jpg')
    name, extra = struct.unpack_from('<HH', data, info.header_offset + 26)
    start = info.header_offset + 30 + name + extra
    for i in range(start + 40, start + 60):
        data[i] ^= 0xFF
    archive.write_bytes(data)
    store = ZipImages(str(archive))
    assert store.read('0.jpg')
    with pytest.raises(DataError, match=r'train\.zip: member train/1\.jpg cannot be read'):
        store.read('1.jpg')


def test_no_zip_at_all(tmp_path):
    path = tmp_path / 'bad.zip'
    path.write_bytes(b'this is no archive')
    with pytest.raises(DataError, match=r'bad\.zip: the archive cannot be read'):
        ZipImages(str(path)).read('0.jpg')
    with pytest.raises(DataError, match=r'^img_prefix: there is no zip file .*gone\.zip'):
        image_store(str(tmp_path / 'gone.zip'))
    with pytest.raises(DataError, match=r'^seg_prefix: there is no folder .*gone'):
        image_store(str(tmp_path / 'gone'), 'seg_prefix')


def test_folder_named_like_an_archive(tmp_path):
    (tmp_path / 'odd.zip' / 'images').mkdir(parents=True)
    assert isinstance(image_store(str(tmp_path / 'odd.zip' / 'images')), FolderImages)


def test_pipes_and_devices_are_refused(tmp_path):
    """One waits for a writer, the other never ends."""
    os.mkfifo(tmp_path / 'pipe.jpg')
    (tmp_path / 'zero.jpg').symlink_to('/dev/zero')
    for name in ('pipe.jpg', 'zero.jpg'):
        with pytest.raises(DataError, match=rf'{name}: a pipe or device, not a file'):
            FolderImages(str(tmp_path)).read(name)


def test_cut_off_and_empty_images():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    data = cv2.imencode('.jpg', pixels)[1].tobytes()
    assert decode(data, 'a.jpg').shape == (60, 60, 3)
    with pytest.raises(DataError, match=r'a\.jpg: the JPEG is cut off'):
        decode(data[: len(data) // 2], 'a.jpg')
    for bad in (b'', b'no image at all'):
        with pytest.raises(DataError, match=r'a\.jpg: not an image'):
            decode(bad, 'a.jpg')


def test_exif_rotation_is_not_applied():
    pixels = np.zeros((30, 50, 3), np.uint8)
    pixels[:, :25] = 255
    jpeg = cv2.imencode('.jpg', pixels)[1].tobytes()
    orientation = struct.pack('>HHIHH', 0x0112, 3, 1, 6, 0)
    exif = b'Exif\0\0MM\0*\0\0\0\x08\0\x01' + orientation + b'\0\0\0\0'
    turned = jpeg[:2] + b'\xff\xe1' + struct.pack('>H', len(exif) + 2) + exif + jpeg[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (50, 30, 3)
    np.testing.assert_array_equal(decode(turned, 'x'), decode(jpeg, 'x'))


def test_grey_and_transparent_images_come_as_three_channels():
    for shape in ((20, 30), (20, 30, 4)):
        data = cv2.imencode('.png', np.full(shape, 90, np.uint8))[1].tobytes()
        assert decode(data, 'x.png').shape == (20, 30, 3)


@pytest.mark.parametrize(
    'name', ['/etc/passwd', '../0.jpg', 'a/../../0.jpg', '..', 'C:\\0.jpg', '..\\0.jpg']
)
def test_names_never_leave_their_folder(coco_folder, archive, name):
    coco_folder.content['images'][0]['file_name'] = name
    for prefix in (coco_folder.img_prefix, str(archive)):
        dataset = CocoDataset(coco_folder.write(), prefix)
        with pytest.raises(DataError, match=r'leaves the folder of the images.*img_prefix'):
            dataset[0]
    for kind in ('.zip', '.tar'):
        store = archive.with_suffix(kind)
        if kind == '.tar':
            with tarfile.open(store, 'w') as file:
                file.add(coco_folder.img_prefix, '.')
        with pytest.raises(DataError, match='leaves the folder'):
            ArchiveImages(str(store)).read(name)


@pytest.mark.parametrize(
    ('name', 'cause'),
    [
        ('images\\1.jpg', 'the name repeats the folder'),
        ('images/1.jpg', 'the name repeats the folder'),
        ('sub\\1.jpg', 'backslashes'),
        ('a%20b.jpg', '%-codes'),
    ],
)
def test_names_that_tools_write_differently(coco_folder, name, cause):
    folder = Path(coco_folder.img_prefix)
    (folder / 'sub').mkdir()
    data = (folder / '1.jpg').read_bytes()
    for other in ('sub/1.jpg', 'a b.jpg'):
        (folder / other).write_bytes(data)
    with pytest.raises(DataError, match=rf'No such file or directory; there is .*{cause}'):
        FolderImages(str(folder)).read(name)
    archive = folder.with_suffix('.zip')
    with zipfile.ZipFile(archive, 'w') as file:
        for path in folder.rglob('*.jpg'):
            file.write(path, path.relative_to(folder))
    for store in (ZipImages(str(archive)), ArchiveImages(str(archive))):
        with pytest.raises(DataError, match=rf'zip has no member .*; there is .*zip.*{cause}'):
            store.read(name)


def test_members_that_unpack_to_too_much_are_refused(tmp_path, monkeypatch):
    path = tmp_path / 'bomb.zip'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as file:
        file.writestr('0.jpg', bytes(10_000))
    for store in (ZipImages(str(path)), ArchiveImages(str(path))):
        assert len(store.read('0.jpg')) == 10_000
    monkeypatch.setenv('HRDET_MAX_PIXELS', '1000')
    for store in (ZipImages(str(path)), ArchiveImages(str(path))):
        with pytest.raises(DataError, match=r'bomb\.zip.*'):
            store.read('0.jpg')
    (tmp_path / 'large.jpg').write_bytes(bytes(10_000))
    with pytest.raises(DataError, match=r'large\.jpg: 10,000 bytes'):
        FolderImages(str(tmp_path)).read('large.jpg')


def test_names_with_a_zero_byte_are_refused(coco_folder):
    with pytest.raises(DataError, match=r"the file name 'a\\x00b' has a zero byte"):
        FolderImages(coco_folder.img_prefix).read('a\0b')
