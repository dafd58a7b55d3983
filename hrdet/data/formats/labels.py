"""One part of a set of labelled images, whatever its format, and what the formats share."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np

from hrdet.data.annotations import AnnotationTable
from hrdet.data.datasets.stored import IMAGE_SUFFIXES
from hrdet.data.errors import Problem
from hrdet.messages import plural

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


def without_label(folder: Path, labelled: Iterable[str], kind: str) -> list[Problem]:
    """A warning about images below a folder that are not ``labelled``, by files of a ``kind``."""
    images = images_below(folder)
    others = sorted(set(images) - set(labelled))
    if not others:
        return []
    reason = (
        f'{len(others)} of {plural(len(images), "image")} without {kind} file, such as '
        f'{others[0]}, left out: one without objects is written for an image that shows none'
    )
    return [Problem(str(folder), '', reason, fatal=False)]


def without_image(
    folders: Mapping[Path, Path], suffix: str, is_label: Callable[[Path], bool]
) -> list[Problem]:
    """Warnings about files of labels whose image is not there.

    Args:
        folders: from a folder of such files to that of the images.
        suffix: of the files.
        is_label: whether a file of that suffix holds labels.
    """
    problems = []
    for labels, images in folders.items():
        if any(parent in folders for parent in labels.parents):
            continue  # the turn of that folder finds these files
        known = {str(PurePosixPath(name).with_suffix('')) for name in images_below(images)}
        files = [path.relative_to(labels) for path in sorted(labels.rglob(f'*{suffix}'))]
        files = [name for name in files if name.with_suffix('').as_posix() not in known]
        lone = [name.as_posix() for name in files if is_label(labels / name)]
        if lone:
            reason = (
                f'{plural(len(lone), "file")} of labels without an image in {images}, such as '
                f'{lone[0]}: add the image ({" ".join(IMAGE_SUFFIXES)}) or remove the file'
            )
            problems.append(Problem(str(labels), '', reason, fatal=False))
    return problems


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
