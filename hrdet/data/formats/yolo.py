"""YOLO: ``data.yaml``, and text files beside the images (``annotations/yolo.py``)."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hrdet.data.annotations import AnnotationTable, read_yolo
from hrdet.data.annotations.yolo import has_objects, label_file, shared_files
from hrdet.data.errors import DataError, Problem, read_lines
from hrdet.data.formats.labels import SPLITS, Labels, images_below, split_folders, without_image
from hrdet.json_files import read_bytes
from hrdet.messages import plural
from hrdet.structures.coco_masks import rasterise

KIND = 'YOLO'
_DEPTH = 20  # of nested values in a YAML file
_KEYS = {'train': ('train',), 'val': ('val', 'valid', 'validation'), 'test': ('test',)}


def find(path: Path) -> list[Labels] | None:
    """The parts that a ``data.yaml`` names, or folders ``images`` and ``labels``; None: neither."""
    if path.suffix.lower() in ('.yaml', '.yml'):
        return _from_yaml(path)
    if not path.is_dir():
        return None
    files = sorted([*path.glob('*.yaml'), *path.glob('*.yml')])
    files = [file for file in files if b'names' in read_bytes(file)]
    if len(files) > 1 and path / 'data.yaml' not in files:
        raise DataError(f'{path}: several YAML files; give one: {", ".join(map(str, files[:5]))}')
    if files:
        return _from_yaml(path / 'data.yaml' if path / 'data.yaml' in files else files[0])
    return _from_folders(path)


def _from_yaml(file: Path) -> list[Labels]:
    content = _load(file)
    classes = _class_names(content, file)
    if content.get('kpt_shape'):
        raise DataError(f'{file}: kpt_shape: labels of key points; hrdet learns boxes and masks')
    problems: list[Problem] = []
    root = _root(content, file, problems)
    parts, everything = [], []
    for split in SPLITS:
        value = next((content[key] for key in _KEYS[split] if content.get(key)), None)
        if value is not None:
            images = _images(value, root, file, split)
            parts.append(_read(split, images, classes, str(file)))
            everything += images
    if not parts:
        raise DataError(f"{file}: it names no images: 'train', 'val' or 'test' is a folder of them")
    # Of two parts: each has told of its own.
    known = {problem.file for part in parts for problem in part.problems}
    shared = shared_files('', [str(image) for image in everything])
    problems += [problem for problem in shared if problem.file not in known]
    parts[0].problems[:0] = problems
    return parts


def _from_folders(path: Path) -> list[Labels] | None:
    """Both layouts without a YAML file; the names of the classes are in ``classes.txt``."""
    # 1. images/train and labels/train, or train/images and train/labels.
    if (path / 'images').is_dir() and any((path / 'labels').rglob('*.txt')):
        folders = split_folders(path / 'images')
    else:
        folders = split_folders(path)
        if '' in folders or not any(
            (folder / 'images').is_dir() and any((folder / 'labels').rglob('*.txt'))
            for folder in folders.values()
        ):
            return None
        folders = {split: folder / 'images' for split, folder in folders.items()}
    # 2. The names of the classes.
    names = path / 'classes.txt'
    if not names.is_file():
        raise DataError(
            f'{path}: YOLO labels without names: write data.yaml (train: images/train, val: '
            f'images/val, names: [...]), or classes.txt with one name a line'
        )
    classes = [line.strip() for line in read_lines(names, 'names') if line.strip()]
    return [
        _read(split, [folder / name for name in images_below(folder)], classes, str(folder))
        for split, folder in folders.items()
    ]


def _load(file: Path) -> dict:
    import yaml  # not for the training path

    try:
        text = read_bytes(file).decode()
        _check_events(yaml.parse(text, Loader=yaml.SafeLoader))
        content = yaml.safe_load(text)
    except FileNotFoundError:
        raise DataError(f'{file}: there is no such file') from None
    except OSError as error:
        raise DataError(f'{file}: {error.strerror}') from error
    except (yaml.YAMLError, ValueError) as error:
        raise DataError(f'{file}: not YAML: {" ".join(str(error).split())}') from error
    if not isinstance(content, dict):
        raise DataError(f"{file}: a YAML file with 'train', 'val' and 'names' is expected")
    return content


def _check_events(events: Iterable[Any]) -> None:
    """Raise a ValueError for small texts that stand for gigabytes, or that take hours to read."""
    depth = 0
    for event in events:
        kind = type(event).__name__
        depth += kind.endswith('StartEvent') - kind.endswith('EndEvent')
        if kind == 'AliasEvent':
            raise ValueError('an alias (*name): write out its value')
        if depth > _DEPTH:
            raise ValueError(f'more than {_DEPTH} lists in each other')


def _class_names(content: dict, file: Path) -> list[str]:
    """A list, or a dict by number."""
    # 1. A dict must have the numbers 0 to n - 1.
    names: Any = content.get('names')
    if isinstance(names, dict):
        expected = list(range(len(names)))
        if sorted(names, key=str) != sorted(expected, key=str):
            raise DataError(
                f'{file}: names: the numbers of {len(names)} classes are 0 to {len(names) - 1}, '
                f'not {", ".join(map(str, list(names)[:10]))}'
            )
        names = [names[number] for number in expected]
    if not isinstance(names, list) or not names:
        raise DataError(f"{file}: names: a list of the classes' names is expected, not {names!r}")
    # 2. Texts alone: YAML reads no, on and ~ as other values, and a class would get another name.
    for number, name in enumerate(names):
        if isinstance(name, bool) or not isinstance(name, (str, int)) or name == '':
            raise DataError(
                f'{file}: names: class {number} is read as {name!r}, no text: put its name into '
                f'quotation marks'
            )
    # 3. Each class once, and as many as ``nc`` says.
    names = [str(name) for name in names]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f'{file}: names: a second class {twice!r}')
    count = content.get('nc', len(names))
    if count != len(names):
        raise DataError(f'{file}: nc is {count}, but names has {len(names)}')
    return names


def _root(content: dict, file: Path, problems: list[Problem]) -> Path:
    """The folder that the parts are relative to."""
    path = content.get('path')
    if not path:
        return file.parent
    root = file.parent / str(path)
    if root.is_dir():
        return root
    if Path(str(path)).is_dir():  # relative to the working folder
        return Path(str(path))
    reason = f'there is no folder {root}: the folder of the file is taken'
    problems.append(Problem(str(file), 'path', reason, False))
    return file.parent


def _images(value: Any, root: Path, file: Path, split: str) -> list[Path]:
    """The images of a part: folders, lists of images, or several of them."""
    images: list[Path] = []
    for entry in value if isinstance(value, list) else [value]:
        place = root / str(entry)
        # Exports with train: ../train/images mean the folder of the file.
        if not place.exists() and str(entry).startswith('../'):
            place = root / str(entry).removeprefix('../')
        if place.is_dir():
            images += [place / name for name in images_below(place)]
        elif place.exists() and place.suffix == '.txt':
            lines = read_lines(place, split)
            images += [place.parent / line.strip() for line in lines if line.strip()]
        else:
            raise DataError(f'{file}: {split}: there is no folder or list of images {place}')
    if not images:
        raise DataError(f'{file}: {split}: there are no images in {value}')
    return images


def _read(split: str, images: Sequence[Path], classes: Sequence[str], file: str) -> Labels:
    if not any(label_file(image).exists() for image in images):
        expected = f', such as {label_file(images[0])}' if images else ''
        raise DataError(
            f'{file}: {split or "images"}: none of {plural(len(images), "image")} has a text file '
            f'of labels{expected}'
        )
    root = os.path.commonpath([image.parent for image in images])
    names = [os.path.relpath(image, root).replace(os.sep, '/') for image in images]
    table, problems = read_yolo(file, root, names, classes)
    folders = {label_file(image).parent: image.parent for image in images}
    problems += without_image(folders, '.txt', has_objects)
    return Labels(split, table, root, problems)


def text_of(table: AnnotationTable, image: int) -> tuple[str, int]:
    """The lines of one image, and how many crowd regions are left out of them.

    A mask of several parts is one polygon, whose parts are joined by lines without a width.
    """
    h, w = table.sizes[image].tolist()
    lines, left_out = [], 0
    rows = table.rows_of(image)
    for i in range(rows.start, rows.stop):
        if table.crowd[i]:
            left_out += 1
            continue
        # A polygon x1 y1 x2 y2 ..., or a box as centre and size, in fractions of the image.
        mask = table.segmentations[i] if table.segmentations is not None else None
        polygons = _outlines(mask, (h, w))
        if polygons:
            values = _joined(polygons) / [w, h]
        else:
            x1, y1, x2, y2 = table.boxes[i].tolist()
            values = np.array([(x1 + x2) / 2 / w, (y1 + y2) / 2 / h, (x2 - x1) / w, (y2 - y1) / h])
        numbers = ' '.join(f'{value:.6f}' for value in values.ravel())
        lines.append(f'{table.labels[i]} {numbers}')
    return ''.join(f'{line}\n' for line in lines), left_out


def _outlines(mask: list | dict | None, size: tuple[int, int]) -> list[np.ndarray]:
    """Polygons (k, 2) of a segmentation; of an RLE the outer outlines of its parts.

    Parts that overlap are outlined as their pixels, as overlaps of one outline would be holes.
    """
    if mask is None:
        return []
    if isinstance(mask, list) and not _overlap(mask, size):
        return [np.reshape(polygon, (-1, 2)) for polygon in mask]
    # 1. The pixels (h, w), and the window that holds the object.
    mask = [list(polygon) for polygon in mask] if isinstance(mask, list) else mask
    pixels = rasterise(mask, size)
    rows, columns = (np.flatnonzero(pixels.any(axis)) for axis in (1, 0))
    contours = ()
    if len(rows):
        # 2. OpenCV's outlines run through the centres of pixels.  In an image of twice the size
        #    these are a quarter of a pixel from the object's edge instead of half of one.
        window = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        halves = np.repeat(np.repeat(window, 2, axis=0), 2, axis=1)
        contours, _ = cv2.findContours(halves, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    # 3. Back to pixels of the image; parts of one or two points have no area.
    outlines = [
        (contour[:, 0] + 0.5) / 2 + [columns[0], rows[0]]
        for contour in contours
        if len(contour) > 2
    ]
    parts = mask if isinstance(mask, list) else []
    return outlines or [np.reshape(polygon, (-1, 2)) for polygon in parts]


def _overlap(polygons: list[np.ndarray], size: tuple[int, int]) -> bool:
    if len(polygons) == 1:
        return False
    pixels = sum(int(rasterise([list(polygon)], size).sum()) for polygon in polygons)
    return pixels > int(rasterise([list(polygon) for polygon in polygons], size).sum())


def _joined(polygons: list[np.ndarray]) -> np.ndarray:
    """One outline (k, 2): around each part and back to where it began, then to the next."""
    if len(polygons) == 1:
        return polygons[0]
    # All parts have one orientation, or their areas would cancel.
    polygons = [polygon[:: 1 if _signed_area(polygon) >= 0 else -1] for polygon in polygons]
    closed = [np.concatenate([polygon, polygon[:1]]) for polygon in polygons]
    back = [polygon[:1] for polygon in reversed(polygons[1:-1])]
    return np.concatenate(closed + back)


def _signed_area(polygon: np.ndarray) -> float:
    """Twice the area of a polygon (k, 2), by the shoelace formula; its sign is the orientation."""
    x, y = polygon.T
    return x @ np.roll(y, -1) - y @ np.roll(x, -1)
