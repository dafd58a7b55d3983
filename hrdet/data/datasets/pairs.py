"""Match images and label maps by their file names."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from hrdet.data.datasets.listing import FileNames
from hrdet.data.datasets.stored import IMAGE_SUFFIXES
from hrdet.data.errors import Problem, read_lines

_SHOWN = 5  # names in a message


@dataclass(slots=True)
class Pairs:
    """Images and their label maps in the same order; files without a partner are ``problems``."""

    images: FileNames
    maps: FileNames | None  # None: there are no label maps
    problems: list[Problem] = field(default_factory=list)


def pair_up(images: Any, maps: Any, img_suffix: str, seg_map_suffix: str, split: str = '') -> Pairs:
    """Image and label map of one name, which differ in their suffixes.

    Args:
        images: the store of the images.
        maps: the store of the label maps; None: there are none.
        img_suffix: end of the images' names.
        seg_map_suffix: end of the label maps' names.
        split: file that lists the names without suffix; '' takes every image, sorted.
    """
    # 1. Stems of the images: all with the suffix, or those that ``split`` lists.
    problems: list[Problem] = []
    files = images.files()
    known = [name for name in files if name.endswith(img_suffix)]
    stems = [name[: len(name) - len(img_suffix)] for name in known]
    if not known:
        suffixes = _suffixes(files)
        suffixes_there = f'it has {", ".join(suffixes)}' if suffixes else 'it is empty'
        reason = f'no file ends in {img_suffix}, which img_suffix says; {suffixes_there}'
        problems.append(Problem(images.path(''), '', reason, fatal=True))
    elif split:
        stems = _listed(split, problems)
        absent = _missing([stem + img_suffix for stem in stems], set(known))
        twice = any(name.endswith(2 * img_suffix) for name in absent if img_suffix)
        hint = ', where names have no suffix' if twice else ''
        _note(problems, absent, images.path(''), f'named in {split}{hint}: no image', fatal=True)
        left_out = set(absent)
        stems = [stem for stem in stems if stem + img_suffix not in left_out]
    else:
        # Label maps may lie in the folder of the images.
        mixed = maps is not None and maps.path('').startswith(images.path(''))
        no_images = (img_suffix, seg_map_suffix) if mixed else (img_suffix,)
        others = [name for name in files if name.lower().endswith(IMAGE_SUFFIXES)]
        others = [name for name in others if not name.endswith(no_images)]
        where = f'left out: it does not end in {img_suffix}, as img_suffix says'
        _note(problems, others, images.path(''), where, fatal=False)
    if maps is None:
        return Pairs(FileNames(stem + img_suffix for stem in stems), None, problems)
    # 2. Report images without a label map and label maps without an image; keep the pairs.
    at_hand = {name for name in maps.files() if name.endswith(seg_map_suffix)}
    absent = set(_missing([stem + seg_map_suffix for stem in stems], at_hand))
    without_map = [stem + img_suffix for stem in stems if stem + seg_map_suffix in absent]
    where = f'no label map ({seg_map_suffix}) in {maps.path("")}'
    _note(problems, without_map, images.path(''), where, fatal=True)
    if not split:
        lone = sorted(at_hand - {stem + seg_map_suffix for stem in stems})
        _note(problems, lone, maps.path(''), f'no image in {images.path("")}', fatal=False)
    stems = [stem for stem in stems if stem + seg_map_suffix not in absent]
    return Pairs(
        FileNames(stem + img_suffix for stem in stems),
        FileNames(stem + seg_map_suffix for stem in stems),
        problems,
    )


def _listed(split: str, problems: list[Problem]) -> list[str]:
    """The names in a list, one a line, each once."""
    names = [line.strip() for line in read_lines(split, 'split') if line.strip()]
    known = list(dict.fromkeys(names))
    if len(known) < len(names):
        again = len(names) - len(known)
        reason = f'{again} of {len(names)} names are there before: each counts once'
        problems.append(Problem(split, '', reason, fatal=False))
    if not names:
        problems.append(Problem(split, '', 'there is no name in it: write one a line', fatal=True))
    return known


def _missing(names: Sequence[str], known: set[str]) -> list[str]:
    return [name for name in names if name not in known]


def _note(
    problems: list[Problem], names: Sequence[str], folder: str, reason: str, fatal: bool
) -> None:
    if names:
        shown = ', '.join(names[:_SHOWN]) + (', ...' if len(names) > _SHOWN else '')
        problems.append(Problem(folder, '', f'{len(names):,} x {reason}: {shown}', fatal))


def _suffixes(names: Sequence[str]) -> list[str]:
    """The suffixes of some names, the most frequent first."""
    suffixes = [PurePosixPath(name).suffix for name in names]
    return sorted(set(suffixes), key=lambda suffix: -suffixes.count(suffix))[:4]
