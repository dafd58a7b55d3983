"""Pascal Context: 59 classes and the background from the JSON file of Detail."""

import json
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from hrdet.data import DataError
from hrdet.data.conversion.plan import Plan, unfinished, write_lines, write_png
from hrdet.data.conversion.raw_files import find_files

_JSON = 'trainval_merged.json'
# Detail's ids of the background and the 59 classes; the label is the rank.
_IDS = np.array(
    [0, 2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85]
    + [98, 104, 105, 113, 115, 144, 158, 159, 162, 187, 189, 207, 220, 232, 258, 259]
    + [260, 284, 295, 296, 308, 324, 326, 347, 349, 354, 355, 360, 366, 368, 397, 415]
    + [416, 420, 424, 427, 440, 445, 454, 458]
)


def plan_pascal_context(raw: Path, out: Path) -> Plan:
    """``SegmentationClassContext`` and its lists from ``trainval_merged.json``.

    The releases read that file by the ``detail`` package, which has to be compiled.  It is not
    needed: the regions are COCO's run lengths, and a label map is all regions of an image, each
    over the ones before it.

    ``raw`` is the folder of the JSON file, ``out`` the folder VOC2010.
    """
    files = find_files(raw, lambda f: f.name == _JSON)
    if not files:
        raise DataError(f'{raw} has no {_JSON}, the annotations of Detail')
    if not (out / 'JPEGImages').is_dir():
        raise DataError(f'{out / "JPEGImages"} is missing: OUT is the folder VOC2010')
    # 1. Regions by image: (category, run lengths), in the order of the file.
    try:
        content = json.loads(files[0].read())
        images, regions = content['images'], content['annos_segmentation']
        by_image = defaultdict(list)
        for region in regions:
            by_image[region['image_id']].append((region['category_id'], region['segmentation']))
        rows = [
            (i['phase'], i['file_name'], (i['height'], i['width']), by_image[i['image_id']])
            for i in images
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f'{files[0]}: not the annotations of Detail ({error!r})') from error

    # 2. A label map for each image, and the lists of train and val.
    maps, sets = out / 'SegmentationClassContext', out / 'ImageSets/SegmentationContext'
    plan = Plan(targets=[maps, sets])
    names = {'train': [], 'val': []}
    for phase, file_name, size, parts in rows:
        if phase in names:
            name = Path(file_name).stem
            names[phase].append(name)
            path = unfinished(maps) / f'{name}.png'
            plan.steps.append(partial(_convert, f'{files[0]}: {file_name}', size, parts, path))
    for phase, listed in names.items():
        plan.steps.append(partial(write_lines, unfinished(sets) / f'{phase}.txt', sorted(listed)))
    counts = ', '.join(f'{len(listed)} {phase}' for phase, listed in names.items())
    plan.summary = f'label maps of {counts} images in {maps}'
    return plan


def _convert(where: str, size: tuple[int, int], regions: list, path: Path) -> None:
    # Later regions lie over earlier ones; at the end ids become their rank, which is the label.
    ids = np.zeros(size, np.int64)
    for category, rle in regions:
        if category not in _IDS:
            raise DataError(f'{where}: category_id {category} is not one of the 59 classes')
        try:
            region = coco_mask.decode(rle)
        except Exception as error:  # of pycocotools: many kinds
            raise DataError(f'{where}: a region is not a run-length code ({error})') from error
        if region.shape != size:
            raise DataError(f'{where}: a region of {region.shape} in an image of {size}')
        ids[region > 0] = category
    write_png(path, np.searchsorted(_IDS, ids).astype(np.uint8))
