"""What the values of all label maps of a data set tell."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hrdet.data.datasets.inspection import Findings
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


def why_doubtful(dataset: 'LabelMapDataset', pixels: np.ndarray, whole: bool) -> str:
    """A reason to doubt label maps of these values, or ''.

    Classes without a pixel are one only of ``whole`` data sets.
    """
    if not pixels.any():
        return ''
    present, values = np.flatnonzero(pixels), dataset.reader.values
    shares = _shares(dataset, pixels)
    absent = [name for name, share in zip(dataset.classes, shares) if share == 0]
    names = values.file_classes
    if present.tolist() == [0, SEMANTIC_IGNORE] and not values.zero_ignored and names[1:]:
        return (
            f'the label maps hold 0 and 255 only: 255 is ignored, and your second class '
            f'{names[1]!r} is empty; if 255 means {names[1]!r}, write 1 instead'
        )
    if len(absent) == len(dataset.classes):
        listed = ', '.join(map(str, present[:10]))
        reason = f'no pixel has a class: the label maps hold {listed}'
        zero_ignored = values.zero_ignored and present[0] == 0
        return f'{reason}, and reduce_zero_label ignores 0' if zero_ignored else reason
    if absent and whole:
        listed = ', '.join(absent[:5]) + (', ...' if len(absent) > 5 else '')
        return f'{plural(len(absent), "class", "classes")} without a pixel: {listed}'
    return ''


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
