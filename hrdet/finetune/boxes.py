"""Boxes of any format as COCO files, which every part of a config can name."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from hrdet.data import DataError
from hrdet.data.datasets.stored import IMAGE_SUFFIXES
from hrdet.data.errors import raise_or_warn
from hrdet.data.formats import Labels, recognise_labels
from hrdet.data.formats.coco import content_of
from hrdet.finetune.data import OwnData, Part, median_size, split_note, train_val_split
from hrdet.messages import plural

UPRIGHT = ('YOLO', 'labelme')  # their labels are of images turned as EXIF data say


def open_boxes(path: Path, folder: Path, skip_bad_images: bool = False) -> OwnData | None:
    """Labels of boxes and masks; None where the path holds none.

    COCO files that have their parts are used where they are; everything else is written to
    ``folder`` as COCO, and the images stay where they are.
    """
    found = recognise_labels(str(path))
    if found is None:
        return None
    # 1. The parts for training and validation: those there are, or a random split.
    notes = [str(found)]
    parts = {part.split: part for part in found.parts}
    problems = [problem for part in found.parts for problem in part.problems]
    bad = [p for p in problems if p.fatal and _is_image(p.file)] if skip_bad_images else []
    if bad:  # they are not among the labels that are read
        problems = [replace(p, fatal=False) if p in bad else p for p in problems]
        notes.append(f"{plural(len(bad), 'image')} left out (on_bad_image='skip')")
    raise_or_warn(problems)
    whole = parts.pop('', None) or parts.get('train')
    if whole is None:
        raise DataError(f'{path}: there is no part for training, only {", ".join(parts)}')
    train, val = whole, parts.get('val')
    if val is None:
        positions = train_val_split(len(whole.table.file_names), str(path))
        train, val = (_subset(whole, rows) for rows in positions)
        notes.append(split_note(*map(len, positions)))
    # 2. Each part as a COCO file: its own, or one written to ``folder``.
    classes = _classes(train, notes)
    splits = {'train': train, 'val': val} | ({'test': parts['test']} if 'test' in parts else {})
    nodes = {}
    for name, part in splits.items():
        ann_file = part.ann_file
        if ann_file is None:
            ann_file = str(folder / f'{name}.json')
            _write(part, Path(ann_file))
        node = dict(type='CocoDataset', ann_file=ann_file, img_prefix=part.images, classes=classes)
        if found.kind in UPRIGHT:
            node['exif'] = 'apply'
        files = [f'{part.images}/{file}' for file in part.table.file_names]
        nodes[name] = Part(node, files)
    if any(part.ann_file is None for part in splits.values()):
        notes.append(f'its labels are written as COCO to {folder}; the images stay where they are')
    # 3. How many objects have no mask: a model with masks cannot learn from them.
    masks = train.table.segmentations or []
    unmasked = sum(mask is None for mask, crowd in zip(masks, train.table.crowd) if not crowd)
    return OwnData(
        name=path.stem if path.is_file() else path.name,
        task='boxes',
        classes=classes,
        size=median_size(train.table.sizes),
        train=nodes['train'],
        val=nodes['val'],
        test=nodes.get('test'),
        unmasked=unmasked if masks else len(train.table.boxes),
        notes=notes,
    )


def _is_image(file: str) -> bool:
    return Path(file).suffix.lower() in IMAGE_SUFFIXES


def _subset(part: Labels, rows: np.ndarray) -> Labels:
    keep = np.zeros(len(part.table.file_names), bool)
    keep[rows] = True
    return replace(part, table=part.table.keep_images(keep), ann_file=None)


def _classes(part: Labels, notes: list[str]) -> tuple[str, ...]:
    """The classes that have objects in training; a note lists the others."""
    counts = np.bincount(part.table.labels, minlength=len(part.table.classes))
    absent = [name for name, count in zip(part.table.classes, counts) if not count]
    classes = tuple(name for name in part.table.classes if name not in absent)
    if not classes:
        raise DataError(f'{part.table.file}: there is no object to learn from')
    if absent:
        shown = ', '.join(absent[:5]) + (', ...' if len(absent) > 5 else '')
        notes.append(f'left out, as the training images have none: {shown}')
    if len(classes) == 1 and absent:
        notes.append(f'one class of {len(absent) + 1} has objects: {classes[0]}')
    return classes


def _write(part: Labels, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content_of(part.table), separators=(',', ':')), encoding='utf-8')
