"""Files of results for images that belong to no data set (``tools/infer.py``)."""

import colorsys
import json
import os
import pickle
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

RGB = tuple[int, int, int]  # 0..255


class ResultFile(ABC):
    """Results of one run over images, in a folder; ``name`` says what will be in it."""

    name: str

    @abstractmethod
    def add(self, title: str, file: str, size: tuple[int, int], result: Any) -> None:
        """Take the result for an image file of ``size`` (h, w).

        ``title`` is unique in the folder: a relative path without suffix.
        """

    @abstractmethod
    def close(self) -> None:
        """Finish; everything is in the folder afterwards."""


class DetectionsFile(ResultFile):
    """Detections in COCO's format: images, categories, and an annotation for each object."""

    name = 'detections.json'

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        self.path = folder / self.name
        categories = [{'id': label + 1, 'name': name} for label, name in enumerate(classes)]
        self.content = {'images': [], 'categories': categories, 'annotations': []}

    def add(self, title: str, file: str, size: tuple[int, int], result: Any) -> None:
        images, annotations = self.content['images'], self.content['annotations']
        image_id = len(images) + 1
        images.append({'id': image_id, 'file_name': file, 'height': size[0], 'width': size[1]})
        for entry in result.to_coco(image_id):
            _, _, width, height = entry['bbox']
            number = len(annotations) + 1
            annotations.append({'id': number, **entry, 'area': width * height, 'iscrowd': 0})

    def close(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.content))


class ScoresFile(ResultFile):
    """A JSON list: of each image its path, the most probable class, and the five best."""

    name = 'predictions.json'

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        self.path, self.classes = folder / self.name, classes
        self.content: list[dict[str, Any]] = []

    def add(self, title: str, file: str, size: tuple[int, int], result: Any) -> None:
        self.content.append({'path': file, **prediction(result.top(5), self.classes)})

    def close(self) -> None:
        write_plain(self.path, self.content)


class LabelMapsFile(ResultFile):
    """A palette PNG of each image, and ``classes.txt``: the names of labels 0..K-1, one a line."""

    name = 'label_maps/'

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        self.folder, self.classes = folder / self.name, classes

    def add(self, title: str, file: str, size: tuple[int, int], result: Any) -> None:
        write_label_map(self.folder / f'{title}.png', result.labels, result.palette)

    def close(self) -> None:
        text = ''.join(f'{name}\n' for name in self.classes)
        (self.folder / 'classes.txt').write_text(text, encoding='utf-8')


def prediction(best: Sequence[tuple[int, float]], classes: Sequence[str]) -> dict[str, Any]:
    """The classes with the highest scores, pairs of label and score, under the names of files."""
    label, score = best[0]
    top = [{'label': k, 'class': classes[k], 'score': value} for k, value in best]
    return dict(pred_label=label, pred_class=classes[label], pred_score=score, top5=top)


def write_plain(path: str | os.PathLike, content: Any) -> None:
    """Write lists, dicts, numbers and strings as .json or .pkl, making the folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == '.pkl':
        path.write_bytes(pickle.dumps(content, protocol=4))
    else:
        path.write_text(json.dumps(content, indent=1))


def write_label_map(path: Path, labels: np.ndarray, palette: Sequence[RGB] | None = None) -> None:
    """Write labels (h, w) uint8 as a PNG of these numbers; a palette colours it for viewers."""
    from PIL import Image  # slow to import

    colours = palette or [class_colour(label) for label in range(256)]
    picture = Image.fromarray(np.ascontiguousarray(labels, np.uint8))
    # All 256 colours: with fewer Pillow would pack several labels into a byte.
    rows = np.zeros((256, 3), np.uint8)
    rows[: len(colours)] = colours
    picture.putpalette(rows.tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def class_colour(label: int) -> RGB:
    """A colour for a class: neighbouring labels are far apart in hue, later rounds differ in tone.

    Hues advance by the golden ratio, which spreads any number of them evenly.
    """
    # Tone changes every seven labels.
    hue = (0.02 + label * 0.61803398875) % 1
    saturation, value = ((0.85, 0.95), (0.6, 1.0), (0.9, 0.75))[label // 7 % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)
