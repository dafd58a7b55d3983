"""Write a generated data set: overlapping textured shapes on textured grounds, in COCO's layout.

A CPU learns it from scratch.  Its annotations have what real ones have: occlusion, crowds, polygons
with holes, category ids with gaps, maps of things and stuff.
"""

import json
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from hrdet.data.shapes.scenes import CLASSES, GROUNDS, Thing, draw_scene
from hrdet.progress import track

CATEGORY_IDS = tuple(10 * (label + 1) for label in range(len(CLASSES)))
TRACE_SCALE = 4  # contours are followed on an enlarged mask: to an eighth of a pixel


class ShapesPaths(NamedTuple):
    """Paths of a written data set."""

    train_ann: str
    train_images: str
    train_maps: str
    val_ann: str
    val_images: str
    val_maps: str


def make_shapes(
    out: str,
    train: int = 600,
    val: int = 100,
    size: tuple[int, int] = (192, 256),
    seed: int = 0,
) -> ShapesPaths:
    """Write the data set into the folder ``out``; equal arguments give equal bytes.

    ``annotations/instances_{train,val}.json``, images ``{train,val}/000001.jpg``, and for each
    image a map ``stuffthingmaps/{train,val}/000001.png`` of 8-bit labels: 0..K-1 the things, in the
    order of the categories; K and up the grounds, named in the JSON's ``info``; 255 the outline of
    things and of crowds, to be ignored.

    Args:
        out: made if it does not exist.
        train: number of images in the training part.
        val: number of images held out.
        size: (h, w) of the images, at least 64 pixels each.
        seed: images differ by seed, part and number, not by the number of images asked for.
    """
    if min(size) < 64:
        raise ValueError(f'size must be at least 64 x 64 pixels, not {tuple(size)}')
    root = Path(out)
    paths = []
    for part, (name, count) in enumerate((('train', train), ('val', val))):
        images, maps = root / name, root / 'stuffthingmaps' / name
        annotations = root / 'annotations' / f'instances_{name}.json'
        for folder in (images, maps, annotations.parent):
            folder.mkdir(parents=True, exist_ok=True)
        content = _write_part(images, maps, count, tuple(size), (seed, part))
        annotations.write_text(json.dumps(content))
        paths += [str(annotations), str(images), str(maps)]
    return ShapesPaths(*paths)


def _write_part(images: Path, maps: Path, count: int, size: tuple, seed: tuple) -> dict:
    content = {
        'info': {
            'description': 'hrdet shapes',
            'version': '1',
            'stuff': {str(len(CLASSES) + i): name for i, name in enumerate(GROUNDS)},
        },
        'licenses': [],
        'images': [],
        'annotations': [],
        'categories': [
            {'id': i, 'name': n, 'supercategory': 'shape'} for i, n in zip(CATEGORY_IDS, CLASSES)
        ],
    }
    # A scene follows from seed, part and number alone: a longer set begins with a shorter one.
    for image_id in track(range(1, count + 1), f'images of {images.name}'):
        scene = draw_scene(size, np.random.default_rng((*seed, image_id)))
        name = f'{image_id:06d}'
        write_jpeg(images / f'{name}.jpg', scene.image)
        cv2.imwrite(str(maps / f'{name}.png'), semantic_map(scene.ground, scene.things))
        content['images'].append(
            {'id': image_id, 'file_name': f'{name}.jpg', 'height': size[0], 'width': size[1]}
        )
        for thing in scene.things:
            annotation_id = len(content['annotations']) + 1
            content['annotations'].append(_annotation(annotation_id, image_id, thing))
    return content


def write_jpeg(path: Path, image: np.ndarray) -> None:
    """Write an image (h, w, 3) uint8 BGR, equal bytes for equal pixels."""
    cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 92])


def semantic_map(ground: np.ndarray, things: list[Thing]) -> np.ndarray:
    """Labels (h, w) uint8: things, then grounds; 255 along the outlines of things."""
    labels = ground + np.uint8(len(CLASSES))
    for thing in things:
        mask = thing.visible.astype(np.uint8)
        labels[thing.visible] = thing.label
        rim = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        labels[rim > 0] = 255
    return labels


def _annotation(annotation_id: int, image_id: int, thing: Thing) -> dict:
    # The box is that of the visible part, as in COCO.
    columns, rows = np.flatnonzero(thing.visible.any(0)), np.flatnonzero(thing.visible.any(1))
    x, y = int(columns[0]), int(rows[0])
    w, h = int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y
    window = thing.visible[y : y + h, x : x + w]
    return {
        'id': annotation_id,
        'image_id': image_id,
        'category_id': CATEGORY_IDS[thing.label],
        'bbox': [x, y, w, h],
        'area': int(window.sum()),
        'iscrowd': int(thing.crowd),
        'segmentation': _rle(thing.visible) if thing.crowd else _polygons(window, x, y),
    }


def _rle(mask: np.ndarray) -> dict:
    """Runs of 0 and 1 down the columns, beginning with zeros: COCO's uncompressed form."""
    flat = np.concatenate([[0], mask.T.reshape(-1), [0]]).astype(np.int8)
    edges = np.flatnonzero(np.diff(flat))
    counts = np.diff(np.concatenate([[0], edges, [mask.size]]))
    return {'counts': counts[counts.size - 1 == 0 :].tolist(), 'size': list(mask.shape)}


def _polygons(window: np.ndarray, x: int, y: int) -> list[list[float]]:
    """The outlines of a mask in image coordinates.

    COCO's polygons have no holes: a hole is joined to its outline by a cut of zero width.
    """
    scale = TRACE_SCALE
    large = cv2.resize(
        window.astype(np.uint8), None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST
    )
    contours, tree = cv2.findContours(large, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    smooth = [cv2.approxPolyDP(c, 0.5 * scale, closed=True).reshape(-1, 2) for c in contours]
    # ``tree[0][i][3]`` is the parent: outlines have none (-1), holes have their outline.
    polygons = []
    for i, outline in enumerate(smooth):
        if tree[0][i][3] >= 0 or len(outline) < 3 or cv2.contourArea(contours[i]) < 4 * scale**2:
            continue
        for hole in (smooth[j] for j in range(len(smooth)) if tree[0][j][3] == i):
            if len(hole) >= 3:
                outline = _cut_to(outline, hole)
        corner = (outline + 0.5) / scale + (x, y)
        polygons.append(np.round(corner, 2).reshape(-1).tolist())
    return polygons


def _cut_to(outline: np.ndarray, hole: np.ndarray) -> np.ndarray:
    # Cut where outline and hole are nearest; the hole is then walked around and left at its start.
    distances = np.square(outline[:, None] - hole[None]).sum(-1)
    a, b = np.unravel_index(distances.argmin(), distances.shape)
    inner = np.concatenate([hole[b:], hole[: b + 1]])
    return np.concatenate([outline[: a + 1], inner, outline[a:]])
