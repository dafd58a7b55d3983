"""Paint semantic maps for Hybrid Task Cascade from the masks of a COCO file.

    python tools/paint_semantic.py data/cells/train.json data/cells/train data/cells/semantic/train

Every object is painted with the label of its class (0..K-1, in the order of the category ids),
small objects over large ones; all other pixels get K, and crowds 255, which training ignores.  In
the config, data.train.seg_prefix is the folder and model.semantic_head.num_classes is K + 1.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hrdet.command_line import Parser
from hrdet.progress import track

if TYPE_CHECKING:  # slow to import: where it is used, not for --help
    import numpy as np

    from hrdet.structures import GroundTruth


def parse_args() -> argparse.Namespace:
    """Options."""
    parser = Parser(__doc__)
    parser.add_argument('annotations', help='COCO instances file')
    parser.add_argument('images', help='folder or .zip of the images')
    parser.add_argument('out', help='folder for the maps: PNG files with the names of the images')
    return parser.parse_args()


def semantic_map(truth: GroundTruth, num_classes: int, size: tuple[int, int]) -> np.ndarray:
    """The map (h, w) uint8 of one image's objects (masks, labels) and crowds (boxes)."""
    import numpy as np

    from hrdet.structures.truth import SEMANTIC_IGNORE

    canvas = np.full(size, num_classes, np.uint8)
    for x1, y1, x2, y2 in np.rint(truth.ignored).astype(int).clip(0):
        canvas[y1:y2, x1:x2] = SEMANTIC_IGNORE
    for i in np.argsort(-truth.masks.sum((1, 2)), kind='stable'):
        canvas[truth.masks[i] > 0] = truth.labels[i]
    return canvas


def paint(annotations: str, images: str, out: str) -> int:
    """Write the maps of all images; returns the number of labels, K + 1."""
    import cv2

    from hrdet.data import CocoDataset, DataError
    from hrdet.structures.truth import SEMANTIC_IGNORE

    dataset = CocoDataset(annotations, images, filter_empty=False, min_size=0, with_mask=True)
    num_classes = len(dataset.classes)
    if num_classes >= SEMANTIC_IGNORE:
        raise DataError(f'{annotations}: {num_classes} classes do not fit into 8 bits')
    for index in track(range(len(dataset)), 'maps'):
        sample = dataset[index]
        path = Path(out) / Path(dataset.table.file_names[index]).with_suffix('.png')
        path.parent.mkdir(parents=True, exist_ok=True)
        painted = semantic_map(sample.truth, num_classes, sample.image.shape[:2])
        if not cv2.imwrite(str(path), painted):
            raise OSError(f'{path}: could not be written')
    return num_classes + 1


if __name__ == '__main__':
    args = parse_args()
    from hrdet.data import DataError

    try:
        labels = paint(args.annotations, args.images, args.out)
    except (DataError, OSError) as error:
        raise SystemExit(f'error: {error}') from error
    print(f'{args.out}: maps of {labels} labels; model.semantic_head.num_classes={labels}')
