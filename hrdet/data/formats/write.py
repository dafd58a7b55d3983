"""Write labelled images in another format, with a copy of the images."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from hrdet.data.conversion.plan import unfinished, write_file, write_lines
from hrdet.data.datasets.images import image_store
from hrdet.data.errors import DataError, raise_or_warn
from hrdet.data.formats import coco, voc, yolo
from hrdet.data.formats.labels import Labels
from hrdet.data.formats.recognise import recognise_labels
from hrdet.messages import plural
from hrdet.progress import track


def convert_labels(source: str, target: str, kind: str) -> str:
    """Write the labelled images at ``source`` in the format ``kind`` to the new folder ``target``.

    Returns:
        What was read and written, and what the format cannot hold, one line each.

    Raises:
        DataError: the source cannot be read, or the target exists.
    """
    data = recognise_labels(source)
    if data is None:
        raise DataError(f'{source}: no labels of boxes in COCO, VOC, YOLO or labelme format')
    out = Path(target)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f'{target} exists, and nothing is overwritten; remove it, or give another')
    raise_or_warn([problem for part in data.parts for problem in part.problems])
    parts = [replace(part, split=part.split or 'train') for part in data.parts]
    # Write under a temporary name: the folder gets its own when it is complete.
    draft = unfinished(out)
    try:
        draft.mkdir(parents=True, exist_ok=True)
        notes = WRITERS[kind](parts, draft)
        if out.is_dir():
            out.rmdir()
        draft.rename(out)
    except OSError as error:
        raise DataError(f'{target} cannot be made: {error.strerror}') from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return '\n'.join([str(data), *notes, f'written to {target} in the format {kind}'])


def write_coco(parts: Sequence[Labels], out: Path) -> list[str]:
    """``annotations/{split}.json`` and ``images/{split}/``."""
    for part in parts:
        names = _copy_images(part, out / 'images' / part.split, flat=False)
        content = coco.content_of(part.table)
        for entry, name in zip(content['images'], names):
            entry['file_name'] = name
        text = json.dumps(content, separators=(',', ':'))
        write_file(out / 'annotations' / f'{part.split}.json', text.encode())
    return []


def write_voc(parts: Sequence[Labels], out: Path) -> list[str]:
    """``JPEGImages/``, ``Annotations/`` and ``ImageSets/Main/{split}.txt``."""
    # All images go into one folder; the part's name keeps equal names of two parts apart.
    stems = [PurePosixPath(name).stem for part in parts for name in part.table.file_names]
    unique = len(set(stems)) == len(stems)
    masks = 0
    for part in parts:
        prefix = '' if unique else f'{part.split}_'
        names = _copy_images(part, out / 'JPEGImages', flat=True, prefix=prefix)
        for image, name in enumerate(names):
            xml = voc.xml_of(part.table, image, name)
            write_file(out / 'Annotations' / f'{PurePosixPath(name).stem}.xml', xml)
        stems = [PurePosixPath(name).stem for name in names]
        write_lines(out / 'ImageSets' / 'Main' / f'{part.split}.txt', stems)
        objects = zip(part.table.segmentations or (), part.table.crowd)
        masks += sum(mask is not None and not crowd for mask, crowd in objects)
    return [f'VOC has boxes alone: {plural(masks, "mask")} left out'] if masks else []


def write_yolo(parts: Sequence[Labels], out: Path) -> list[str]:
    """``data.yaml``, ``images/{split}/`` and ``labels/{split}/``."""
    crowds = 0
    for part in parts:
        names = _copy_images(part, out / 'images' / part.split, flat=False)
        for image, name in enumerate(names):
            text, left_out = yolo.text_of(part.table, image)
            crowds += left_out
            path = (out / 'labels' / part.split / name).with_suffix('.txt')
            write_file(path, text.encode())
    lines = [f'{part.split}: images/{part.split}' for part in parts]
    # A name in the quotation marks of JSON is one of YAML, too.
    names = [
        f'  {i}: {json.dumps(name, ensure_ascii=False)}'
        for i, name in enumerate(parts[0].table.classes)
    ]
    write_lines(out / 'data.yaml', [*lines, 'names:', *names])
    return [f'YOLO has no crowd regions: {crowds} left out'] if crowds else []


# Each takes the parts and the new folder, and returns what the format cannot hold.
WRITERS: dict[str, Callable[[Sequence[Labels], Path], list[str]]] = {
    'coco': write_coco,
    'voc': write_voc,
    'yolo': write_yolo,
}


def _copy_images(part: Labels, folder: Path, flat: bool, prefix: str = '') -> list[str]:
    """Copy a part's images; their names in the folder.

    ``flat`` puts all of them into the folder itself, with ``prefix`` before their names.  Two names
    that would differ only in their suffix are an error: their labels would be one file.
    """
    # 1. New names; those that leave the folder (absolute, or with '..') are flattened into it.
    store = image_store(part.images)
    seen: dict[str, str] = {}
    names = []
    for name in part.table.file_names:
        path = PurePosixPath(name)
        inside = not path.is_absolute() and '..' not in path.parts
        flattened = prefix + '_'.join(p for p in path.parts if p not in ('/', '..'))
        new = name if inside and not flat else flattened
        stem = str(PurePosixPath(new).with_suffix(''))
        origin = store.path(name)
        if seen.setdefault(stem, origin) != origin:
            raise DataError(f'{origin} and {seen[stem]} have one name in {folder}; rename one')
        names.append(new)
    # 2. Copy the files as they are, without decoding them.
    for name, new in track(list(zip(part.table.file_names, names)), part.split):
        write_file(folder / new, store.read(name))
    return names
