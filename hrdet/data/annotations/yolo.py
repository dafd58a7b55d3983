"""Reading YOLO's text files, one for each image, as an annotation table.

A line is a class, counted from 0, and fractions of the image's width and height: a box as centre
and size, ``class x y w h``, or a polygon, ``class x1 y1 x2 y2 x3 y3 ...``.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from hrdet.data.annotations.table import AnnotationTable, box_doubt
from hrdet.data.errors import Problem
from hrdet.json_files import open_file, read_bytes
from hrdet.messages import plural

_ORIENTATION = 274  # the EXIF tag
_SHOWN = 60  # characters of a line in a message


def read_yolo(
    file: str, root: str, images: Sequence[str], classes: Sequence[str]
) -> tuple[AnnotationTable, list[Problem]]:
    """The objects of some images as columns, and what is wrong with their text files.

    Args:
        file: what messages call the table.
        root: the folder of the images.
        images: their names in it.
        classes: names in the order of the numbers in the text files.

    Returns:
        The table, without the images that cannot be read, and the problems.  An image without a
        text file has no objects.
    """
    problems = shared_files(root, images)
    names, sizes, objects, without = [], [], [], []
    for name in images:
        path = Path(root, name)
        size = image_size(path, problems)
        if size is None:
            continue
        # A line that cannot be parsed is a problem, and the other lines still count.
        labels = label_file(path)
        if labels.exists():
            lines = _read_lines(labels, problems)
            for number, line in enumerate(lines, 1):
                try:
                    label, box, polygons = _parse(line, size, len(classes))
                except ValueError as error:
                    problems.append(Problem(str(labels), f'line {number}', str(error), True))
                    continue
                if reason := box_doubt(box, size):
                    problems.append(Problem(str(labels), f'line {number}', reason, False))
                objects.append((len(names), label, box, polygons))
        else:
            without.append(name)
        names.append(name)
        sizes.append(size)
    if without:
        expected = label_file(Path(root, without[0]))
        reason = (
            f'{len(without)} of {plural(len(images), "image")} without a text file, such as '
            f'{without[0]} ({expected}), taken for images without objects: write an empty file '
            f'for an image that shows none'
        )
        problems.append(Problem(file, '', reason, False))
    return AnnotationTable.of_objects(file, names, sizes, classes, objects), problems


def label_file(image: Path) -> Path:
    """The text file of an image: ``labels`` in place of the last folder ``images``."""
    parts = list(image.parts)
    for i in reversed(range(len(parts) - 1)):
        if parts[i] == 'images':
            parts[i] = 'labels'
            break
    return Path(*parts).with_suffix('.txt')


def shared_files(root: str, images: Sequence[str]) -> list[Problem]:
    """An error for each text file that belongs to two images, such as a.jpg and a.png."""
    problems: list[Problem] = []
    first: dict[Path, str] = {}
    for name in images:
        labels = label_file(Path(root, name))
        other = first.setdefault(labels, name)
        if other != name and labels.exists():
            reason = f'it belongs to two images, {other} and {name}: remove or rename one of them'
            problems.append(Problem(str(labels), '', reason, True))
    return problems


def has_objects(path: Path) -> bool:
    """Whether a text file begins as labels do; others may lie beside them, such as classes.txt."""
    words = next(iter(_read_lines(path, [])), '').split()
    try:
        return len([float(word) for word in words]) >= 5
    except ValueError:
        return False


def image_size(path: Path, problems: list[Problem]) -> tuple[int, int] | None:
    """(h, w) of an image as it is shown upright; None, and a problem, where that fails."""
    # Pillow's own limit warns of images that hrdet's limit, which is checked later, allows.
    bound, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with open_file(path) as file, Image.open(file) as image:
            size = image.height, image.width
            orientation = image.getexif().get(_ORIENTATION, 1)
        if orientation not in range(2, 9):
            return size
        reason = (
            "its EXIF data turn the image, and YOLO's labels are of the turned image: train with "
            "exif='apply', as --data does"
        )
        problems.append(Problem(str(path), '', reason, False))
        return size[::-1] if orientation >= 5 else size
    except (OSError, ValueError, SyntaxError) as error:
        reason = (
            'not an image' if 'identify' in str(error) else f'the image cannot be read: {error}'
        )
    finally:
        Image.MAX_IMAGE_PIXELS = bound
    problems.append(Problem(str(path), '', reason, True))
    return None


def _read_lines(path: Path, problems: list[Problem]) -> list[str]:
    """The lines of a text file, without empty ones at its end."""
    try:
        return read_bytes(path).decode('utf-8-sig').rstrip().splitlines()
    except (OSError, ValueError) as error:
        problems.append(Problem(str(path), '', f'not a text file: {error}', True))
        return []


def _parse(line: str, size: tuple[int, int], num_classes: int) -> tuple[int, np.ndarray, list]:
    """Label, box (4,) in pixels and polygons, or None, of a line.

    Raises:
        ValueError: with the reason.
    """
    # 1. The numbers: class, then x y w h or the points of a polygon.
    shown = line if len(line) <= _SHOWN else f'{line[:_SHOWN]}...'
    try:
        values = np.array([float(word) for word in line.split()])
    except ValueError:
        raise ValueError(f'numbers separated by blanks are expected, not {shown!r}') from None
    if len(values) != 5 and (len(values) < 7 or len(values) % 2 == 0):
        scores = ' (a prediction with its score?)' if len(values) == 6 else ''
        raise ValueError(
            f'{len(values)} numbers{scores}; a box has 5, class x y w h, and a polygon a class and '
            f'at least 3 points: {shown!r}'
        )
    if not np.isfinite(values).all():
        raise ValueError(f'a number is not finite: {shown!r}')
    # 2. The class, and fractions of the image's width and height.
    label, values = values[0], values[1:]
    if label != int(label) or not 0 <= label < num_classes:
        raise ValueError(
            f'class {label:g}, but there are {num_classes} names: classes count from 0 to '
            f'{num_classes - 1}'
        )
    if np.abs(values).max() > 2:
        raise ValueError(f'coordinates are fractions of the image, not pixels: {shown!r}')
    # 3. In pixels: a polygon and its bounds, or corners from centre and size.
    h, w = size
    if len(values) > 4:
        polygon = values * np.tile([w, h], len(values) // 2)
        points = polygon.reshape(-1, 2)
        return int(label), np.concatenate([points.min(0), points.max(0)]), [polygon]
    x, y, width, height = values
    if width < 0 or height < 0:
        raise ValueError(f'a box of negative size: {shown!r}')
    corners = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    return int(label), corners * [w, h, w, h], None
