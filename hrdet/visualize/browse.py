"""A page to look through data sets: their images with their labels, doubtful ones first."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hrdet.data import ImageDataset
from hrdet.data.errors import Problem
from hrdet.visualize.draw import describe, draw, write_image
from hrdet.visualize.report_page import PAGE

_TILE = 400  # pixels of an image's long side on the page


def write_browser(
    sets: Mapping[str, ImageDataset],
    problems: Sequence[Problem],
    folder: Path,
    limit: int = 500,
) -> Path:
    """Draw images of data sets with their labels; returns the page that shows them.

    Args:
        sets: data sets by the name of their part, such as 'train'.
        problems: of all of them; images that these name come first, with the reason.
        folder: where ``index.html`` and its pictures go.
        limit: images of each data set: all doubtful ones, then others spread over the set.
    """
    texts = [str(problem) for problem in problems]
    images = []
    for part, dataset in sets.items():
        # The problems of each image that some name, then others up to the limit.
        names = [Path(dataset.path(index)).name for index in range(len(dataset))]
        found = {i: [t for t in texts if _names(t, name)] for i, name in enumerate(names)}
        doubtful = {index: told for index, told in found.items() if told}
        images += [
            _image(part, dataset, index, folder, doubtful.get(index, ()))
            for index in _chosen(len(dataset), doubtful, limit)
        ]
    images = [image for image in images if image is not None]
    images.sort(key=lambda image: image['score'])
    content = dict(
        title=', '.join(f'{part}: {len(dataset):,} images' for part, dataset in sets.items()),
        about=f'{len(images):,} of them with their labels; doubtful images first',
        heading='Images',
        kind='part',
        metrics=[],
        sections=[],
        classes=list(dict.fromkeys(name for one in sets.values() for name in one.classes)),
        outcomes=list(sets),
        images=images,
    )
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / 'index.html'
    text = json.dumps(content, allow_nan=False).replace('</', '<\\/')
    page.write_text(PAGE.replace('{{data}}', text), 'utf-8')
    return page


def _names(text: str, file: str) -> bool:
    """Whether a problem is about a file, not about ``11.jpg`` where ``1.jpg`` is asked for."""
    return file in text and re.search(rf'(?<![\w.-]){re.escape(file)}', text) is not None


def _chosen(count: int, doubtful: Iterable[int], limit: int) -> list[int]:
    """Doubtful indices, and others at equal distances up to the limit."""
    first = list(doubtful)
    others = np.setdiff1d(np.arange(count), first)
    spread = np.linspace(0, len(others) - 1, min(len(others), max(0, limit - len(first))))
    return first + others[spread.round().astype(int)].tolist()


def _image(
    part: str,
    dataset: ImageDataset,
    index: int,
    folder: Path,
    told: Sequence[str],
) -> dict[str, Any] | None:
    """The entry of the page and its picture; None where the image cannot be read."""
    path = Path(dataset.path(index))
    try:
        image, truth = dataset.image(index), dataset.truth(index)
        picture = draw(image, truth, dataset.classes, 0, _TILE, dataset.palette)
    except Exception:  # the check has told why
        return None
    name = f'images/{part}_{index:06d}_{path.stem}.jpg'
    write_image(folder / name, picture)
    labels = np.unique(dataset.labels_of(index)).tolist()
    height, width = picture.shape[:2]
    return dict(
        file=name,
        full=None,
        title=f'{part} {path.name}',
        text='; '.join([describe(truth, 0), *told]),
        score=0.0 if told else 1.0,
        outcomes=[[label, part, 1.0] for label in labels] or [[-1, part, 1.0]],
        width=width,
        height=height,
    )
