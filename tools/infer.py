"""Run a model on images of your own.

    python tools/infer.py CONFIG CHECKPOINT street.jpg
    python tools/infer.py CONFIG CHECKPOINT photos/ 'more/**/*.png' --out-dir results

INPUT is an image file, a folder (searched with its sub-folders) or a pattern in quotes; ** stands
for any number of folders.  The folder --out-dir gets a picture of every image with its result, and
the results of all images:

    detection       objects that reach --score-thr are drawn; detections.json has all of them in
                    COCO's format: images, categories, and an annotation with a score for each
    classification  the class and its score are below the image; predictions.json has for every
                    image pred_label, pred_class, pred_score, and the five best (top5)
    segmentation    the classes tint the image; label_maps/ has a PNG of every image, the class of
                    each pixel as its number, and classes.txt, their names

Images that cannot be read are listed at the end, and the exit status is then 1.
"""

from __future__ import annotations

import argparse
import glob
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hrdet.command_line import (
    CHECKPOINT_HELP,
    Parser,
    add_cfg_options,
    add_drawing_options,
    add_speed_options,
    count,
    speed_options,
)
from hrdet.messages import plural
from hrdet.progress import track

if TYPE_CHECKING:  # slow to import: where it is used, not for --help
    import numpy as np

    from hrdet.models.base import BaseModel
    from hrdet.visualize import Style

_SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp'}


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Options."""
    parser = Parser(__doc__)
    parser.add_argument('config', help='config file that the checkpoint was trained with')
    parser.add_argument('checkpoint', help=CHECKPOINT_HELP)
    parser.add_argument('inputs', nargs='+', metavar='INPUT', help='image, folder or pattern')
    parser.add_argument('--out-dir', default='outputs', help='folder for the results (%(default)s)')
    parser.add_argument(
        '--device', help='such as cpu, cuda, cuda:1; default: a GPU if there is one'
    )
    parser.add_argument(
        '--batch-size', type=count, default=1, help='images at once; more is faster on a GPU'
    )
    add_drawing_options(parser)
    add_cfg_options(parser)
    add_speed_options(parser)
    return parser.parse_args(arguments)


def find_images(inputs: Sequence[str], out_dir: str) -> dict[str, Path]:
    """Image files by the name of their result, in order, each file once, without earlier results.

    Raises:
        FileNotFoundError: an input matches no image file; or no file begins as an image does.
    """
    import cv2

    chosen: dict[Path, Path] = {}  # file -> its name relative to the input
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
                chosen.setdefault(file, name)
    results: dict[str, Path] = {}
    for file, name in chosen.items():
        title, count = name.with_suffix('').as_posix(), 1
        while title + '.jpg' in results:
            count += 1
            title = f'{name.with_suffix("").as_posix()}_{count}'
        results[title + '.jpg'] = file
    if not any(cv2.haveImageReader(str(file)) for file in results.values()):
        reason = 'none of these files is an image' if results else 'only earlier results in it'
        raise FileNotFoundError(f'{", ".join(inputs)}: {reason}')
    return results


def infer(
    model: BaseModel, images: dict[str, Path], args: argparse.Namespace, style: Style
) -> tuple[list[str], list[str]]:
    """Draw and write everything; returns what was written, and what is wrong with other images."""
    from hrdet.apis import predict_images
    from hrdet.visualize import save_picture

    out, problems = Path(args.out_dir), []
    drawing = dict(score_thr=args.score_thr, palette=model.palette, style=style)
    drawn, file = 0, None
    try:
        for names in track(_chunks(list(images), args.batch_size), 'images'):
            pictures = {name: _read(images[name], problems) for name in names}
            pictures = {name: picture for name, picture in pictures.items() if picture is not None}
            results = predict_images(model, list(pictures.values()), args.batch_size)
            for (name, picture), result in zip(pictures.items(), results):
                file = file or result.open_file(out, model.classes)
                path = out / name
                save_picture(picture, result, path, model.classes, **drawing)
                title = name.removesuffix('.jpg')
                file.add(title, str(images[name]), picture.shape[:2], result)
                drawn += 1
    finally:  # also after Ctrl-C: what is done is kept
        if file is not None:
            file.close()
    return [plural(drawn, 'picture'), file.name] if file is not None else [], problems


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


def main(arguments: Sequence[str] | None = None) -> int:
    """The whole command; the exit status."""
    args = parse_args(arguments)
    from hrdet.apis import init_model
    from hrdet.checkpoints import CheckpointError
    from hrdet.data import DataError
    from hrdet.registry import ConfigError
    from hrdet.visualize import Style

    try:
        images = find_images(args.inputs, args.out_dir)
        model = init_model(
            args.config, args.checkpoint, args.device, args.cfg_options, speed_options(args)
        )
        style = Style.of(args, model.classes)
    except (ConfigError, CheckpointError, DataError, FileNotFoundError) as error:
        raise SystemExit(f'error: {error}') from None
    try:
        written, problems = infer(model, images, args, style)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except OSError as error:  # a full disk, a folder that must not be written to
        raise SystemExit(f'error: {args.out_dir}: {error.strerror or error}') from None
    if written:
        print(f'{" and ".join(written)} in {args.out_dir}')
    for problem in problems:
        print(f'error: {problem}', file=sys.stderr)
    return 1 if problems else 0


if __name__ == '__main__':
    raise SystemExit(main())
