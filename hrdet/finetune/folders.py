"""Data that lies in folders: images with label maps, and a folder of images for each class."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from hrdet.data import ClassFolders, DataError
from hrdet.data.datasets.images import FolderImages
from hrdet.data.datasets.label_values import read_values
from hrdet.data.formats.labels import images_below, split_folders
from hrdet.finetune.data import OwnData, Part, split_note, train_val_split, typical_size
from hrdet.messages import plural

_IMAGES = ('images', 'img_dir', 'img', 'imgs', 'JPEGImages', 'leftImg8bit')
_MAPS = ('labels', 'masks', 'ann_dir', 'annotations', 'label_maps', 'SegmentationClass', 'gtFine')
_IGNORED = 255
_READ = 300  # label maps whose values are read where nobody names the classes


def open_label_maps(path: Path, folder: Path) -> OwnData | None:
    """Images with label maps: ``images/train`` and ``labels/train``, or ``train/images`` and
    ``train/labels``; None where the path holds none.

    Names of the classes are the lines of ``classes.txt``, else their numbers.
    """
    # 1. Folders of images and label maps, by part; the first pair decides whether they belong
    #    together.
    pairs = _folder_pairs(path) if path.is_dir() else {}
    if not pairs:
        return None
    first_images, first_maps = next(iter(pairs.values()))
    suffixes = _suffixes(first_images, first_maps)
    if suffixes is None:
        return None
    # 2. Classes, and the images of each part.
    classes, note = _map_classes(path, [maps for _, maps in pairs.values()])
    images = {split: images_below(pair[0]) for split, pair in pairs.items()}
    counts = ', '.join(f'{s or "all"} {plural(len(names), "image")}' for s, names in images.items())
    notes = [f'{path}: taken for images with label maps: {counts}; {note}']

    def part(split: str, names: Sequence[str], listed: str = '') -> Part:
        node = dict(
            type='LabelMapDataset',
            img_dir=str(pairs[split][0]),
            ann_dir=str(pairs[split][1]),
            classes=classes,
            img_suffix=suffixes[0],
            seg_map_suffix=suffixes[1],
        )
        node |= {'split': listed} if listed else {}
        return Part(node, [str(pairs[split][0] / name) for name in names])

    # 3. Training and validation: parts of their own, or a random split of the one there is.
    whole = 'train' if 'train' in pairs else ''
    if whole not in pairs:
        raise DataError(f'{path}: there is no part for training, only {", ".join(pairs)}')
    if 'val' in pairs:
        train, val = part('train', images['train']), part('val', images['val'])
    else:
        names = [name for name in images[whole] if name.endswith(suffixes[0])]
        chosen = train_val_split(len(names), str(path))
        parts = []
        for split, rows in zip(('train', 'val'), chosen):
            own = [names[row] for row in rows]
            stems = [name.removesuffix(suffixes[0]) for name in own]
            parts.append(part(whole, own, _write_list(folder / f'{split}.txt', stems)))
        train, val = parts
        notes.append(split_note(*map(len, chosen)))
    test = part('test', images['test']) if 'test' in pairs else None
    size = typical_size(train.files)
    return OwnData(path.name, 'label maps', classes, size, train, val, test, notes=notes)


def open_class_folders(path: Path, folder: Path) -> OwnData | None:
    """A folder of images for each class, in ``train`` and ``val`` or without parts; else None."""
    if not path.is_dir():
        return None
    # 1. A data set for each part; all have the classes of the training images.
    roots = split_folders(path)
    if not all(_holds_classes(root) for root in roots.values()):
        return None
    sets = {split: ClassFolders(data_prefix=str(root)) for split, root in roots.items()}
    if 'train' not in sets and '' not in sets:
        raise DataError(f'{path}: there is no part for training, only {", ".join(sets)}')
    whole = sets.get('train') or sets['']
    classes = whole.classes
    for split, data in sets.items():
        others = sorted(set(data.classes) - set(classes))
        if others:
            raise DataError(
                f'{roots[split]}: the class {others[0]!r} is not among the training images'
            )
    counts = ', '.join(f'{s or "all"} {plural(len(d), "image")}' for s, d in sets.items())
    shown = ', '.join(classes[:5]) + (', ...' if len(classes) > 5 else '')
    kinds = plural(len(classes), 'class', 'classes')
    notes = [f'{path}: taken for class folders: {counts}; {kinds}: {shown}']

    def part(split: str, data: ClassFolders, rows: Sequence[int], listed: str = '') -> Part:
        node = dict(type='ClassFolders', data_prefix=str(roots[split]), classes=classes)
        node |= {'ann_file': listed} if listed else {}
        return Part(node, [str(roots[split] / data.image_ids[row]) for row in rows])

    # 2. Training and validation: parts of their own, or a random split of the one there is.
    split = 'train' if 'train' in sets else ''
    if 'val' in sets:
        train = part(split, whole, range(len(whole)))
        val = part('val', sets['val'], range(len(sets['val'])))
    else:
        chosen = train_val_split(len(whole), str(path))
        parts = []
        for name, rows in zip(('train', 'val'), chosen):
            lines = [f'{whole.image_ids[row]} {whole.labels[row]}' for row in rows]
            parts.append(part(split, whole, rows, _write_list(folder / f'{name}.txt', lines)))
        train, val = parts
        notes.append(split_note(*map(len, chosen)))
    test = part('test', sets['test'], range(len(sets['test']))) if 'test' in sets else None
    size = typical_size(train.files)
    return OwnData(path.name, 'classes', classes, size, train, val, test, notes=notes)


def _folder_pairs(path: Path) -> dict[str, tuple[Path, Path]]:
    """Folder of the images and of the label maps of each part; {} where there is no pair."""
    outer = _pair(path)
    if outer is not None:
        images, maps = (split_folders(folder) for folder in outer)
        return {split: (images[split], maps[split]) for split in images if split in maps}
    pairs = {split: _pair(folder) for split, folder in split_folders(path).items()}
    return {split: pair for split, pair in pairs.items() if pair is not None}


def _pair(path: Path) -> tuple[Path, Path] | None:
    images = next((path / name for name in _IMAGES if (path / name).is_dir()), None)
    maps = next((path / name for name in _MAPS if (path / name).is_dir()), None)
    return None if images is None or maps is None else (images, maps)


def _suffixes(images: Path, maps: Path) -> tuple[str, str] | None:
    """Suffixes of images and label maps; None if they have no names in common."""
    names = images_below(images)
    if not names:
        return None
    ending = Counter(PurePosixPath(name).suffix for name in names).most_common(1)[0][0]
    stem = next(name for name in names if name.endswith(ending)).removesuffix(ending)
    rest = [name[len(stem) :] for name in images_below(maps) if name.startswith(stem)]
    rest = sorted((text for text in rest if text.lower().endswith('.png')), key=len)
    return (ending, rest[0]) if rest else None


def _map_classes(path: Path, folders: Sequence[Path]) -> tuple[tuple[str, ...], str]:
    """The classes, and where they are from."""
    listed = path / 'classes.txt'
    if listed.is_file():
        lines = listed.read_text(encoding='utf-8').splitlines()
        classes = tuple(line.strip() for line in lines if line.strip())
        return classes, f'{plural(len(classes), "class", "classes")} of {listed}'
    # Without names: the values of a few hundred maps of each folder, evenly chosen.
    values: set[int] = set()
    for folder in folders:
        store = FolderImages(str(folder))
        names = [name for name in images_below(folder) if name.lower().endswith('.png')]
        for name in names[:: max(1, len(names) // _READ)]:
            values |= set(np.unique(read_values(store, name)).tolist())
    values -= {_IGNORED}
    if not values:
        raise DataError(f'{folders[0]}: no label map has a value but {_IGNORED}, which is ignored')
    classes = tuple(str(value) for value in range(max(values) + 1))
    return classes, (
        f'{plural(len(classes), "class", "classes")} without names, by the values 0 to '
        f'{max(values)} ({_IGNORED} is ignored); {listed} with one name a line names them'
    )


def _holds_classes(root: Path) -> bool:
    """Whether images lie in folders below ``root`` and none beside them."""
    names = images_below(root)
    return bool(names) and all('/' in name for name in names)


def _write_list(path: Path, lines: Sequence[str]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8')
    return str(path)
