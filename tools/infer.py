"""Run a model on images of your own.

    python tools/infer.py CONFIG CHECKPOINT street.jpg
    python tools/infer.py CONFIG CHECKPOINT photos/ 'more/**/*.png' --out-dir results
    python tools/infer.py CONFIG CHECKPOINT street.mp4 --batch-size 8
    python tools/infer.py MODEL street.jpg

MODEL is the name of a published model, whose weights are downloaded when they are first used.

INPUT is an image or a video file, a folder (searched with its sub-folders), a pattern in quotes (**
stands for any number of folders), the address of an image or a stream (https://, rtsp://), or the
number of a camera, which ends with Ctrl-C or --max-frames.  The folder --out-dir gets a picture of
every image with its result, an .mp4 of every video, and the results of all images:

    detection       objects that reach --score-thr are drawn; detections.json has all of them in
                    COCO's format: images, categories, and an annotation with a score for each
    classification  the class and its score are below the image; predictions.json has for every
                    image pred_label, pred_class, pred_score, and the five best (top5)
    segmentation    the classes tint the image; label_maps/ has a PNG of every image, the class of
                    each pixel as its number, and classes.txt, their names

Frames of a video are street.mp4#0, street.mp4#1, ... in these files.  --save-txt also writes YOLO
labels (class, centre, size, score), --save-crops the objects.  --tile 640 looks for small objects
in large images: besides the image, tiles of 640 pixels go through the network, and their detections
are merged.

Images that cannot be read are listed at the end, and the exit status is then 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hrdet import zoo
from hrdet.command_line import (
    Parser,
    add_cfg_options,
    add_drawing_options,
    add_speed_options,
    count,
    speed_options,
)
from hrdet.progress import track

if TYPE_CHECKING:  # slow to import: where it is used, not for --help
    from hrdet.inference.outputs import Outputs
    from hrdet.inference.sources import Frame, ImageFile, Video
    from hrdet.models.base import BaseModel


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Options."""
    parser = Parser(__doc__)
    parser.usage = '%(prog)s CONFIG [CHECKPOINT] INPUT [INPUT ...] [options]'
    parser.add_argument(
        'config', help='config file that the checkpoint was trained with, or a published model'
    )
    parser.add_argument(
        'inputs',
        nargs='+',
        metavar='INPUT',
        help='weights (of a published model its own), then images, videos, folders, patterns, '
        'addresses, cameras',
    )
    parser.add_argument('--out-dir', default='outputs', help='folder for the results (%(default)s)')
    parser.add_argument(
        '--device', help='such as cpu, cuda, cuda:1; default: a GPU if there is one'
    )
    parser.add_argument(
        '--batch-size', type=count, default=1, help='images at once; more is faster on a GPU'
    )
    parser.add_argument('--max-frames', type=count, help='stop after so many images and frames')
    parser.add_argument('--no-pictures', action='store_true', help='write no pictures or videos')
    parser.add_argument('--save-txt', action='store_true', help='write YOLO labels, too')
    parser.add_argument('--save-crops', action='store_true', help='write the objects as pictures')
    parser.add_argument(
        '--tile', type=count, metavar='PIXELS', help='also predict tiles of large images (640)'
    )
    parser.add_argument(
        '--overlap', type=float, default=0.2, help='share by which tiles overlap (%(default)s)'
    )
    add_drawing_options(parser)
    add_cfg_options(parser)
    add_speed_options(parser)
    args = parser.parse_intermixed_args(arguments)
    args.checkpoint = None
    if not zoo.named(args.config) or is_weights(args.inputs[0]):
        args.checkpoint, *args.inputs = args.inputs
    if not args.inputs:
        parser.error(f'there is no INPUT after the checkpoint {args.checkpoint}')
    return args


def is_weights(text: str) -> bool:
    """Whether a command's argument is a file, name or address of weights, by its form alone."""
    suffix = Path(text.partition('#')[0].partition('?')[0]).suffix
    prefixes = ('hf://', 'timm/', 'open-mmlab://', 'torchvision://')
    return (
        suffix in ('.pth', '.pt', '.pkl', '.ckpt', '.safetensors')
        or text.startswith(prefixes)
        or zoo.named(text) is not None
    )


def frames_of(sources: Sequence[ImageFile | Video], problems: list[str]) -> Iterator[Frame]:
    """All images and frames; what cannot be read becomes a line of ``problems``."""
    from hrdet.data import DataError

    for source in sources:
        try:
            yield from source.frames()
        except DataError as error:  # noqa: PERF203
            problems.append(str(error))


def infer(
    model: BaseModel,
    sources: Sequence[ImageFile | Video],
    outputs: Outputs,
    args: argparse.Namespace,
    problems: list[str],
) -> None:
    """Predict and write everything, batch by batch."""
    from hrdet.inference import Tiling, predict_images

    tiling = None if args.tile is None else Tiling(args.tile, args.overlap)
    # Video files tell how many frames they have; cameras do not.
    counts = [source.count() for source in sources]
    total = None if None in counts else sum(counts)
    found = islice(frames_of(sources, problems), args.max_frames)
    remaining = iter(track(found, 'images', args.max_frames or total))
    for chunk in iter(lambda: list(islice(remaining, args.batch_size)), []):
        pixels = [frame.pixels for frame in chunk]
        results = predict_images(model, pixels, args.batch_size, tiling)
        for frame, result in zip(chunk, results):
            outputs.add(frame, result)


def main(arguments: Sequence[str] | None = None) -> int:
    """The whole command; the exit status."""
    args = parse_args(arguments)
    from hrdet.apis import init_model
    from hrdet.inference.outputs import OutputOptions, Outputs
    from hrdet.inference.sources import find_sources, quiet_opencv
    from hrdet.run_tool import mistakes_in_one_line
    from hrdet.visualize import Style

    with mistakes_in_one_line(), quiet_opencv():
        sources = find_sources(args.inputs, args.out_dir)
        speed = speed_options(args)
        model = init_model(args.config, args.checkpoint, args.device, args.cfg_options, speed)
        wanted = not args.no_pictures, args.save_txt, args.save_crops, args.score_thr
        style = Style.of(args, model.classes)
        outputs = Outputs(Path(args.out_dir), model, OutputOptions(*wanted), style)
        problems: list[str] = []
        start = time.perf_counter()
        try:
            infer(model, sources, outputs, args, problems)
        finally:  # also after Ctrl-C: what is done is kept
            outputs.close()
            if outputs.count:
                rate = outputs.count / (time.perf_counter() - start)
                print(f'{outputs.summary()}; {rate:.1f} images/s')
            for problem in problems:
                print(f'error: {problem}', file=sys.stderr)
    return 1 if problems else 0


if __name__ == '__main__':
    raise SystemExit(main())
