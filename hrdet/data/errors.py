"""Errors and warnings about data sets: what is wrong in which file, and the cure."""

import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from hrdet.json_files import read_bytes

# What zipfile raises for archives that are damaged, or of a kind that it does not know.
BAD_ARCHIVE = (zipfile.BadZipFile, OSError, ValueError, OverflowError, NotImplementedError)
MAX_LISTED = 5  # problems that an error or a warning spells out

# Where to get the data that the paths of hrdet's own configs name; the first match counts.
_SOURCES = {
    r'(^|/)data/shapes/': 'hrdet shapes --out data/shapes makes this data set',
    r'(^|/)data/shapes_maps/': 'hrdet shapes --task segmentation --out data/shapes_maps makes this '
    'data set',
    r'(^|/)data/shapes_folders/': 'hrdet shapes --task classification --out data/shapes_folders '
    'makes this data set',
    r'(^|/)data/(cityscapes|VOCdevkit|loveDA|potsdam|vaihingen|iSAID)/': 'hrdet convert --help '
    'says how its download becomes this data set',
    r'(^|/)ADEChallengeData2016/': 'ADEChallengeData2016.zip of the ADE20K scene parsing benchmark '
    'has it, as it is unpacked',
    r'(^|/)data/imagenet/': 'ImageNet 2012 has it (image-net.org): a folder for each class',
    r'stuffthingmaps/(train|val)2017': 'COCO-Stuff has it: stuffthingmaps_trainval2017.zip',
    r'(^|/|_)(train|val)2017(/|\.json|\.zip|$)': 'COCO has it: cocodataset.org/#download, '
    'unpacked to annotations/, train2017/ and val2017/',
}


class DataError(ValueError):
    """A data set that cannot be used as it is: the message names the file and the cure."""


class MissingDataError(DataError):
    """A file or folder of a data set does not exist."""


class DataWarning(UserWarning):
    """Something doubtful in a data set, which can still be used."""


@dataclass(slots=True)
class Problem:
    """One thing that is wrong in a file."""

    file: str
    where: str  # 'annotations[3] (id 17)'
    reason: str
    fatal: bool  # the data set does not load; otherwise the item is dropped or clipped

    def __str__(self) -> str:
        return ': '.join(part for part in (self.file, self.where, self.reason) if part)


_collected: ContextVar[list[Problem] | None] = ContextVar('problems', default=None)


@contextmanager
def collecting(problems: list[Problem]) -> Iterator[None]:
    """Within the block ``raise_or_warn`` adds to the list, and nothing else."""
    token = _collected.set(problems)
    try:
        yield
    finally:
        _collected.reset(token)


def raise_or_warn(problems: list[Problem]) -> None:
    """Stop on fatal problems, warn of the others, spelling out the first few of them."""
    # 1. hrdet check collects all problems instead.
    collected = _collected.get()
    if collected is not None:
        collected += problems
        return
    # 2. Fatal problems hide the others, which are reported once these are solved.
    fatal = [problem for problem in problems if problem.fatal]
    listed = fatal or problems
    if not listed:
        return
    lines = [str(problem) for problem in listed[:MAX_LISTED]]
    if len(listed) > MAX_LISTED:
        lines.append(f'... and {len(listed) - MAX_LISTED} more; hrdet check lists all')
    if fatal:
        raise DataError('\n'.join(lines))
    warnings.warn('\n'.join(lines), DataWarning, stacklevel=2)


def plain_name(name: str) -> str:
    """The name of a class without capitals and blanks, for comparison."""
    return ''.join(name.lower().split())


def alike_classes(file: str, classes: Sequence[str]) -> list[Problem]:
    """A warning about two classes whose names differ in capitals and blanks only."""
    first: dict[str, str] = {}
    for name in classes:
        other = first.setdefault(plain_name(name), name)
        if other != name:
            reason = f'{other!r} and {name!r} are two classes: correct the names if one is meant'
            return [Problem(file, 'classes', reason, fatal=False)]
    return []


def read_lines(path: str | Path, key: str) -> list[str]:
    """The lines of a text file that ``key`` names, in UTF-8.

    Raises:
        DataError: it is missing, cannot be read, or is in another encoding.
    """
    try:
        return read_bytes(path).decode('utf-8-sig').splitlines()
    except FileNotFoundError:
        raise missing(key, str(path), 'file') from None
    except NotADirectoryError:
        raise DataError(
            f'{key} {path}: a file is taken for a folder in this path. Lists are not read from '
            f'archives: put this one beside the archive, and write both paths without data_root'
        ) from None
    except OSError as error:
        raise DataError(f'{key} {path}: {error.strerror}') from error
    except UnicodeDecodeError as error:
        raise DataError(
            f'{key} {path}: not a text in UTF-8 (byte {error.start}): save it in that encoding'
        ) from error


def missing(key: str, path: str, kind: str) -> MissingDataError:
    """The error for a path in ``key`` where there is no file, folder or zip file (``kind``)."""
    here = '' if Path(path).is_absolute() else f' (looked for in {Path.cwd()})'
    sources = [text for pattern, text in _SOURCES.items() if re.search(pattern, path)]
    where = f'{sources[0]}. ' if sources else ''
    return MissingDataError(
        f'{key}: there is no {kind} {path}{here}. hrdet downloads nothing by itself. {where}If it '
        f'lies elsewhere, write that into {key}; hrdet check --config CONFIG lists what '
        f'else is missing'
    )
