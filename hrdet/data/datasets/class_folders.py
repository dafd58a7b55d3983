"""Images with one class each: class folders, or a file that lists names and labels."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hrdet.data.datasets.archives import ArchiveImages, open_store
from hrdet.data.datasets.imagenet_names import imagenet_classes
from hrdet.data.datasets.images import FolderImages
from hrdet.data.datasets.inspection import Findings, sizes_text
from hrdet.data.datasets.listing import FileNames
from hrdet.data.datasets.stored import (
    IMAGE_SUFFIXES,
    StoredImages,
    images_among,
    names_of_classes,
)
from hrdet.data.errors import (
    DataError,
    Problem,
    alike_classes,
    plain_name,
    raise_or_warn,
    read_lines,
)
from hrdet.messages import plural
from hrdet.registry import nearest, register
from hrdet.structures import ClassLabel

_PARTS = ('train', 'training', 'val', 'valid', 'validation', 'test', 'testing')


@register('CustomDataset', 'ClassFolders')
class ClassFolders(StoredImages):
    """Images of one class each.

    Without ``ann_file`` every folder below ``data_prefix`` is a class, and labels are the ranks of
    the folders' sorted names.  Nothing is opened but folders, whose listing is remembered.

    Args:
        data_root: put before ``data_prefix`` and ``ann_file``.
        data_prefix: folder of the images, a .zip or .tar file, or a folder inside one.
        ann_file: text file of lines ``name label``, names relative to ``data_prefix``.
        transforms: see ``StoredImages``.
        classes: names, or a file with one name a line.  If class folders are called so, only these
            are loaded and the labels follow the order given here; otherwise the names are shown in
            place of the folders' sorted names, and there must be equally many.
        with_label: False: images without classes.
        extensions: suffixes of the image files, in small letters.
        test_mode: load no truth with a sample.

    Raises:
        DataError: a class folder without images, a line without a label, a label out of range.
    """

    def __init__(
        self,
        data_root: str = '',
        data_prefix: str = '',
        ann_file: str = '',
        transforms: Sequence[Callable] = (),
        classes: Sequence[str] | str | None = None,
        with_label: bool = True,
        extensions: Sequence[str] = IMAGE_SUFFIXES,
        test_mode: bool = False,
    ):
        prefix = os.path.join(data_root, data_prefix)
        store = open_store(prefix, 'data_prefix')
        names, self.labels = None, None
        # Names and labels: from the list, from the folders, or names alone.
        wanted = names_of_classes(classes)
        if ann_file:
            path = os.path.join(data_root, ann_file)
            names, self.labels = _read_list(path, with_label)
            self.classes = wanted or _numbered(self.labels)
            _check_range(path, names, self.labels, self.classes)
        else:
            files = images_among(store.files(), extensions, prefix)
            if not with_label:
                names, self.classes = files, wanted or ()
            else:
                names, self.labels, self.classes = _by_folder(files, store, prefix, wanted)
        super().__init__(store, names, transforms, test_mode)
        self.listed = bool(ann_file)
        self.source = os.path.join(data_root, ann_file) if ann_file else prefix
        if not len(names):
            raise DataError(f'{self.source}: there are no images (suffixes {" ".join(extensions)})')
        self.report = self._describe()
        raise_or_warn(self._doubts())

    def truth(self, index: int) -> ClassLabel | None:
        return None if self.labels is None else ClassLabel(int(self.labels[index]))

    def labels_of(self, index: int) -> np.ndarray:
        return self.labels[index : index + 1]

    def class_counts(self) -> np.ndarray:
        """(K,) images of each class."""
        return np.bincount(self.labels, minlength=len(self.classes))

    def _doubts(self) -> list[Problem]:
        """Classes without an image or of doubtful names, and images that are listed twice."""
        problems = []
        if self.labels is None:
            return problems
        empty = [name for name, n in zip(self.classes, self.class_counts()) if n == 0]
        if empty:
            listed = ', '.join(empty[:5]) + (', ...' if len(empty) > 5 else '')
            reason = f'{plural(len(empty), "class", "classes")} without an image: {listed}'
            reason += '; labels count from 0' if self.listed else ''
            problems.append(Problem(self.source, '', reason, fatal=False))
        problems += alike_classes(self.source, self.classes)
        parts = [name for name in self.classes if name.lower() in _PARTS]
        if len(parts) > 1:
            reason = f'the classes are {", ".join(parts)}: is data_prefix the folder above?'
            problems.append(Problem(self.source, '', reason, fatal=False))
        labels: dict[str, int] = {}
        for name, label in zip(self.image_ids, self.labels.tolist()) if self.listed else ():
            file = os.path.normpath(name)
            if labels.setdefault(file, label) != label:
                reason = f'the labels {labels[file]} and {label}: keep one of the lines'
                problems.append(Problem(self.source, name, reason, fatal=True))
        if self.listed and len(labels) < len(self):
            reason = f'{plural(len(self) - len(labels), "line")} of images that are there before'
            problems.append(Problem(self.source, '', f'{reason}: remove them', self.test_mode))
        return problems

    def _describe(self) -> str:
        text = f'{self.source}: {plural(len(self), "image")}'
        if self.labels is None:
            return text
        counts = self.class_counts()
        kinds = plural(len(self.classes), 'class', 'classes')
        return f'{text} of {kinds}, {counts.min():,} to {counts.max():,} of each'

    def summary(self, findings: Sequence[Findings]) -> str:
        text = plural(len(self), 'image')
        if self.labels is not None:
            counts = zip(self.classes, self.class_counts().tolist())
            text += f'; by class: {", ".join(f"{name} {count}" for name, count in counts)}'
        return f'{text}{sizes_text(one.size for one in findings)}'


@register()
class ImageNet(ClassFolders):
    """ImageNet 2012: ``{split}/<wnid>/*.JPEG``, or any names with ``meta/{split}.txt``.

    Args:
        data_root: put before ``data_prefix`` and ``ann_file``.
        split: ``'train'``, ``'val'`` or ``'test'`` (which has no labels): the default of
            ``data_prefix``, and of ``ann_file`` where ``meta/{split}.txt`` exists.
        data_prefix: see ``ClassFolders``.
        ann_file: see ``ClassFolders``.
        transforms: see ``StoredImages``.
        classes: see ``ClassFolders``; of 1,000 classes without names they are ImageNet's.
        with_label: see ``ClassFolders``.
        test_mode: see ``StoredImages``.
    """

    def __init__(
        self,
        data_root: str = '',
        split: str = '',
        data_prefix: str = '',
        ann_file: str = '',
        transforms: Sequence[Callable] = (),
        classes: Sequence[str] | str | None = None,
        with_label: bool = True,
        test_mode: bool = False,
    ):
        if split not in ('', 'train', 'val', 'test'):
            raise ValueError(f"split is 'train', 'val' or 'test', not {split!r}")
        if split:
            data_prefix = data_prefix or split
            listed = os.path.join('meta', f'{split}.txt')
            if not ann_file and os.path.isfile(os.path.join(data_root, listed)):
                ann_file = listed
        if ann_file and classes is None:
            classes = imagenet_classes()
        super().__init__(
            data_root,
            data_prefix,
            ann_file,
            transforms,
            classes,
            with_label and split != 'test',
            IMAGE_SUFFIXES,
            test_mode,
        )
        # Folders of all 1,000 wnids sort in the order of ImageNet's labels.
        if classes is None and len(self.classes) in (0, len(imagenet_classes())):
            self.classes = imagenet_classes()

    @classmethod
    def stated_classes(cls, classes: Sequence[str] | None = None, **arguments: Any) -> tuple:
        classes = imagenet_classes() if classes is None else classes
        return super().stated_classes(classes, **arguments)


def _by_folder(
    files: FileNames,
    store: FolderImages | ArchiveImages,
    prefix: str,
    wanted: tuple[str, ...] | None,
) -> tuple[FileNames, np.ndarray, tuple[str, ...]]:
    """Names, labels (n,) and classes."""
    # 1. The class is the folder directly below the prefix, at any depth of the file.
    tops = [name.split('/', 1)[0] if '/' in name else '' for name in files]
    folders = sorted(set(tops) - {''})
    if not folders:
        what = 'images but no folders' if len(files) else 'no folders with images'
        raise DataError(
            f'{prefix}: there are {what}; each class is a folder here, or give ann_file, a list of '
            f'lines "name label"'
        )
    empty = sorted(store.folders() - set(folders))
    if empty:
        raise DataError(
            f'{prefix}: {plural(len(empty), "class folder")} without an image '
            f'({", ".join(empty[:5])}): fill or remove'
        )
    stray = [name for name, top in zip(files, tops) if not top]
    if stray:
        reason = f'{plural(len(stray), "image")} in no class folder, such as {stray[0]}: left out'
        raise_or_warn([Problem(prefix, '', reason, fatal=False)])
    # 2. Labels follow the order of the classes; -1 marks files of folders that are not wanted.
    chosen = _folders_of(wanted, folders, prefix) if wanted else folders
    rank = {folder: label for label, folder in enumerate(chosen)}
    labels = np.array([rank.get(top, -1) for top in tops])
    if (labels < 0).any():
        files = FileNames(name for name, label in zip(files, labels) if label >= 0)
        labels = labels[labels >= 0]
    return files, labels, wanted or tuple(folders)


def _folders_of(classes: Sequence[str], folders: list[str], prefix: str) -> list[str | None]:
    """The folder of each class; None: this part of the data has no image of it."""
    # 1. If no class is called as a folder, the names are shown in place of the sorted folders'.
    by_name = {plain_name(name): name for name in folders} | {name: name for name in folders}
    found = [by_name.get(name, by_name.get(plain_name(name))) for name in classes]
    others = [name for name in folders if name not in found]
    if len(classes) == len(folders) == len(others):
        return folders
    # 2. Otherwise a name without a folder is misspelt, if it is like that of another folder.
    lacking = [name for name, folder in zip(classes, found) if folder is None]
    if len(others) < len(folders):
        lacking = [name for name in lacking if nearest(name, others)]
    if lacking:
        raise DataError(
            f'{prefix}: classes names {plural(len(classes), "class", "classes")} and there are '
            f'{plural(len(folders), "class folder")}; no folder is called '
            f'{lacking[0]!r}{nearest(lacking[0], others)}'
        )
    twice = [name for name in found if name and found.count(name) > 1]
    if twice:
        raise DataError(f'{prefix}: classes names the folder {twice[0]!r} twice')
    return found


def _read_list(path: str, with_label: bool) -> tuple[FileNames, np.ndarray | None]:
    """The names and labels (n,) of a list."""
    names, labels = [], []
    for number, line in enumerate(read_lines(path, 'ann_file'), 1):
        line = line.strip()
        if not line:
            continue
        # Names may contain blanks: the label is the last word.
        name, _, label = line.rpartition(' ')
        if not with_label:
            names.append(name if label.isdecimal() and name else line)
            continue
        if not name or not label.isdecimal() or len(label) > 9:
            raise DataError(
                f'{path}, line {number}: {line!r} is not "name label" with a number as label'
            )
        names.append(name)
        labels.append(int(label))
    return FileNames(names), np.array(labels, np.int64) if with_label else None


def _numbered(labels: np.ndarray | None) -> tuple[str, ...]:
    """Classes without names are called by their labels."""
    return () if labels is None or not len(labels) else tuple(map(str, range(labels.max() + 1)))


def _check_range(
    path: str, names: FileNames, labels: np.ndarray | None, classes: tuple[str, ...]
) -> None:
    if labels is not None and labels.max(initial=-1) >= len(classes):
        first = int(np.argmax(labels >= len(classes)))
        raise DataError(
            f'{path}: label {labels[first]} of {names[first]}, but {len(classes)} classes end at '
            f'{len(classes) - 1}: labels count from 0'
        )
