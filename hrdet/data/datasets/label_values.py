"""From the values in a label map's file to labels: read, reduced, chosen, checked."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from hrdet.data.datasets import png
from hrdet.data.datasets.headers import check_header, read_header
from hrdet.data.errors import DataError
from hrdet.data.transforms.labels import reduce_zero_label
from hrdet.structures.truth import SEMANTIC_IGNORE

MAX_CLASSES = 254
_LOSSY = ('JPEG', 'JPEG2000', 'WEBP', 'MPO')  # formats, as Pillow calls them
_FOREIGN = 254  # in the table: a value that is neither a class nor ignored


@dataclass(frozen=True, slots=True)
class LabelValues:
    """What the 256 values of a label map mean.

    Args:
        file_classes: the classes in the order of their values in the files.
        classes: those to load, in the order of their labels; the others are ignored.
        zero_ignored: value 0 is ignored, and value k is class k - 1 (``reduce_zero_label``).
        ignore_index: a value that is ignored, beside 255.
    """

    file_classes: Sequence[str]
    classes: Sequence[str]
    zero_ignored: bool = False
    ignore_index: int = SEMANTIC_IGNORE

    def table(self) -> np.ndarray:
        """(256,) uint8: the label of each value, ``SEMANTIC_IGNORE``, or 254 for a foreign one."""
        # From each value to its label; whatever is not set below has no meaning.
        table = np.full(256, _FOREIGN, np.uint8)
        rank = {name: label for label, name in enumerate(self.classes)}
        count = len(self.file_classes)
        table[:count] = [rank.get(name, SEMANTIC_IGNORE) for name in self.file_classes]
        if self.zero_ignored:  # value k means class k - 1
            table = table[reduce_zero_label(np.arange(256, dtype=np.uint8))]
            table[0] = SEMANTIC_IGNORE
        table[[self.ignore_index, SEMANTIC_IGNORE]] = SEMANTIC_IGNORE
        return table

    def foreign(self, values: np.ndarray) -> np.ndarray:
        """Of the values (v,) those that are neither a class nor ignored."""
        return values[self.table()[values] == _FOREIGN]

    def why_foreign(self, value: int, pixels: int, origin: str) -> str:
        """One line about a foreign value: what is allowed, and the cure."""
        # With zero_ignored the values of classes are 1..K, otherwise 0..K-1.
        count, first = len(self.file_classes), int(self.zero_ignored)
        cures = ['name every class in classes']
        follows = not self.zero_ignored and value == count
        if follows:
            cures.append('set reduce_zero_label=True if 0 means no class')
        cures.append(f'set ignore_index={value} if these pixels have none')
        if follows:
            cures[-1] += " (with --data: add the line 'unlabelled' to classes.txt)"
        return (
            f'label {value} in {origin} ({pixels:,} pixels), but {count} classes end at '
            f'{count - 1 + first}; {", or ".join(cures)}'
        )


class LabelReader:
    """Reads label maps and translates their values, refusing any that mean nothing."""

    def __init__(self, values: LabelValues):
        self.values = values
        self._table = values.table()
        # Where nothing is translated, a look at the range of the values is enough.
        count = len(values.file_classes)
        plain = np.full(256, _FOREIGN, np.uint8)
        plain[:count], plain[SEMANTIC_IGNORE] = np.arange(count), SEMANTIC_IGNORE
        self._untranslated = np.array_equal(self._table, plain)

    def read(self, store: Any, name: str) -> np.ndarray:
        """Labels (h, w) uint8 of a file.

        Raises:
            DataError: it cannot be read, is not a label map, or has a foreign value.
        """
        return self.translate(read_values(store, name), store.path(name))

    def translate(self, raw: np.ndarray, origin: str) -> np.ndarray:
        """Labels (h, w) of values (h, w); ``origin`` names their file."""
        # Foreign pixels (h, w): non-zero where a value has no meaning.
        if self._untranslated:
            count = len(self.values.file_classes)
            labels, foreign = raw, cv2.inRange(raw, count, SEMANTIC_IGNORE - 1)
        else:
            labels = cv2.LUT(raw, self._table)
            foreign = cv2.inRange(labels, _FOREIGN, _FOREIGN)
        if cv2.countNonZero(foreign):
            values, counts = np.unique(raw[foreign > 0], return_counts=True)
            raise DataError(self.values.why_foreign(int(values[0]), int(counts[0]), origin))
        return labels


def read_values(store: Any, name: str) -> np.ndarray:
    """The values (h, w) uint8 in a file; a palette's colours are left aside.

    Raises:
        DataError: the file cannot be read, or is a picture of colours.
    """
    # Ordinary PNGs by hrdet's decoder, all others by Pillow, which keeps palette indices.
    origin, data = store.path(name), store.read(name)
    header = read_header(data)
    check_header(header, origin)
    if header is not None and header.more_frames:
        raise DataError(
            f'{origin}: a label map of several frames or pages: save the one that is meant as a PNG'
        )
    values = png.decode_indices(data)
    if values is None:
        values = _decode_by_pillow(data, origin)
    whole = values.dtype.kind in 'bu' or bool((values == np.floor(values)).all())
    if values.ndim != 2 or not whole or values.min(initial=0) < 0 or values.max(initial=0) > 255:
        raise DataError(
            f'{origin}: a label map has one number a pixel, 0 to 255, as a grey or palette PNG; '
            f'this is a picture of shape {values.shape} and type {values.dtype}, from '
            f'{values.min(initial=0)} to {values.max(initial=0)}. '
            f'hrdet convert makes label maps of the known data sets'
        )
    return values.astype(np.uint8, copy=False)


def _decode_by_pillow(data: bytes, origin: str) -> np.ndarray:
    """The numbers in a file, of a palette the indices."""
    from PIL import Image  # slow to import

    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.format in _LOSSY:
                raise DataError(
                    f'{origin}: a {picture.format} file: its compression changes the values of '
                    f'pixels, and with them the classes. Make the label maps anew as PNG'
                )
            values = np.asarray(picture)
            # Pillow spreads grey of 2 and 4 bits over 0 to 255, as for a picture.
            depth = data[24] if data.startswith(png.SIGNATURE) else 8
            spread = 255 // (2**depth - 1) if depth in (2, 4) and data[25] == png.GREY else 1
            return values // spread if spread > 1 else values
    except Image.UnidentifiedImageError:
        raise DataError(f'{origin}: not an image; a label map is a PNG file') from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f'{origin}: not a label map that can be read ({error})') from error
