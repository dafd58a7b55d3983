"""Find objects on images of your own.

    python tools/infer.py CONFIG CHECKPOINT street.jpg
    python tools/infer.py CONFIG CHECKPOINT photos/ 'more/**/*.png' --out-dir found --score-thr 0.5

INPUT is an image file, a folder (searched with its sub-folders) or a pattern in quotes; ** stands
for any number of folders.  Into --out-dir go a picture of every image, with the objects drawn on
it that reach --score-thr, and detections.json: COCO's format with images, categories and
annotations, these with every object found and its score.  Images that cannot be read are listed
at the end, and the exit status is then 1.
"""

from __future__ import annotations

import argparse
import glob
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hrdet.command_line import Parser, add_cfg_options, add_speed_options
from hrdet.progress import track
from hrdet.wording import counted

if TYPE_CHECKING:  # slow to import: where it is used, not for --help
    import numpy as np

    from hrdet.models.detectors import Detector
    from hrdet.structures import Detections

_SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp'}


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Options."""
    parser = Parser(__doc__)
    parser.add_argument('config', help='config file that the checkpoint was trained with')
    parser.add_argument('checkpoint', help='weights: hrdet, mmdetection 1-3 or the HRNet release')
    parser.add_argument('inputs', nargs='+', metavar='INPUT', help='image, folder or pattern')
    parser.add_argument('--out-dir', default='found', help='folder for the results (%(default)s)')
    parser.add_argument(
        '--score-thr', type=float, default=0.3, help='least score of a drawn object (%(default)s)'
    )
    parser.add_argument(
        '--device', help='such as cpu, cuda, cuda:1; default: a GPU if there is one'
    )
    parser.add_argument(
        '--batch-size', type=int, default=1, help='images at once; more is faster on a GPU'
    )
    add_cfg_options(parser)
    add_speed_options(parser)
    return parser.parse_args(arguments)


def find_images(inputs: Sequence[str], out_dir: str) -> dict[str, Path]:
    """Image files by the name of their result, in order, each file once, without earlier results.

    Raises:
        FileNotFoundError: an input with which no image is found; or none of the files is an image,
            by its first bytes.
    """
    import cv2

    found: dict[Path, Path] = {}  # file -> name relative to what was asked for
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            files = sorted(p for p in path.rglob('*') if p.suffix.lower() in _SUFFIXES)
            named = {file: file.relative_to(path) for file in files}
        elif path.is_file():
            named = {path: Path(path.name)}
        else:
            files = sorted(Path(name) for name in glob.glob(text, recursive=True))
            named = {p: Path(p.name) for p in files if p.suffix.lower() in _SUFFIXES}
        if not named:
            kinds = ', '.join(sorted(_SUFFIXES))
            reason = f'there are no images in it ({kinds})' if path.is_dir() else 'no such file'
            raise FileNotFoundError(f'{text}: {reason}')
        for file, name in named.items():
            if Path(out_dir).resolve() not in file.resolve().parents:
                found.setdefault(file, name)
    results: dict[str, Path] = {}
    for file, name in found.items():
        title, count = name.with_suffix('').as_posix(), 1
        while title + '.jpg' in results:
            count += 1
            title = f'{name.with_suffix("").as_posix()}_{count}'
        results[title + '.jpg'] = file
    if not any(cv2.haveImageReader(str(file)) for file in results.values()):
        reason = 'none of these files is an image' if results else 'only earlier results in it'
        raise FileNotFoundError(f'{", ".join(inputs)}: {reason}')
    return results


def infer(model: Detector, images: dict[str, Path], args: argparse.Namespace) -> list[str]:
    """Draw and write everything; returns what is wrong with the images that were left out."""
    from hrdet.apis import inference_detector
    from hrdet.visualize import save_picture

    out, problems = Path(args.out_dir), []
    content: dict[str, list] = {'images': [], 'categories': _categories(model), 'annotations': []}
    for names in track(_chunks(list(images), args.batch_size), 'images'):
        pictures = {name: _read(images[name], problems) for name in names}
        pictures = {name: picture for name, picture in pictures.items() if picture is not None}
        found = inference_detector(model, list(pictures.values()), args.batch_size)
        for (name, picture), one in zip(pictures.items(), found):
            save_picture(picture, one, out / name, model.classes, args.score_thr)
            _add(content, str(images[name]), picture.shape[:2], one)
    if content['images']:
        (out / 'detections.json').write_text(json.dumps(content))
    return problems


def _read(file: Path, problems: list[str]) -> np.ndarray | None:
    from hrdet.apis import read_image
    from hrdet.data import DataError

    try:
        return read_image(file)
    except DataError as error:
        problems.append(str(error))
        return None


def _chunks(names: list[str], size: int) -> list[list[str]]:
    return [names[start : start + size] for start in range(0, len(names), size)]


def _categories(model: Detector) -> list[dict[str, Any]]:
    return [{'id': label + 1, 'name': name} for label, name in enumerate(model.classes)]


def _add(content: dict[str, list], file: str, size: tuple[int, int], found: Detections) -> None:
    image_id = len(content['images']) + 1
    image = {'id': image_id, 'file_name': file, 'height': size[0], 'width': size[1]}
    content['images'].append(image)
    for result in found.to_coco(image_id):
        _, _, width, height = result['bbox']
        number = len(content['annotations']) + 1
        content['annotations'].append(
            {'id': number, **result, 'area': width * height, 'iscrowd': 0}
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """The whole command; the exit status."""
    args = parse_args(arguments)
    from hrdet.apis import init_detector
    from hrdet.checkpoints import CheckpointError
    from hrdet.data import DataError
    from hrdet.engine.command import speed_options
    from hrdet.registry import ConfigError

    try:
        images = find_images(args.inputs, args.out_dir)
        model = init_detector(
            args.config, args.checkpoint, args.device, args.cfg_options, speed_options(args)
        )
    except (ConfigError, CheckpointError, DataError, FileNotFoundError) as error:
        raise SystemExit(f'error: {error}') from None
    problems = infer(model, images, args)
    if len(problems) < len(images):
        pictures = counted(len(images) - len(problems), 'picture')
        print(f'{pictures} and detections.json in {args.out_dir}')
    for problem in problems:
        print(f'error: {problem}', file=sys.stderr)
    return 1 if problems else 0


if __name__ == '__main__':
    raise SystemExit(main())
