"""What the values of all label maps of a data set tell."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hrdet.data.datasets.inspection import Findings
from hrdet.data.errors import Problem
from hrdet.messages import plural
from hrdet.structures.truth import SEMANTIC_IGNORE

if TYPE_CHECKING:
    from hrdet.data.datasets.label_maps import LabelMapDataset


def pixels_of(findings: Sequence[Findings]) -> np.ndarray:
    """(256,) the pixels of each value in the files."""
    pixels = np.zeros(256, np.int64)
    for one in findings:
        for value, count in one.values.items():
            pixels[value] += count
    return pixels


def doubts(
    dataset: 'LabelMapDataset', folder: str, findings: Sequence[Findings], whole: bool
) -> list[Problem]:
    """Reasons to doubt the label maps in a folder, and an error if no pixel has a class.

    Classes and maps without a pixel are named only of ``whole`` data sets.
    """
    pixels, values = pixels_of(findings), dataset.reader.values
    if not pixels.any():
        return []
    # 1. The second class written as 255.
    present, names = np.flatnonzero(pixels), values.file_classes
    if present.tolist() == [0, SEMANTIC_IGNORE] and not values.zero_ignored and names[1:]:
        reason = (
            f'the label maps hold 0 and 255 only: 255 is ignored, and your second class '
            f'{names[1]!r} is empty; if 255 means {names[1]!r}, write 1 instead'
        )
        return [Problem(folder, '', reason, fatal=False)]
    # 2. Nothing to learn.
    shares = _shares(dataset, pixels)
    absent = [name for name, share in zip(dataset.classes, shares) if share == 0]
    if len(absent) == len(dataset.classes):
        reason = f'no pixel has a class: the label maps hold {", ".join(map(str, present[:10]))}'
        if values.zero_ignored and present[0] == 0:
            reason = f'{reason}, and reduce_zero_label ignores 0'
        first = int(values.zero_ignored)
        reason = (
            f'{reason}. Write the number of its class into each pixel, {first} to '
            f'{len(names) - 1 + first}, or name another ann_dir'
        )
        return [Problem(folder, '', reason, fatal=whole)]
    if not whole:
        return []
    # 3. Classes, and maps, without a pixel.
    problems = []
    if absent:
        listed = ', '.join(absent[:5]) + (', ...' if len(absent) > 5 else '')
        reason = f'{plural(len(absent), "class", "classes")} without a pixel: {listed}'
        problems.append(Problem(folder, '', reason, fatal=False))
    ignored = set(np.flatnonzero(values.table() == SEMANTIC_IGNORE).tolist())
    empty = [i for i, one in enumerate(findings) if one.values and not one.values.keys() - ignored]
    if empty:
        reason = (
            f'{len(empty)} of {plural(len(findings), "label map")} have no pixel of a class, such '
            f'as {dataset.map_path(empty[0])}: nothing is learned from them'
        )
        problems.append(Problem(folder, '', reason, fatal=False))
    return problems


def shares_text(dataset: 'LabelMapDataset', pixels: np.ndarray) -> str:
    """The values, and the share of each class in the pixels that are not ignored, in words."""
    if not pixels.any():
        return ''
    ignored = pixels[dataset.reader.values.table() == SEMANTIC_IGNORE].sum() / pixels.sum()
    values = ', '.join(map(str, np.flatnonzero(pixels)))
    shares = zip(dataset.classes, _shares(dataset, pixels))
    by_class = ', '.join(f'{name} {share:.2%}' for name, share in shares)
    return f'; values {values}; by class: {by_class}; {ignored:.2%} of all ignored'


def _shares(dataset: 'LabelMapDataset', pixels: np.ndarray) -> np.ndarray:
    """(K,) the share of each class in the pixels that are not ignored."""
    # Pixels of each class (K,): several values of the files may mean one class.
    table = dataset.reader.values.table()
    counts = np.array([pixels[table == k].sum() for k in range(len(dataset.classes))])
    return counts / max(counts.sum(), 1)
