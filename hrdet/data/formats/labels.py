"""One part of a set of labelled images, whatever its format, and what the formats share."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from hrdet.data.annotations import AnnotationTable
from hrdet.data.datasets.stored import IMAGE_SUFFIXES
from hrdet.data.errors import Problem

SPLITS = ('train', 'val', 'test')
_SPLIT_NAMES = {
    'train': r'train(ing)?',
    'val': r'(valid(ation)?|val)',
    'test': r'test(ing)?',
}


@dataclass(slots=True)
class Labels:
    """The labelled images of one part."""

    split: str  # 'train', 'val' or 'test'; '' where the format does not say
    table: AnnotationTable
    images: str  # folder or .zip that the table's file names are relative to
    problems: list[Problem] = field(default_factory=list)
    ann_file: str | None = None  # of COCO's format; None: the labels are in another


def split_of(name: str) -> str:
    """The part that a file or folder is for, by its name: 'instances_train2017' is 'train'."""
    for split, pattern in _SPLIT_NAMES.items():
        if re.search(rf'(^|[^a-z]){pattern}([^a-z]|$)', name.lower()):
            return split
    return ''


def split_folders(root: Path) -> dict[str, Path]:
    """The folders of ``root`` that are called like a part; without one, ``root`` itself as ''."""
    found = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        split = split_of(folder.name)
        if split and re.fullmatch(_SPLIT_NAMES[split] + r'\d*', folder.name.lower()):
            found.setdefault(split, folder)
    return {split: found[split] for split in SPLITS if split in found} or {'': root}


def images_below(folder: Path) -> list[str]:
    """The image files below a folder, sorted, relative to it."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob('*')
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')
    )


def same_classes(parts: Sequence[Labels]) -> list[Labels]:
    """The parts with one list of classes: that of the first, then those it lacks."""
    classes = tuple(dict.fromkeys(name for part in parts for name in part.table.classes))
    ids = tuple(range(1, len(classes) + 1))
    agreed = []
    for part in parts:
        table = part.table
        if table.classes != classes:
            # From the part's own labels to those of the common list.
            rows = np.array([classes.index(name) for name in table.classes], np.int64)
            labels = rows[table.labels] if len(rows) else table.labels
            table = replace(table, classes=classes, category_ids=ids, labels=labels)
            part = replace(part, table=table, ann_file=None)
        agreed.append(part)
    return agreed


def folder_of(names: Iterable[str], folders: Iterable[Path]) -> Path | None:
    """The first of the folders that holds one of the first five files."""
    some = list(names)[:5]
    for folder in folders:
        if some and any((folder / name).is_file() for name in some):
            return folder
    return None
