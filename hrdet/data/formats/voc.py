"""PASCAL VOC: a folder with ``ImageSets``, or XML files in a folder, as labelling tools do."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from hrdet.data.annotations import AnnotationTable, read_voc, read_voc_files
from hrdet.data.errors import DataError, Problem
from hrdet.data.formats.labels import (
    SPLITS,
    Labels,
    images_below,
    split_folders,
    split_of,
    without_label,
)

KIND = 'VOC'


def find(path: Path) -> list[Labels] | None:
    """The parts of a VOC folder; None for anything else."""
    if not path.is_dir():
        return None
    lists = sorted((path / 'ImageSets' / 'Main').glob('*.txt'))
    if lists:
        return _from_lists(path, lists)
    if (path / 'Annotations').is_dir():
        files = sorted((path / 'Annotations').rglob('*.xml'))
        return [_from_files('', path, files)] if files else None
    folders = {split: (f, sorted(f.glob('*.xml'))) for split, f in split_folders(path).items()}
    parts = [_from_files(split, *found) for split, found in folders.items() if found[1]]
    return parts or None


def _from_lists(path: Path, lists: Sequence[Path]) -> list[Labels]:
    """The lists train, val and test; without train the list trainval, or the only one."""
    by_name = {file.stem: file for file in lists}
    chosen = {split: by_name[split] for split in SPLITS if split in by_name}
    if 'train' not in chosen:
        # Other lists are of one class each (aeroplane_train.txt), or of a part without a name.
        others = [name for name in by_name if split_of(name) == '']
        single = 'trainval' if 'trainval' in by_name else others[0] if len(others) == 1 else None
        if single is None:
            raise DataError(
                f'{path}: which of ImageSets/Main is for training? There are '
                f'{", ".join(sorted(by_name)[:8])}; call one train.txt'
            )
        chosen = {'': by_name[single]} | {k: v for k, v in chosen.items() if k == 'test'}
    parts = []
    for split, file in chosen.items():
        table, problems = read_voc(str(file), str(path))
        parts.append(_located(Labels(split, table, '', problems), path))
    return parts


def _from_files(split: str, folder: Path, files: Sequence[Path]) -> Labels:
    table, problems = read_voc_files(str(folder), files)
    part = _located(Labels(split, table, '', problems), folder)
    names = part.table.file_names
    return replace(part, problems=part.problems + without_label(Path(part.images), names, 'an XML'))


def _located(part: Labels, folder: Path) -> Labels:
    """The part with its images' folder, and the suffixes that the files there have."""
    for name in ('JPEGImages', 'images', ''):
        if (folder / name).is_dir() and (known := images_below(folder / name)):
            break
    else:
        raise DataError(f'{folder}: there are no images in JPEGImages, images or beside the labels')
    # The file that the label names; else the one of its stem, in any folder and format.
    by_stem: dict[str, list[str]] = {}
    for image in known:
        by_stem.setdefault(PurePosixPath(image).stem, []).append(image)
    exact, names, problems = set(known), [], list(part.problems)
    for image in part.table.file_names:
        found = [image] if image in exact else by_stem.get(PurePosixPath(image).stem, [image])
        names.append(found[0])
        if len(found) > 1:
            reason = f'which image is meant, {" or ".join(found[:4])}? Remove or rename the others'
            problems.append(Problem(str(folder / name), image, reason, fatal=True))
    table = replace(part.table, file_names=names)
    return replace(part, table=table, images=str(folder / name), problems=problems)


def xml_of(table: AnnotationTable, image: int, file_name: str) -> bytes:
    """The XML file of one image: whole pixels, counted from 1; crowd regions are difficult."""
    h, w = table.sizes[image].tolist()
    root = ElementTree.Element('annotation')
    _text(root, filename=file_name)
    _text(ElementTree.SubElement(root, 'size'), width=w, height=h, depth=3)
    rows = table.rows_of(image)
    for i in range(rows.start, rows.stop):
        # Continuous corners to whole pixels that both belong to the box, counted from 1.
        x1, y1, x2, y2 = (round(edge) for edge in table.boxes[i].tolist())
        entry = ElementTree.SubElement(root, 'object')
        _text(entry, name=table.classes[table.labels[i]], difficult=int(table.crowd[i]))
        box = ElementTree.SubElement(entry, 'bndbox')
        _text(box, xmin=x1 + 1, ymin=y1 + 1, xmax=max(x2, x1 + 1), ymax=max(y2, y1 + 1))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding='utf-8') + b'\n'


def _text(parent: ElementTree.Element, **values: object) -> None:
    for name, value in values.items():
        ElementTree.SubElement(parent, name).text = str(value)
