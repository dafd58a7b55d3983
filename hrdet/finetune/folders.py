"""Data that lies in folders: images with label maps, and a folder of images for each class."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from hrdet.data import ClassFolders, DataError
from hrdet.data.datasets.images import FolderImages
from hrdet.data.datasets.label_values import read_values
from hrdet.data.errors import read_lines
from hrdet.data.formats.labels import images_below, split_folders
from hrdet.finetune.data import OwnData, Part, split_note, train_val_split, typical_size
from hrdet.messages import plural

_IMAGES = ('images', 'img_dir', 'img', 'imgs', 'JPEGImages', 'leftImg8bit')
_MAPS = ('labels', 'masks', 'ann_dir', 'annotations', 'label_maps', 'SegmentationClass', 'gtFine')
_IGNORED = 255
_NO_CLASS = ('unlabelled', 'unlabeled', 'ignored', 'void')  # in classes.txt
_READ = 300  # label maps whose values are read where nobody names the classes


def label_map_sets(path: Path) -> tuple[dict[str, dict[str, Any]], str] | None:
    """Images with label maps: ``images/train`` and ``labels/train``, or ``train/images`` and
    ``train/labels``; None where the path holds none.

    Names of the classes are the lines of ``classes.txt``, else their numbers.  A first or a last
    line such as 'unlabelled' stands for pixels that are ignored.

    Returns:
        Type and arguments of the data set of each part, and one line about them.
    """
    # 1. Folders of images and label maps, by part; the first pair decides whether they belong
    #    together.
    pairs, lone = _folder_pairs(path) if path.is_dir() else ({}, [])
    if not pairs:
        return None
    suffixes = _suffixes(*next(iter(pairs.values())))
    if suffixes is None:
        return None
    # 2. Classes, and the data set of each part.
    labels, note = _map_classes(path, [maps for _, maps in pairs.values()])
    _check_classes(
        path, labels['classes'], f'; {_IGNORED} is ignored: write 1 where it means a class'
    )
    sets = {
        split: dict(
            type='LabelMapDataset',
            img_dir=str(images),
            ann_dir=str(maps),
            **labels,
            img_suffix=suffixes[0],
            seg_map_suffix=suffixes[1],
        )
        for split, (images, maps) in pairs.items()
    }
    counts = {split: len(images_below(images)) for split, (images, _) in pairs.items()}
    left_out = f' ({", ".join(lone)} left out: images or label maps are missing)' if lone else ''
    counted = f'{_counts_text(counts)}{left_out}'
    return sets, f'{path}: taken for images with label maps: {counted}; {note}'


def open_label_maps(path: Path, folder: Path) -> OwnData | None:
    """``label_map_sets`` with a part for validation; drawn parts are listed in ``folder``."""
    found = label_map_sets(path)
    if found is None:
        return None
    sets, note = found
    suffix = next(iter(sets.values()))['img_suffix']
    images = {split: images_below(Path(node['img_dir'])) for split, node in sets.items()}
    images = {split: [n for n in names if n.endswith(suffix)] for split, names in images.items()}
    stems = [name.removesuffix(suffix) for name in images[_for_training(path, sets)]]
    files = {split: [f'{sets[split]["img_dir"]}/{n}' for n in images[split]] for split in sets}
    return _own_data(path, 'label maps', sets, files, note, folder, ('split', stems))


def class_folder_sets(path: Path) -> tuple[dict[str, dict[str, Any]], str] | None:
    """A folder of images for each class, in ``train`` and ``val`` or without parts; else None.

    Returns:
        Type and arguments of the data set of each part, with the classes of the training images,
        and one line about them.
    """
    # 1. The folder of each part.
    roots = split_folders(path) if path.is_dir() else {}
    names = {split: images_below(root) for split, root in roots.items()}
    if not names or not all(map(_in_folders, names.values())):
        return None
    # 2. All parts have the classes of the training images.
    classes = ClassFolders(data_prefix=str(roots[_for_training(path, roots)])).classes
    _check_classes(path, classes)
    for split, root in roots.items():
        others = sorted({name.split('/', 1)[0] for name in names[split]} - set(classes))
        if others:
            raise DataError(f'{root}: the class {others[0]!r} is not among the training images')
    sets = {
        split: dict(type='ClassFolders', data_prefix=str(root), classes=classes)
        for split, root in roots.items()
    }
    counts = _counts_text({split: len(images) for split, images in names.items()})
    shown = ', '.join(classes[:5]) + (', ...' if len(classes) > 5 else '')
    kinds = plural(len(classes), 'class', 'classes')
    return sets, f'{path}: taken for class folders: {counts}; {kinds}: {shown}'


def open_class_folders(path: Path, folder: Path) -> OwnData | None:
    """``class_folder_sets`` with a part for validation; drawn parts are listed in ``folder``."""
    found = class_folder_sets(path)
    if found is None:
        return None
    nodes, note = found
    sets = {split: ClassFolders(data_prefix=node['data_prefix']) for split, node in nodes.items()}
    whole = sets[_for_training(path, sets)]
    lines = [f'{name} {label}' for name, label in zip(whole.image_ids, whole.labels)]
    files = {
        split: [f'{nodes[split]["data_prefix"]}/{name}' for name in one.image_ids]
        for split, one in sets.items()
    }
    return _own_data(path, 'classes', nodes, files, note, folder, ('ann_file', lines))


def _own_data(
    path: Path,
    kind: str,
    nodes: Mapping[str, dict[str, Any]],
    files: Mapping[str, Sequence[str]],
    note: str,
    folder: Path,
    listing: tuple[str, Sequence[str]],
) -> OwnData:
    """The data sets ``nodes``, whose images are ``files``, with a part for validation.

    Without one it is drawn from the images for training.  ``listing`` is the argument of a data set
    that names a list of some of its images, and the line of each image in such a list.
    """
    split, notes = _for_training(path, nodes), [note]
    parts = {name: Part(node, files[name]) for name, node in nodes.items()}
    train, val = parts[split], parts.get('val')
    if val is None:
        argument, lines = listing
        chosen = train_val_split(len(lines), str(path))
        drawn = []
        for name, rows in zip(('train', 'val'), chosen):
            listed = _write_list(folder / f'{name}.txt', [lines[row] for row in rows])
            own = [files[split][row] for row in rows]
            drawn.append(Part(nodes[split] | {argument: listed}, own))
        train, val = drawn
        notes.append(split_note(*map(len, chosen)))
    size, classes = typical_size(train.files), nodes[split]['classes']
    return OwnData(path.name, kind, classes, size, train, val, parts.get('test'), notes=notes)


def _for_training(path: Path, parts: Mapping[str, Any]) -> str:
    """The name of the part for training: 'train', or '' where there are no parts."""
    split = 'train' if 'train' in parts else ''
    if split not in parts:
        raise DataError(f'{path}: there is no part for training, only {", ".join(parts)}')
    return split


def _check_classes(path: Path, classes: Sequence[str], hint: str = '') -> None:
    if len(classes) == 1:
        raise DataError(f'{path}: one class alone ({classes[0]}): nothing to learn{hint}')


def _counts_text(counts: Mapping[str, int]) -> str:
    return ', '.join(f'{split or "all"} {plural(n, "image")}' for split, n in counts.items())


def _folder_pairs(path: Path) -> tuple[dict[str, tuple[Path, Path]], list[str]]:
    """Folder of the images and of the label maps of each part, and parts that lack one of them."""
    outer = _pair(path)
    if outer is not None:
        images, maps = (split_folders(folder) for folder in outer)
        pairs = {split: (images[split], maps[split]) for split in images if split in maps}
        return pairs, [split for split in images | maps if split not in pairs]
    pairs = {split: _pair(folder) for split, folder in split_folders(path).items()}
    found = {split: pair for split, pair in pairs.items() if pair is not None}
    return found, [split for split in pairs if split not in found]


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


def _map_classes(path: Path, folders: Sequence[Path]) -> tuple[dict[str, Any], str]:
    """The classes and what is ignored, as arguments of the data set; and where they are from."""
    listed = path / 'classes.txt'
    if listed.is_file():
        lines = read_lines(listed, 'classes')
        classes = tuple(line.strip() for line in lines if line.strip())
        last, zero = classes[-1:], classes[:1]
        ignored: dict[str, Any] = {}
        if last and last[0].lower() in _NO_CLASS:
            classes, ignored = classes[:-1], dict(ignore_index=len(classes) - 1)
        elif zero and zero[0].lower() in _NO_CLASS:
            classes, ignored = classes[1:], dict(reduce_zero_label=True)
        note = f'{plural(len(classes), "class", "classes")} of {listed}'
        if ignored:
            value = ignored.get('ignore_index', 0)
            note += f'; pixels of {value} ({(last if value else zero)[0]}) are ignored'
        return dict(classes=classes, **ignored), note
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
    return dict(classes=classes), (
        f'{plural(len(classes), "class", "classes")} without names, by the values 0 to '
        f'{max(values)} ({_IGNORED} is ignored); {listed} with one name a line names them'
    )


def _in_folders(names: Sequence[str]) -> bool:
    """Whether all images lie in folders."""
    return bool(names) and all('/' in name for name in names)


def _write_list(path: Path, lines: Sequence[str]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8')
    return str(path)
