"""The user's data: boxes, label maps or classes, in parts for training and validation."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hrdet.data import DataError
from hrdet.data.datasets.headers import read_header
from hrdet.json_files import read_bytes
from hrdet.messages import plural

VALIDATION = 0.2  # of the images, where a data set has one part only
SEED = 0  # of that split
_LOOKED_AT = 200  # images whose sizes are read


@dataclass(slots=True)
class Part:
    """The images of one part."""

    dataset: dict[str, Any]  # type and arguments, without transforms
    files: list[str]  # paths of the images, for messages and comparison


@dataclass(slots=True)
class OwnData:
    """A data set of the user's own."""

    name: str
    task: str  # 'boxes', 'label maps' or 'classes': which evaluator it needs
    classes: tuple[str, ...]
    size: tuple[int, int]  # (h, w) of a typical image
    train: Part
    val: Part
    test: Part | None = None
    unmasked: int = 0  # objects without a mask
    notes: list[str] = field(default_factory=list)  # one line each


def train_val_split(count: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the training and the validation images of a data set without parts, sorted."""
    if count < 2:
        raise DataError(
            f'{name}: {plural(count, "image")}; training and validation take 2 at least'
        )
    order = np.random.default_rng(SEED).permutation(count)
    held_out = max(1, round(VALIDATION * count))
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def split_note(train: int, val: int) -> str:
    """A line about what ``train_val_split`` did."""
    return (
        f'there is no part for validation: {plural(val, "image")} of {train + val} drawn for it '
        f'(seed {SEED})'
    )


def typical_size(paths: Sequence[str]) -> tuple[int, int]:
    """The median (h, w) of some of the images, in the orientation that most of them have."""
    # Evenly spread over the data: to read the headers of all images may take minutes.
    step = max(1, len(paths) // _LOOKED_AT)
    sizes = []
    for path in paths[::step]:
        try:
            header = read_header(read_bytes(path))
        except OSError as error:
            raise DataError(f'{path}: {error.strerror}') from error
        if header is not None:
            sizes.append((header.height, header.width))
    if not sizes:
        raise DataError(f'{paths[0]}: not an image')
    return median_size(np.array(sizes))


def median_size(sizes: np.ndarray) -> tuple[int, int]:
    """The median edges of sizes (n, 2), in the orientation that most of them have."""
    short, long = int(np.median(sizes.min(axis=1))), int(np.median(sizes.max(axis=1)))
    upright = (sizes[:, 0] > sizes[:, 1]).mean() > 0.5
    return (long, short) if upright else (short, long)
