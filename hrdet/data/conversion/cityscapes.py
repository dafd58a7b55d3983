"""Cityscapes: label maps of the 19 classes that are trained."""

import json
from functools import partial
from pathlib import Path

import numpy as np

from hrdet.data import DataError
from hrdet.data.conversion.plan import Plan, unfinished, write_png
from hrdet.data.conversion.raw_files import RawFile, find_files
from hrdet.messages import plural

_IMAGES, _IDS, _POLYGONS = (
    '_leftImg8bit.png',
    '_gtFine_labelIds.png',
    '_gtFine_polygons.json',
)
# Ids of Cityscapes' labels in the order of the 19 classes; all others are ignored.
_TRAINED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_TABLE = np.full(256, 255, np.uint8)
_TABLE[list(_TRAINED)] = range(len(_TRAINED))


def plan_cityscapes(raw: Path, out: Path) -> Plan:
    """``*_gtFine_labelTrainIds.png`` from the maps of all ids, or from the polygons.

    Both give the same maps: the polygons are drawn in one order, whatever number each gets.
    Where ``out`` is the download itself, the maps are put beside the others, and those that are
    there already are kept; elsewhere the images are put beside them too, as hard links.
    """
    files = find_files(raw, lambda f: f.name.endswith((_IMAGES, _IDS, _POLYGONS)))
    # One source for each map, by (split, city, name): its ids, else its polygons.
    maps = {_key(f, _POLYGONS): f for f in files if f.name.endswith(_POLYGONS)}
    maps |= {_key(f, _IDS): f for f in files if f.name.endswith(_IDS)}
    maps = {key: file for key, file in maps.items() if key[0] in ('train', 'val')}
    if not maps:
        raise DataError(
            f'{raw} has no train/CITY/*{_IDS} and no *{_POLYGONS}: gtFine_trainvaltest.zip has them'
        )
    plan, label_folder = Plan(), out / 'gtFine'
    if raw.resolve() != out.resolve():
        images, image_folder = [f for f in files if f.name.endswith(_IMAGES)], out / 'leftImg8bit'
        plan.targets = [label_folder, image_folder] if images else [label_folder]
        label_folder = unfinished(label_folder)
        for file in images:
            path = unfinished(image_folder).joinpath(*file.folders[-2:], file.name)
            plan.steps.append(partial(file.place, path))
    for (split, city, name), file in maps.items():
        path = label_folder / split / city / f'{name}_gtFine_labelTrainIds.png'
        if not path.exists():
            plan.steps.append(partial(_convert, file, path))
    plan.summary = f'{plural(len(maps), "label map")} in {out / "gtFine"}'
    return plan


def _key(file: RawFile, suffix: str) -> tuple[str, str, str]:
    """Split, city and name."""
    split, city = ('', '', *file.folders)[-2:]
    return split, city, file.name.removesuffix(suffix)


def _convert(file: RawFile, path: Path) -> None:
    if file.name.endswith(_POLYGONS):
        label = _drawn(file)
    else:
        label = _TABLE[file.label_map()]
    part = path.with_suffix('.part')  # never half a map beside the others
    write_png(part, label)
    part.rename(path)


def _drawn(file: RawFile) -> np.ndarray:
    try:
        from cityscapesscripts.helpers.annotation import Annotation
        from cityscapesscripts.preparation.json2labelImg import createLabelImage
    except ImportError as error:
        raise DataError(
            f'{file}: polygons are drawn by cityscapesscripts ({error}): pip install '
            f'cityscapesscripts; or unpack the *{_IDS} of gtFine_trainvaltest.zip beside it'
        ) from error
    # The official script draws the polygons, so that the maps equal the published ones.
    annotation = Annotation()
    try:
        annotation.fromJsonText(file.read().decode())
        return np.asarray(createLabelImage(annotation, 'trainIds'))
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError) as error:
        raise DataError(f'{file}: not polygons of Cityscapes ({error!r})') from error
