"""Damaged label maps and class folders, and a plain reading of each to compare with."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from benchmarks.reliability import materials
from benchmarks.reliability.cases import Case, Wrong
from benchmarks.reliability.materials import Draw
from benchmarks.reliability.reading import use


def maps(base: Path, draw: Draw, number: int) -> Case:
    paths = sorted((base / 'maps/labels/train').iterdir())
    path = draw.choice(paths)
    name, edit = draw.choice(list(_MAP_EDITS.items()))

    def work(folder: Path) -> None:
        materials.copy(base / 'maps', folder)
        edit(folder / 'labels/train' / path.name, draw, folder)
        node = dict(
            type='LabelMapDataset',
            img_dir='images/train',
            ann_dir='labels/train',
            classes='classes.txt',
        )
        node |= dict(transforms=[])
        used = use(node, node | dict(test_mode=True), dict(type='MeanIoU'))
        for index in range(len(used)):
            with Image.open(used.map_path(index)) as picture:
                picture.load()
                plain = np.asarray(picture)
            labels = np.asarray(used.truth(index).labels)
            if plain.ndim != 2 or not np.array_equal(plain, labels):
                raise Wrong(
                    f'{used.map_path(index)}: labels {np.unique(labels)}, file {np.unique(plain)}'
                )
            if name.startswith(('damaged', 'a JPEG')):
                sound = cv2.imread(str(base / 'maps' / used.map_path(index)), cv2.IMREAD_UNCHANGED)
                if not np.array_equal(sound, labels):
                    raise Wrong(f'{used.map_path(index)}: other labels than before the damage')

    places = (path.name, path.stem, 'classes.txt', 'images/train', 'labels/train')
    return Case(f'maps {number}: {path.name} {name}', work, places)


def _write_map(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    cv2.imwrite(str(path), change(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)))


def _palette_map(path: Path) -> None:
    picture = Image.fromarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)).convert('P')
    picture.putpalette(list(range(256)) * 3)
    picture.save(path)


def _with_bytes(path: Path, draw: Draw, folder: Path) -> None:
    path.write_bytes(materials.damaged_bytes(path.read_bytes(), draw)[1])


def _set_pixel(value: int) -> Callable:
    def edit(path: Path, draw: Draw, folder: Path) -> None:
        def change(labels: np.ndarray) -> np.ndarray:
            labels[draw.randrange(64), draw.randrange(80)] = value
            return labels

        _write_map(path, change)

    return edit


def _as_jpeg(path: Path, draw: Draw, folder: Path) -> None:
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    path.write_bytes(cv2.imencode('.jpg', labels)[1].tobytes())


def _rewrite_classes(change: Callable[[str], str]) -> Callable:
    def edit(path: Path, draw: Draw, folder: Path) -> None:
        file = folder / 'classes.txt'
        file.write_text(change(file.read_text()))

    return edit


_MAP_EDITS: dict[str, Callable[[Path, Draw, Path], None]] = {
    'damaged': _with_bytes,
    'damaged ': _with_bytes,
    'damaged  ': _with_bytes,
    'a value of no class': _set_pixel(10),
    'the value 254': _set_pixel(254),
    'the value 9': _set_pixel(9),
    'in colours': lambda path, *_: _write_map(path, lambda x: np.repeat(x[..., None], 3, 2)),
    'with alpha': lambda path, *_: _write_map(path, lambda x: np.repeat(x[..., None], 4, 2)),
    '16 bits': lambda path, *_: _write_map(path, lambda x: x.astype(np.uint16)),
    '16 bits, scaled': lambda path, *_: _write_map(path, lambda x: x.astype(np.uint16) * 257),
    'of another size': lambda path, *_: _write_map(path, lambda x: x[:50]),
    'turned': lambda path, *_: _write_map(path, lambda x: np.ascontiguousarray(x.T)),
    'one bit': lambda path, *_: _write_map(path, lambda x: (x > 5) * np.uint8(255)),
    'with a palette': lambda path, *_: _palette_map(path),
    'a JPEG': _as_jpeg,
    'missing': lambda path, *_: path.unlink(),
    'a folder': lambda path, *_: (path.unlink(), path.mkdir()),
    'all ignored': lambda path, *_: _write_map(path, lambda x: np.full_like(x, 255)),
    'one class fewer': _rewrite_classes(lambda text: text.rsplit('\n', 2)[0] + '\n'),
    'a class twice': _rewrite_classes(lambda text: text.replace('square', 'circle')),
    'no classes': _rewrite_classes(lambda text: ''),
    'classes with blank lines': _rewrite_classes(lambda text: text.replace('\n', '\n\n')),
    'an image without a map': lambda path, draw, folder: (
        folder / 'images/train/000009.jpg'
    ).write_bytes((folder / 'images/train/000001.jpg').read_bytes()),
    'a map without an image': lambda path, draw, folder: (path.parent / '000008.png').write_bytes(
        path.read_bytes()
    ),
}


def folders(base: Path, draw: Draw, number: int) -> Case:
    images = sorted(
        p.relative_to(base / 'folders') for p in (base / 'folders/train').rglob('*.jpg')
    )
    image = draw.choice(images)
    listed = number % 2 == 1
    labels = {name: i for i, name in enumerate(sorted({p.parent.name for p in images}))}
    lines = [f'{p.relative_to("train")} {labels[p.parent.name]}' for p in images]
    name, change = draw.choice(list((_LIST_EDITS if listed else _FOLDER_EDITS).items()))

    def work(folder: Path) -> None:
        materials.copy(base / 'folders', folder)
        node = dict(type='ClassFolders', data_prefix='train')
        if listed:
            data = change('\n'.join(lines).encode(), draw)
            (folder / 'list.txt').write_bytes(data)
            node |= dict(ann_file='list.txt')
        else:
            change(folder / image, draw)
        used = use(node, node | dict(test_mode=True), dict(type='Accuracy'))
        if not listed:
            wrong = [
                n
                for n, label in zip(used.image_ids, used.labels)
                if used.classes[label] != n.split('/')[0]
            ]
            if wrong:
                raise Wrong(f'{wrong[0]} has another class')
        else:
            rows = (folder / 'list.txt').read_text('utf-8-sig').splitlines()
            told = [
                (row.rsplit(None, 1)[0].strip(), int(row.rsplit(None, 1)[1]))
                for row in rows
                if row.strip()
            ]
            if told != list(zip(used.image_ids, map(int, used.labels))):
                raise Wrong('names or labels are others than those of the list')

    where = ('list.txt',) if listed else (image.name, image.parent.name, 'train')
    return Case(f'folders {number}: {"list" if listed else image} {name}', work, (*where, '.jpg'))


def _replace(old: str, new: str) -> Callable[[bytes, Draw], bytes]:
    return lambda data, draw: re.sub(
        old, new.replace('\\', r'\\'), data.decode(), count=1, flags=re.M
    ).encode()


_LIST_EDITS: dict[str, Callable[[bytes, Draw], bytes]] = {
    'damaged': lambda data, draw: materials.damaged_bytes(data, draw)[1],
    'damaged ': lambda data, draw: materials.damaged_bytes(data, draw)[1],
    'no label': _replace(r' \d+$', ''),
    'label -1': _replace(r' \d+$', ' -1'),
    'label 1.5': _replace(r' \d+$', ' 1.5'),
    'label huge': _replace(r' \d+$', ' 99999999999999999999'),
    'label 99': _replace(r' \d+$', ' 99'),
    'label nan': _replace(r' \d+$', ' nan'),
    'Arabic digits': _replace(r' \d+$', ' ٣'),
    'a missing file': _replace(r'^\w+/', 'nowhere/'),
    'an absolute name': _replace(r'^', '/etc/passwd'),
    'a name that climbs': _replace(r'^', '../../'),
    'backslashes': _replace('/', '\\'),
    'tabs': _replace(' ', '\t'),
    'CRLF': lambda data, draw: data.replace(b'\n', b'\r\n'),
    'a BOM': lambda data, draw: b'\xef\xbb\xbf' + data,
    'UTF-16': lambda data, draw: data.decode().encode('utf-16'),
    'blank lines': lambda data, draw: data.replace(b'\n', b'\n\n'),
    'empty': lambda data, draw: b'',
    'a header': lambda data, draw: b'name label\n' + data,
}
_FOLDER_EDITS: dict[str, Callable[[Path, Draw], Any]] = {
    'damaged': lambda path, draw: path.write_bytes(
        materials.damaged_bytes(path.read_bytes(), draw)[1]
    ),
    'damaged ': lambda path, draw: path.write_bytes(
        materials.damaged_bytes(path.read_bytes(), draw)[1]
    ),
    'empty class': lambda path, draw: [p.unlink() for p in path.parent.iterdir()],
    'a folder named as an image': lambda path, draw: (path.unlink(), path.mkdir()),
    'a dangling link': lambda path, draw: (path.unlink(), path.symlink_to('nowhere')),
    'a link to itself': lambda path, draw: (path.unlink(), path.symlink_to(path.name)),
    'a text': lambda path, draw: path.write_text('not an image'),
    'a file beside the classes': lambda path, draw: (path.parents[1] / 'notes.jpg').write_bytes(
        path.read_bytes()
    ),
    'a hidden folder': lambda path, draw: (path.parents[1] / '.thumbs').mkdir(),
    'deeper': lambda path, draw: (
        (path.parent / 'more').mkdir(),
        path.rename(path.parent / 'more' / path.name),
    ),
    'a name in latin-1': lambda path, draw: path.rename(str(path.parent / 'caf') + '\udce9.jpg'),
}
