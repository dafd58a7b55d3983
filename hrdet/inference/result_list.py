"""The results of several images as one list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, overload

import numpy as np

from hrdet.inference.image_result import ImageResult, as_png, optional, show_picture
from hrdet.structures.result_files import write_plain

if TYPE_CHECKING:
    from pandas import DataFrame

R = TypeVar('R', bound=ImageResult)


class Results(list[R]):
    """The results of several images: a list, which can be drawn, written and tabulated whole."""

    @overload
    def __getitem__(self, index: SupportsIndex) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> Results[R]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> R | Results[R]:
        if isinstance(index, slice):
            return Results(super().__getitem__(index))
        return super().__getitem__(index)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the labels 0..K-1."""
        return self[0].names if self else ()

    def plot(self, limit: int = 12, **options: Any) -> np.ndarray:
        """A sheet (H, W, 3) uint8 BGR of the first ``limit`` images with their results.

        ``options`` are those of ``hrdet.visualize.contact_sheet`` and of its ``Style``.
        """
        from hrdet.visualize import Pair, contact_sheet, with_style

        pairs = [Pair(Path(r.path).name, r.image, r.drawn(), None) for r in self[:limit]]
        palette = self[0].origin.palette if self else None
        options = {'classes': self.names, 'palette': palette} | options
        return contact_sheet(pairs, **with_style(options))

    def show(self, **options: Any) -> None:
        """Show the sheet in the notebook, else in the viewer of the system."""
        show_picture(self.plot(**options))

    def save(self, folder: str | Path, **options: Any) -> None:
        """Write a picture of every image, and ``results.json``, which ``to_coco`` returns."""
        folder = Path(folder)
        taken: set[str] = set()
        for index, result in enumerate(self):
            name = Path(result.path).stem
            name = f'{name}_{index}' if name in taken else name
            taken.add(name)
            result.save(folder / f'{name}.jpg', **options)
        write_plain(folder / 'results.json', self.to_coco())

    def to_coco(self) -> list[dict[str, Any]]:
        """COCO results of all images; ``image_id`` is the place in the list, from 0."""
        return [entry for index, result in enumerate(self) for entry in result.to_coco(index)]

    def to_dataframe(self) -> DataFrame:
        """The rows of all images, the image in the first column (needs pandas)."""
        columns = list(self[0].columns()) if self else []
        rows = [(result.path, *row) for result in self for row in result.rows()]
        return optional('pandas').DataFrame(rows, columns=['image', *columns])

    def to_supervision(self) -> list[Any]:
        """``to_supervision`` of each image."""
        return [result.to_supervision() for result in self]

    def _repr_png_(self) -> bytes | None:
        kept = self and all(result.origin.source is not None for result in self)
        return as_png(self.plot()) if kept else None
