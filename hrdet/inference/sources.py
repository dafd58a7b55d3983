"""What ``tools/infer.py`` predicts: image files, folders, patterns, addresses, videos, cameras."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from hrdet.data.datasets.stored import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from hrdet.data.errors import DataError
from hrdet.data.inputs import image_files, is_address, read_image

STREAM_SUFFIXES = ('.m3u8', '.mpd', '.sdp', *VIDEO_SUFFIXES)  # of addresses that are no image


class Clip(NamedTuple):
    """What the annotated frames of a video become."""

    title: str  # of the file, as of a ``Frame``
    rate: float  # frames a second


class Frame(NamedTuple):
    """One image to predict."""

    title: str  # of its result: a relative path without suffix, unique in the run
    name: str  # in files of results: the file's path; of a video with ``#`` and the frame's number
    pixels: np.ndarray  # (h, w, 3) uint8 BGR
    clip: Clip | None = None  # the video that it is of


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file, or the address of one."""

    title: str
    name: str

    def count(self) -> int:
        """One image."""
        return 1

    def frames(self) -> Iterator[Frame]:
        """The image.

        Raises:
            DataError: it cannot be read.
        """
        yield Frame(self.title, self.name, read_image(self.name))


@dataclass(frozen=True, slots=True)
class Video:
    """A video file, a stream, or a camera by its number."""

    title: str
    name: str

    def count(self) -> int | None:
        """The number of frames that a file states; None where there is no such number."""
        if _is_live(self.name):
            return None
        capture = cv2.VideoCapture(self.name)
        return max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def frames(self) -> Iterator[Frame]:
        """Its frames, numbered from 0.

        Raises:
            DataError: it cannot be opened, or ends early.
        """
        # 1. Open it.
        camera = _is_live(self.name) and self.name.isdecimal()
        capture = cv2.VideoCapture(int(self.name) if camera else self.name)
        if not capture.isOpened():
            what = 'there is no such camera' if camera else 'OpenCV cannot read it as a video'
            raise DataError(f'{self.name}: {what}')
        # 2. Frames, as long as there are any.
        rate = capture.get(cv2.CAP_PROP_FPS)
        clip = Clip(self.title, rate if 1 <= rate <= 1000 else 25.0)
        number = 0
        try:
            while (grabbed := capture.read())[0]:
                title, name = f'{self.title}_{number:06d}', f'{self.name}#{number}'
                yield Frame(title, name, grabbed[1], clip)
                number += 1
        finally:
            capture.release()
        # 3. The number that a file states may be off by a few frames.
        total = self.count()
        if number == 0 or (total is not None and number < 0.9 * total):
            raise DataError(f'{self.name}: the video ends after {number} of {total or "?"} frames')


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Within the block OpenCV and FFmpeg print no lines of their own about unreadable videos."""
    os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def find_sources(inputs: Sequence[str], out_dir: str | Path) -> list[ImageFile | Video]:
    """What the inputs name, in order, each file once, without earlier results in ``out_dir``.

    Raises:
        FileNotFoundError: an input names nothing; or no file begins as an image does.
    """
    # 1. Sources by their file, with the title that each would like to have.
    wanted: dict[str, tuple[type[ImageFile] | type[Video], str]] = {}
    skipped = False
    for text in inputs:
        for name, kind, title in _named_by(text):
            if not _is_live(name) and Path(out_dir).resolve() in Path(name).resolve().parents:
                skipped = True
            else:
                wanted.setdefault(name, (kind, title))
    # 2. Titles that no other source has.
    sources: dict[str, ImageFile | Video] = {}
    for name, (kind, wish) in wanted.items():
        title, number = wish, 1
        while title in sources:
            number += 1
            title = f'{wish}_{number}'
        sources[title] = kind(title, name)
    # 3. Files that are no images at all are a mistake in the command, not a bad file among others.
    if not any(_may_be_read(source) for source in sources.values()):
        reason = 'only earlier results in it' if skipped else 'none of these files is an image'
        raise FileNotFoundError(f'{", ".join(inputs)}: {reason}')
    return list(sources.values())


def _named_by(text: str) -> Iterator[tuple[str, type[ImageFile] | type[Video], str]]:
    """Name, kind and wished title of everything that an input names."""
    path, suffix = Path(text), Path(text.partition('?')[0]).suffix.lower()
    # A camera by its number, an address, a file; else a folder or a pattern of names.
    if text.isdecimal() and not path.exists():
        yield text, Video, f'camera_{text}'
    elif _is_live(text):
        image = is_address(text) and suffix not in STREAM_SUFFIXES
        title = Path(text.partition('?')[0]).stem or 'stream'
        yield text, ImageFile if image else Video, title
    elif path.is_file():
        yield text, Video if suffix in VIDEO_SUFFIXES else ImageFile, path.stem
    else:
        files = image_files(text, (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES))
        if not files:
            kinds = ', '.join(sorted(IMAGE_SUFFIXES))
            reason = f'there are no images in it ({kinds})' if path.is_dir() else 'no such file'
            raise FileNotFoundError(f'{text}: {reason}')
        for file in files:
            title = file.relative_to(path) if path.is_dir() else Path(file.name)
            kind = Video if file.suffix.lower() in VIDEO_SUFFIXES else ImageFile
            yield str(file), kind, title.with_suffix('').as_posix()


def _is_live(name: str) -> bool:
    """Whether it is an address, or the number of a camera."""
    return '://' in name or (name.isdecimal() and not Path(name).exists())


def _may_be_read(source: ImageFile | Video) -> bool:
    return isinstance(source, Video) or _is_live(source.name) or cv2.haveImageReader(source.name)
