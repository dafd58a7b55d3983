"""Reading labelme's JSON files, one for each image, as an annotation table."""

import base64
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from hrdet.data.annotations.coco import LONGEST_EDGE
from hrdet.data.annotations.table import AnnotationTable, box_doubt
from hrdet.data.errors import Problem
from hrdet.json_files import read_json

_NO_AREA = ('point', 'points', 'line', 'linestrip')
_SAGITTA = 0.25  # pixels between a circle and the polygon that stands for it
_NO_CLASS = ('__ignore__', '_background_')  # labelme's own names in labels.txt


def read_labelme(
    files: Sequence[Path], root: str, classes: Sequence[str] | None = None
) -> tuple[AnnotationTable, list[Problem]]:
    """The shapes of some JSON files as columns, and what is wrong with them.

    Rectangles become boxes; polygons, circles and masks become boxes with a segmentation.  Shapes
    of one label and ``group_id`` are parts of one object.

    Args:
        files: one JSON file for each image.
        root: the folder that the table's file names are relative to.
        classes: names in the order of the labels; None: those of the files, sorted.
    """
    problems: list[Problem] = []
    pages = [page for page in (_read(file, root, problems) for file in files) if page]
    if classes is None:
        classes = sorted({name for _, _, objects in pages for name, *_ in objects})
    label = {name: i for i, name in enumerate(classes)}
    objects = [
        (row, label[name], box, mask)
        for row, (_, _, shapes) in enumerate(pages)
        for name, box, mask in shapes
        if name in label
    ]
    names, sizes = [name for name, *_ in pages], [size for _, size, _ in pages]
    return AnnotationTable.of_objects(root, names, sizes, classes, objects), problems


def _read(file: Path, root: str, problems: list[Problem]) -> tuple | None:
    """File name, size (h, w) and objects (class, box, segmentation) of one JSON file."""

    def fault(where: str, reason: str, fatal: bool = True) -> None:
        problems.append(Problem(str(file), where, reason, fatal))

    try:
        page = read_json(file)
        image = page['imagePath'].replace('\\', '/')
        size = (page['imageHeight'], page['imageWidth'])
        shapes = page['shapes']
    except (OSError, ValueError, RecursionError) as error:
        fault('', getattr(error, 'strerror', None) or f'not JSON: {error}')
        return None
    except (KeyError, TypeError, AttributeError):
        fault('', "no labelme file: it has 'shapes', 'imagePath', 'imageHeight' and 'imageWidth'")
        return None
    if not all(type(edge) is int and 0 < edge <= LONGEST_EDGE for edge in size):
        fault('', f'imageHeight and imageWidth are whole numbers from 1 to {LONGEST_EDGE}: {size}')
        return None
    path = file.parent / PurePosixPath(image)
    if not path.is_file():
        beside = file.parent / PurePosixPath(image).name  # written on another machine
        if not beside.is_file():
            fault('imagePath', f'there is no image {path}; put it beside the JSON file')
            return None
        path = beside
    same_name = file.with_suffix(path.suffix)
    if path.stem != file.stem and same_name.is_file():
        reason = f'{image} is taken, not {same_name.name}, which has the name of this file'
        fault('imagePath', f'{reason}: correct it if the files were renamed', fatal=False)
    # Parts of one object by their label and group; a shape without a group is an object.
    objects: dict[Any, list] = {}
    if not isinstance(shapes, list):
        fault('shapes', f'a list is expected, not {type(shapes).__name__}')
        return None
    for index, shape in enumerate(shapes):
        try:
            name, group, part = _shape(shape, size)
        except ValueError as error:
            fault(f'shapes[{index}]', str(error))
            continue
        if part is None:
            fault(f'shapes[{index}]', f'{name!r}: a {group} has no area, dropped', fatal=False)
        elif name not in _NO_CLASS:
            if reason := box_doubt(part, size):
                fault(f'shapes[{index}]', f'{name!r}: {reason}', fatal=False)
            key = (name, index, 'alone') if group is None else (name, group)
            objects.setdefault(key, []).append(part)
    relative = PurePosixPath(_relative(path, Path(root)))
    return str(relative), size, [(key[0], *_merge(parts, size)) for key, parts in objects.items()]


def _relative(path: Path, root: Path) -> str:
    import os

    return os.path.relpath(path, root).replace(os.sep, '/')


