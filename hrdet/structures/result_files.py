"""Files of results for images that belong to no data set (``tools/infer.py``)."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class ResultFile(ABC):
    """Results of one run over images, in a folder; ``name`` says what will be in it."""

    name: str

    @abstractmethod
    def add(self, file: str, size: tuple[int, int], result: Any) -> None:
        """Take the result for an image file of ``size`` (h, w)."""

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

    def add(self, file: str, size: tuple[int, int], result: Any) -> None:
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
