"""The same scenes for the other tasks: images with label maps, and one folder for each class."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from hrdet.data.shapes.scenes import CLASSES, GROUNDS, Scene, draw_scene
from hrdet.data.shapes.write import semantic_map, write_jpeg
from hrdet.progress import track

MARGIN = 1.25  # edge of the window around a thing over the thing's longer edge


class LabelMapPaths(NamedTuple):
    """Where ``make_label_maps`` put things."""

    train_images: str
    train_maps: str
    val_images: str
    val_maps: str
    classes: str


def make_label_maps(
    out: str, train: int = 600, val: int = 100, size: tuple[int, int] = (192, 256), seed: int = 0
) -> LabelMapPaths:
    """Write ``images/{train,val}/000001.jpg`` with ``labels/{train,val}/000001.png``.

    Labels are the shapes, then the grounds, as ``classes.txt`` lists them; 255, along the outlines
    of things, is ignored.  Images equal ``make_shapes`` with the same seed.

    Args:
        out: made if it does not exist.
        train: number of images in the training part.
        val: number of images held out.
        size: (h, w) of the images, at least 64 pixels each.
        seed: see ``make_shapes``.
    """
    root = Path(out)
    paths = []
    for part, scenes in _parts(train, val, size, seed):
        images, maps = root / 'images' / part, root / 'labels' / part
        for folder in (images, maps):
            folder.mkdir(parents=True, exist_ok=True)
        for number, scene in scenes:
            write_jpeg(images / f'{number:06d}.jpg', scene.image)
            labels = semantic_map(scene.ground, scene.things)
            cv2.imwrite(str(maps / f'{number:06d}.png'), labels)
        paths += [str(images), str(maps)]
    (root / 'classes.txt').write_text('\n'.join((*CLASSES, *GROUNDS)) + '\n')
    return LabelMapPaths(*paths, str(root / 'classes.txt'))


def make_class_folders(
    out: str, train: int = 600, val: int = 100, size: tuple[int, int] = (192, 256), seed: int = 0
) -> tuple[str, str]:
    """Write ``{train,val}/<shape>/000001_0.jpg``: a window around each thing of each scene.

    Windows are as large as their things, and show whatever else is there.

    Args:
        out: made if it does not exist.
        train: number of scenes in the training part, of about four things each.
        val: number of scenes held out.
        size: (h, w) of the scenes, at least 64 pixels each.
        seed: see ``make_shapes``.

    Returns:
        The folders of the two parts.
    """
    root = Path(out)
    for part, scenes in _parts(train, val, size, seed):
        for name in CLASSES:
            (root / part / name).mkdir(parents=True, exist_ok=True)
        for number, scene in scenes:
            for i, thing in enumerate(scene.things):
                if not thing.crowd:
                    path = root / part / CLASSES[thing.label] / f'{number:06d}_{i}.jpg'
                    write_jpeg(path, _window(scene.image, thing.visible))
    return str(root / 'train'), str(root / 'val')


def _parts(
    train: int, val: int, size: tuple[int, int], seed: int
) -> Iterator[tuple[str, Iterator[tuple[int, Scene]]]]:
    """Each part's name with the numbers and scenes of its images."""
    if min(size) < 64:
        raise ValueError(f'size must be at least 64 x 64 pixels, not {tuple(size)}')
    for part, (name, count) in enumerate((('train', train), ('val', val))):
        numbers = track(range(1, count + 1), f'images of {name}')
        yield (
            name,
            (
                (number, draw_scene(tuple(size), np.random.default_rng((seed, part, number))))
                for number in numbers
            ),
        )


def _window(image: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """The square around what is visible of a thing, moved into the image."""
    # Bounds (start, end) along rows, then columns; the square is clamped to the image.
    edges = []
    for axis in (1, 0):
        inside = np.flatnonzero(visible.any(axis))
        edges.append((int(inside[0]), int(inside[-1]) + 1))
    longest = max(end - start for start, end in edges)
    slices = []
    for (start, end), limit in zip(edges, image.shape):
        edge = min(round(MARGIN * longest), limit)
        first = min(max((start + end - edge) // 2, 0), limit - edge)
        slices.append(slice(first, first + edge))
    return image[tuple(slices)]