def _shape(shape: Any, size: tuple[int, int]) -> tuple:
    """Class, group and part; a shape without an area has its type for a group and no part.

    A part is a box (4,), polygons, or an RLE.

    Raises:
        ValueError: with the reason.
    """
    name = shape.get('label') if isinstance(shape, dict) else None
    if not isinstance(name, str) or not name.strip():
        raise ValueError("a shape is an object with a 'label'")
    # 1. Points (n, 2) in pixels.
    kind = shape.get('shape_type') or 'polygon'
    try:
        points = np.array(shape['points'], np.float64).reshape(-1, 2)
    except (KeyError, TypeError, ValueError):
        raise ValueError("'points' must be a list of pairs [x, y]") from None
    if not np.isfinite(points).all():
        raise ValueError("'points' has a coordinate that is not finite")
    # 2. What they mean depends on the type of the shape.
    group = shape.get('group_id')
    if not isinstance(group, (int, str, type(None))):
        raise ValueError(f'group_id is a whole number or a text, not {group!r}')
    if kind in _NO_AREA:
        return name, kind, None
    if kind == 'rectangle' and len(points) in (2, 4):
        return name, group, np.concatenate([points.min(0), points.max(0)])
    if kind == 'circle' and len(points) == 2:
        if np.abs(points).max() > LONGEST_EDGE:
            raise ValueError(f'a circle beyond {LONGEST_EDGE:,} pixels')
        return name, group, [_circle(*points)]
    if kind == 'mask' and len(points) == 2:
        return name, group, _mask(shape, points, size)
    if kind in ('polygon', 'oriented_rectangle') and len(points) >= 3:
        return name, group, [points.ravel()]
    known = ('rectangle', 'polygon', 'oriented_rectangle', 'circle', 'mask')
    if kind in known:
        raise ValueError(f'a {kind} of {len(points)} points')
    raise ValueError(f'shape_type {kind!r} is unknown; there are {", ".join(known + _NO_AREA)}')


def _circle(centre: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """A polygon (2 n,) whose edges are within a quarter of a pixel of the circle."""
    radius = float(np.hypot(*(edge - centre)))
    step = 2 * np.arccos(max(0.0, 1 - _SAGITTA / max(radius, _SAGITTA)))
    angles = np.linspace(0, 2 * np.pi, max(12, int(np.ceil(2 * np.pi / step))), endpoint=False)
    return (centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)).ravel()


def _mask(shape: dict, points: np.ndarray, size: tuple[int, int]) -> dict:
    """The RLE of a mask: a PNG in base64 whose upper left corner is the first point."""
    try:
        data = np.frombuffer(base64.b64decode(shape['mask']), np.uint8)
        window = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    except (KeyError, TypeError, ValueError, cv2.error):
        window = None
    if window is None:
        raise ValueError("'mask' must be a PNG in base64")
    # Paste the window into the image, as far as it lies inside.
    pixels = np.zeros(size, np.uint8)
    x, y = points.min(0).round().astype(int)
    if x < 0 or y < 0 or x >= size[1] or y >= size[0]:
        raise ValueError(
            f'the mask at {(int(x), int(y))} lies beside its image of {size}, as (h, w)'
        )
    target = pixels[y : y + len(window), x : x + window.shape[1]]
    target[:] = window[: len(target), : target.shape[1]] > 0
    return _encode(pixels)


def _encode(pixels: np.ndarray) -> dict:
    rle = coco_mask.encode(np.asfortranarray(pixels))
    return dict(size=[int(edge) for edge in rle['size']], counts=rle['counts'].decode())


def _merge(parts: list, size: tuple[int, int]) -> tuple[np.ndarray | None, list | dict | None]:
    """Box and segmentation of an object's parts; boxes count where nothing else is drawn."""
    masks = [part for part in parts if not isinstance(part, np.ndarray)]
    if not masks:
        boxes = np.stack(parts)
        return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)]), None
    # Polygons alone stay polygons; beside run lengths everything is merged into run lengths.
    polygons = [polygon for part in masks if isinstance(part, list) for polygon in part]
    runs = [part for part in masks if isinstance(part, dict)]
    if not runs:
        return None, polygons
    if polygons:
        runs += coco_mask.frPyObjects([list(polygon) for polygon in polygons], *size)
    merged = coco_mask.merge(runs)
    return None, dict(size=list(size), counts=merged['counts'].decode())
