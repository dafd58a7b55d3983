"""Image files to a batch for training, in one worker process: resize and flip, and ResizeCrop."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import models
from benchmarks.compare import same_arrays
from benchmarks.harness import Arrays, Case, Options, Side

SIZE = (480, 640)  # of the files, as COCO's
CROP = (608, 416)  # (w, h) of the window


def cases(options: Options) -> list[Case]:
    """Two images a run; pixels and boxes are compared with what is random taken out."""
    scale = [333, 200] if options.tiny else [1333, 800]
    size = (120, 160) if options.tiny else SIZE

    def files() -> tuple[dict, dict]:
        data = models.make_data(options, size)
        return (data, data)

    made = []
    for crop in (None, [152, 104] if options.tiny else CROP):
        values = dict(scale=scale, crop=crop)
        what = 'ResizeCrop, pad' if crop else 'resize, flip, pad'
        same = same_arrays(0, 1) if not crop else None
        sides = [
            Side('hrdet', f'{__name__}:hrdet_samples', values, peer=False),
            Side('mmdetection', f'{__name__}:mmdet_samples', values, same),
        ]
        name = f'input pipeline, one worker, {what}, 2 images'
        made.append(Case(name, sides, files=files, check_arguments=dict(flip=0.0)))
    return made


def hrdet_samples(
    annotations: str, images: str, maps: str, scale: list, crop: list | None, flip: float = 0.5
) -> tuple[Callable, Callable]:
    from hrdet.data import CocoDataset, RandomFlip, RandResizeCrop, Resize, SampleKey, collate
    from hrdet.data.loader import KEPT
    from hrdet.memory import keep_memory

    keep_memory(KEPT)  # as a loader's worker does
    if crop:
        resize = RandResizeCrop([tuple(scale)], tuple(crop), 'continuous')
    else:
        resize = Resize([tuple(scale)], convention='continuous')
    steps = [resize, RandomFlip(flip)]
    dataset = CocoDataset(annotations, images, steps)
    epoch = iter(range(1 << 30))

    def run() -> Any:
        number = next(epoch)
        samples = [dataset[SampleKey((2 * number + i) % len(dataset), number)] for i in (0, 1)]
        return collate(samples, size_divisor=32)

    def arrays(batch: Any) -> Arrays:
        found = {}
        for i in range(2):  # of one size
            found[f'image {i}'] = batch.images[i].numpy()
            found[f'boxes {i}'] = batch.truth.boxes[i][batch.truth.valid[i]].numpy()
        return found

    return run, arrays


def mmdet_samples(
    annotations: str, images: str, maps: str, scale: list, crop: list | None, flip: float = 0.5
) -> tuple[Callable, Callable]:
    """Its samples are made into one batch in the main process, which is not counted here."""
    from mmdet.datasets import CocoDataset
    from mmdet.utils import register_all_modules
    from mmengine.dataset import pseudo_collate

    register_all_modules()
    steps = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='Resize', scale=tuple(scale), keep_ratio=True),
        dict(type='RandomFlip', prob=flip),
        dict(type='Pad', size_divisor=32),
        dict(type='PackDetInputs'),
    ]
    if crop:
        steps.insert(3, dict(type='RandomCrop', crop_size=tuple(crop)))
    dataset = CocoDataset(
        ann_file=annotations,
        data_prefix=dict(img=images),
        pipeline=steps,
        metainfo=dict(classes=models.CLASSES),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
    )
    epoch = iter(range(1 << 30))

    def run() -> Any:
        number = next(epoch)
        return pseudo_collate([dataset[(2 * number + i) % len(dataset)] for i in (0, 1)])

    def arrays(batch: Any) -> Arrays:
        found = {}
        for i, (image, sample) in enumerate(zip(batch['inputs'], batch['data_samples'])):
            found[f'image {i}'] = image.numpy()
            found[f'boxes {i}'] = np.asarray(sample.gt_instances.bboxes.tensor)
        return found

    return run, arrays
