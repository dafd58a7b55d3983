"""Write label maps in the format of the data sets' evaluation servers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hrdet.data.datasets.palettes import SEGMENTATION_SOURCES
from hrdet.data.errors import DataError
from hrdet.structures import ImageMeta


class ServerFiles:
    """A consumer of predictions: grey PNGs with the names of the images, in one folder.

    Args:
        folder: is made.
        values: (K,) what stands for each class in the files.
    """

    def __init__(self, folder: str, values: Sequence[int]) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._table = np.zeros(256, np.uint8)
        self._table[: len(values)] = values

    def update(self, meta: ImageMeta, result: Any) -> None:
        """Write the label map of one image."""
        path = self.folder / f'{Path(meta.path).stem}.png'
        encoded = cv2.imencode('.png', self._table[result.numpy().labels])[1]
        path.write_bytes(encoded.tobytes())


def none_for(dataset: Any) -> DataError:
    """The error for a data set without a server, or whose server's form is not known here."""
    known = ', '.join(row.type for row in SEGMENTATION_SOURCES.values() if row.server_values)
    return DataError(
        f"--format-only: no evaluation server's form is known for {type(dataset).__name__}, only "
        f'for {known}; without it --out writes the results in a form of their own'
    )
