"""What ``tools/infer.py`` leaves: pictures, videos, files of results, YOLO labels, crops."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hrdet.inference.sources import Frame
from hrdet.messages import plural
from hrdet.models.base import BaseModel
from hrdet.registry import ConfigError
from hrdet.structures import Detections
from hrdet.visualize.draw import DEFAULT_STYLE, Style, draw, write_image


@dataclass(slots=True)
class OutputOptions:
    """What is written besides the file of all results."""

    pictures: bool = True  # annotated images, and a video of annotated frames
    yolo: bool = False  # labels/NAME.txt
    crops: bool = False  # crops/CLASS/NAME_INDEX.jpg
    score_thr: float = 0.3  # of what is drawn, cut out, and written as YOLO labels


class Outputs:
    """Writes the results of a run into a folder, one by one.

    Args:
        folder: is made with the first result.
        model: whose results they are; it knows names and colours of its classes.
        options: what to write.
        style: of the pictures; objects that it does not show are not cut out or written as YOLO
            labels either.

    Raises:
        ConfigError: YOLO labels or crops of something else than detections.
    """

    def __init__(
        self, folder: Path, model: BaseModel, options: OutputOptions, style: Style = DEFAULT_STYLE
    ) -> None:
        if (options.yolo or options.crops) and model.task != 'detection':
            raise ConfigError(f'--save-txt and --save-crops are for detectors, not {model.task}')
        self.folder, self.classes, self.options = folder, model.classes or (), options
        self.drawing: dict[str, Any] = dict(classes=self.classes, palette=model.palette)
        self.drawing |= dict(score_thr=options.score_thr, style=style)
        self.shown = style.shown
        self.count = self.pictures = self.crops = 0
        self.objects: int | None = None  # of detections: that pictures show
        self.videos: dict[str, _VideoFile] = {}
        self.file: Any = None  # a ResultFile, opened with the first result

    def add(self, frame: Frame, result: Any) -> None:
        """Take the result of one image or frame."""
        self.file = self.file or result.open_file(self.folder, self.classes)
        self.file.add(frame.title, frame.name, frame.pixels.shape[:2], result)
        if self.options.pictures:
            self._draw(frame, result)
        if self.options.yolo:
            self._write_yolo(frame, result)
        if self.options.crops:
            self._write_crops(frame, result)
        if isinstance(result, Detections):
            self.objects = (self.objects or 0) + len(self._chosen(result))
        self.count += 1

    def close(self) -> None:
        """Finish all files."""
        for video in self.videos.values():
            video.close()
        if self.file is not None:
            self.file.close()

    def summary(self) -> str:
        """What was written, for the last line of a run."""
        written = [plural(self.pictures, 'picture')] if self.pictures else []
        written += [video.path.name for video in self.videos.values()]
        written += [self.file.name] if self.file is not None else []
        written += ['labels/'] if self.options.yolo else []
        written += [plural(self.crops, 'crop')] if self.options.crops else []
        *others, last = written
        text = f'{", ".join(others)} and {last}' if others else last
        if self.objects is None:
            return f'{text} in {self.folder}'
        shown = f'{plural(self.objects, "object")} of score {self.options.score_thr:g} or more'
        return f'{text} in {self.folder}; {shown}'

    def _draw(self, frame: Frame, result: Any) -> None:
        picture = draw(frame.pixels, result, **self.drawing)
        if frame.clip is None:
            write_image(self.folder / f'{frame.title}.jpg', picture)
            self.pictures += 1
            return
        title, rate = frame.clip
        if title not in self.videos:
            path = self.folder / f'{title}.mp4'
            self.videos[title] = _VideoFile(path, rate, picture.shape[:2])
        self.videos[title].write(picture)

    def _chosen(self, result: Detections) -> Detections:
        found = result.above(self.options.score_thr)
        return found if self.shown is None else found[np.isin(found.labels, list(self.shown))]

    def _write_yolo(self, frame: Frame, result: Detections) -> None:
        """A line an object: class, centre and size as shares of the image, score."""
        height, width = frame.pixels.shape[:2]
        lines = []
        for found in self._chosen(result):
            x1, y1, x2, y2 = found.box.tolist()
            centre = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height
            values = *centre, (x2 - x1) / width, (y2 - y1) / height, found.score
            lines.append(' '.join([str(found.label), *(f'{value:.6f}' for value in values)]))
        path = self.folder / 'labels' / f'{frame.title}.txt'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8')

    def _write_crops(self, frame: Frame, result: Detections) -> None:
        height, width = frame.pixels.shape[:2]
        for index, found in enumerate(self._chosen(result)):
            # Whole pixels that the box touches.
            x1, y1 = np.floor(found.box[:2]).clip(0).astype(int)
            x2, y2 = np.ceil(found.box[2:]).clip(max=(width, height)).astype(int)
            if x2 > x1 and y2 > y1:
                name = self.classes[found.label].replace('/', '_')
                path = self.folder / 'crops' / name / f'{frame.title}_{index}.jpg'
                write_image(path, frame.pixels[y1:y2, x1:x2])
                self.crops += 1


class _VideoFile:
    """An .mp4 file of pictures; each is fitted to the size (h, w) of the first."""

    def __init__(self, path: Path, rate: float, size: tuple[int, int]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.size = path, size
        codec = cv2.VideoWriter.fourcc(*'mp4v')
        self.writer = cv2.VideoWriter(str(path), codec, rate, size[::-1])
        if not self.writer.isOpened():
            raise OSError(f'{path}: OpenCV cannot write a video here')

    def write(self, picture: np.ndarray) -> None:
        # A legend below a label map is as high as its classes need.
        canvas = np.full((*self.size, 3), 255, np.uint8)
        height, width = np.minimum(picture.shape[:2], self.size)
        canvas[:height, :width] = picture[:height, :width]
        self.writer.write(canvas)

    def close(self) -> None:
        self.writer.release()
