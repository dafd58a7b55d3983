"""What every result of a user's image can do: pictures, files, tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hrdet.data.inputs import Image, read_image
from hrdet.structures.result_files import RGB, write_plain

if TYPE_CHECKING:
    from pandas import DataFrame

_SHOWN = 1024  # pixels of the longer edge of pictures that notebooks show by themselves


class Origin(NamedTuple):
    """What a result is of: an image, and the classes of a model."""

    name: str  # of the image's file, or images[3] of a list of other images
    source: Image | None  # the image as it was given; None: not kept
    names: tuple[str, ...]  # of the labels 0..K-1
    palette: Sequence[RGB] | None = None  # colours of the labels


class ImageResult:
    """What every result of ``inference_*`` can do, whatever its task."""

    __slots__ = ()

    origin: Origin

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the labels 0..K-1."""
        return self.origin.names

    @property
    def path(self) -> str:
        """The name of the image's file, or ``images[3]`` of a list of other images."""
        return self.origin.name

    @property
    def image(self) -> np.ndarray:
        """The image (h, w, 3) uint8 BGR, read again if it is a file.

        Raises:
            ValueError: images of a generator are not kept.
        """
        if self.origin.source is None:
            raise ValueError(
                f'{self.path}: images of a generator are not kept; give the image, as in '
                f'plot(image=image), or predict a list'
            )
        return read_image(self.origin.source, self.path)

    def plot(self, image: np.ndarray | None = None, **options: Any) -> np.ndarray:
        """The picture (H, W, 3) uint8 BGR.

        ``options`` are those of ``hrdet.visualize.draw`` and of its ``Style``.
        """
        from hrdet.visualize import draw, with_style  # slow to import

        image = self.image if image is None else image
        options = {'classes': self.names, 'palette': self.origin.palette} | options
        return draw(image, self.drawn(), **with_style(options))

    def show(self, **options: Any) -> None:
        """Show the picture in the notebook, else in the viewer of the system."""
        show_picture(self.plot(**options))

    def save(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Write the picture (.jpg, .png, ...), or what ``to_coco`` returns (.json)."""
        path = Path(path)
        if path.suffix.lower() == '.json':
            write_plain(path, self.to_coco(**options))
            return
        from hrdet.visualize.draw import write_image

        write_image(path, self.plot(**options))

    def to_coco(self, image_id: int | str = 0) -> list[dict[str, Any]]:
        """COCO results: dicts of image_id, category_id and what else the task has."""
        raise NotImplementedError

    def to_dataframe(self) -> DataFrame:
        """A row for each object or class (needs pandas)."""
        return optional('pandas').DataFrame(list(self.rows()), columns=list(self.columns()))

    def to_supervision(self) -> Any:
        """The result as the library supervision has it (needs supervision)."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f'<{type(self).__name__} {self.path}: {self._summary()}>'

    def _repr_png_(self) -> bytes | None:
        if self.origin.source is None:
            return None
        image = self.image
        longest = max(image.shape)
        return as_png(self.plot(image, long_side=_SHOWN if longest > _SHOWN else None))

    def drawn(self) -> Any:
        """What ``hrdet.visualize`` draws."""
        return self

    def columns(self) -> Sequence[str]:
        """The columns of ``to_dataframe``."""
        raise NotImplementedError

    def rows(self) -> Iterable[Sequence[Any]]:
        """The rows of ``to_dataframe``."""
        raise NotImplementedError

    def _summary(self) -> str:
        raise NotImplementedError


def show_picture(picture: np.ndarray) -> None:
    """Show a picture (H, W, 3) uint8 BGR in the notebook, else in the viewer of the system."""
    shell = 'IPython' in sys.modules and sys.modules['IPython'].get_ipython()
    if hasattr(shell, 'kernel'):
        from IPython.display import Image as Shown
        from IPython.display import display

        display(Shown(as_png(picture)))
        return
    from PIL import Image as PillowImage

    PillowImage.fromarray(np.ascontiguousarray(picture[..., ::-1])).show()


def as_png(picture: np.ndarray) -> bytes:
    """A picture (H, W, 3) uint8 BGR as a PNG file."""
    import cv2

    return cv2.imencode('.png', picture)[1].tobytes()


def optional(module: str) -> Any:
    """A module that hrdet does not install.

    Raises:
        ImportError: with the command that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(f'{error}; pip install {module}') from error
