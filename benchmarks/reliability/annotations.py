"""450 damaged annotations: COCO, VOC, YOLO, label maps and class folders.

Each is read as ``tools/check_dataset.py`` reads it and as a training does, which must agree; then
every sample is loaded, and evaluated with its own truth as the prediction.  What the samples hold
is compared with a plain reading of the same file.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.reliability import boxes, labels
from benchmarks.reliability.cases import Case
from benchmarks.reliability.materials import Draw

COUNT = 450
_MAKERS = {
    'coco': (boxes.coco, 0.45),
    'voc': (boxes.voc, 0.18),
    'yolo': (boxes.yolo, 0.12),
    'maps': (labels.maps, 0.14),
    'folders': (labels.folders, 0.11),
}


def cases(base: Path, seed: int, count: int = COUNT) -> Iterator[Case]:
    """The campaign; ``base`` has the sound inputs."""
    for kind, (make, share) in _MAKERS.items():
        for number in range(max(1, round(share * count))):
            yield make(base, Draw(seed, kind, number), number)
