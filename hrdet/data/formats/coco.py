"""COCO: JSON files of whole parts, as COCO itself and labelling tools write and place them."""

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from hrdet.data.annotations import AnnotationTable, read_coco
from hrdet.data.datasets.headers import max_bytes
from hrdet.data.errors import BAD_ARCHIVE, DataError, Problem
from hrdet.data.formats.labels import Labels, folder_of, split_of
from hrdet.json_files import read_bytes, read_json
from hrdet.messages import plural

KIND = 'COCO'
_KEYS = (b'"images"', b'"annotations"', b'"categories"')
_CVAT = b'"occluded"'  # an attribute that CVAT gives every annotation
_PLACES = ('annotations', '.', '*')  # of the JSON files in a data set


def find(path: Path) -> list[Labels] | None:
    """The parts of a JSON file, a folder of them, or a .zip with both; None for anything else."""
    if path.suffix.lower() == '.zip' and path.is_file():
        return _from_zip(path)
    if path.is_file():
        beside = path.parent.name == 'annotations'  # images are beside the folder, as in COCO
        root = path.parent.parent if beside else path.parent
        return [_read('', path, root)] if path.suffix.lower() == '.json' else None
    for place in _PLACES:
        files = [file for file in sorted(path.glob(f'{place}/*.json')) if _is_coco(file)]
        chosen = _by_split(files, path)
        if chosen:
            return [_read(split, file, path) for split, file in chosen.items()]
    return None


def _is_coco(file: Path) -> bool:
    content = read_bytes(file)
    return all(key in content for key in _KEYS)


def _by_split(files: Sequence[Path], path: Path) -> dict[str, Path]:
    """One file for each part, by the names of file and folder.

    Where files begin with ``instances``, as COCO's do, only these count.
    """
    instances = [file for file in files if file.name.startswith('instances')]
    chosen: dict[str, Path] = {}
    for file in instances or files:
        split = split_of(file.stem) or (split_of(file.parent.name) if file.parent != path else '')
        if split in chosen:
            raise DataError(
                f'{path}: {chosen[split].name} and {file.name} are both for '
                f'{split or "training"}; remove one, or give the path of the file'
            )
        chosen[split] = file
    # One file without a part's name beside others is for training.
    if len(chosen) > 1 and '' in chosen:
        if 'train' in chosen:
            raise DataError(f'{chosen[""]}: for which part is it? Call it train, val or test')
        chosen = {'train': chosen.pop('')} | chosen
    return {split: chosen[split] for split in ('', 'train', 'val', 'test') if split in chosen}


def _read(split: str, file: Path, root: Path) -> Labels:
    # 1. The table.  ``ann_file`` stays only where the file itself can be trained on.
    by_cvat = _CVAT in read_bytes(file)
    table, problems = _table(file, by_cvat)
    ann_file = str(file)
    if by_cvat and _has_crowd_runs(file):
        ann_file = None
        reason = 'CVAT marks masks as crowd regions (iscrowd=1): they are taken as objects'
        problems.append(Problem(str(file), 'annotations', reason, False))
    names = [name.replace('\\', '/') for name in table.file_names]
    if names != table.file_names:
        table, ann_file = replace(table, file_names=names), None
    # 2. The folder of its images.
    candidates = _image_folders(split, file, root)
    images = folder_of(names, candidates)
    if images is None:
        shown = ', '.join(dict.fromkeys(str(folder) for folder in candidates if folder.is_dir()))
        first = names[0] if names else 'without an entry'
        raise DataError(
            f'{file}: images[0]: there is no image {first} in {shown}; move the images there, or '
            f'to a folder images'
        )
    return Labels(split, table, str(images), problems, ann_file)


def _table(file: Path, by_cvat: bool) -> tuple[AnnotationTable, list[Problem]]:
    return read_coco(str(file), True, masks_needed=False, runs_are_crowds=not by_cvat)


def _has_crowd_runs(file: Path) -> bool:
    """Whether an annotation in run lengths is a crowd region, as CVAT marks all of them."""
    entries = read_json(file)['annotations']
    return any(e.get('iscrowd') and isinstance(e.get('segmentation'), dict) for e in entries)


def _image_folders(split: str, file: Path, root: Path) -> list[Path]:
    """Folders that may hold the images of a JSON file, the likeliest first."""
    name = file.stem.replace('instances_', '')
    parents = [root, file.parent, file.parent.parent] if file.parent != root else [root]
    inside = (f'images/{name}', name, f'images/{split}', split, 'images', 'JPEGImages', '', 'data')
    return [parent / part for parent in parents for part in dict.fromkeys(inside)]


def _from_zip(path: Path) -> list[Labels] | None:
    """Annotations and images of an archive, which is read in place."""
    try:
        with zipfile.ZipFile(path) as archive, TemporaryDirectory() as folder:
            # The JSON files are extracted to be read; images are read from the archive later.
            names = archive.namelist()
            members = [name for name in names if name.lower().endswith('.json')]
            large = [name for name in members if archive.getinfo(name).file_size > max_bytes()]
            if large:
                raise DataError(
                    f'{path}: {large[0]} unpacks to more than {max_bytes():,} bytes; unpack it, or '
                    f'raise the bound with the environment variable HRDET_MAX_PIXELS'
                )
            files = [Path(archive.extract(name, folder)) for name in members]
            files = [file for file in files if _is_coco(file)]
            chosen = _by_split(files, Path(folder))
            parts = []
            for split, file in chosen.items():
                by_cvat = _CVAT in read_bytes(file)
                table, problems = _table(file, by_cvat)
                member = f'{path}/{file.relative_to(folder).as_posix()}'
                # Messages name the member of the archive, not the extracted copy.
                table = replace(table, file=member)
                problems = [replace(p, file=member) for p in problems]
                parts.append(Labels(split, table, _inside(path, split, table, names), problems))
    except DataError:
        raise
    except BAD_ARCHIVE as error:
        raise DataError(f'{path}: the archive cannot be read ({error}); fetch it again') from error
    return parts or None


def _inside(path: Path, split: str, table: AnnotationTable, members: Sequence[str]) -> str:
    """The folder of a part's images in an archive; of several the one with the part's name."""
    first = table.file_names[0] if table.file_names else ''
    matches = [name for name in members if f'/{name}'.endswith(f'/{first}')]
    if not matches:
        raise DataError(f'{table.file}: images[0]: there is no image {first} in {path}')
    # Several members end with this name: those in a folder that is called like the part count.
    named = [m for m in matches if split in map(split_of, PurePosixPath(m).parent.parts)]
    matches = named if len(matches) > 1 and named else matches
    if len(matches) > 1:
        raise DataError(f'{path}: {plural(len(matches), "member")} {first}: {", ".join(matches)}')
    prefix = matches[0].removesuffix(first).strip('/')
    return str(PurePosixPath(str(path), prefix))


def content_of(table: AnnotationTable) -> dict:
    """The table as a COCO dict, with its segmentations."""
    content = table.to_coco()
    for i, entry in enumerate(content['annotations']):
        entry['bbox'] = [round(edge, 4) for edge in entry['bbox']]
        mask = table.segmentations[i] if table.segmentations is not None else None
        if isinstance(mask, list):
            mask = [[round(float(value), 4) for value in polygon] for polygon in mask]
        entry['segmentation'] = mask or []
    return content
