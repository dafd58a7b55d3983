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
    """Two images a run; pixels and boxes are compared with what is random taken out.

    That is the flip and where the window lies.  hrdet rounds the resized edges down where it
    crops, as the releases do, mmdetection to the nearest: the scale of that comparison divides
    evenly.  Which boxes at the window's border stay differs by definition, so only those that
    lie inside are compared.
    """
    scale = [333, 200] if options.tiny else [1333, 800]
    size = (120, 160) if options.tiny else SIZE

    def files() -> tuple[dict, dict]:
        data = models.make_data(options, size)
        return (data, data)

    made = []
    for crop in (None, [152, 104] if options.tiny else CROP):
        values = dict(scale=scale, crop=crop)
        what = 'ResizeCrop, pad' if crop else 'resize, flip, pad'
        sides = [
            Side('hrdet', f'{__name__}:hrdet_samples', values, peer=False),
            Side('mmdetection', f'{__name__}:mmdet_samples', values, same_arrays(0, 1)),
        ]
        name = f'input pipeline, one worker, {what}, 2 images'
        check = dict(random=False)
        if crop:
            check['scale'] = [333, 180] if options.tiny else [1333, 780]
        made.append(Case(name, sides, files=files, check_arguments=check))
    return made


def _inside(boxes: np.ndarray, image: np.ndarray) -> np.ndarray:
    h, w = image.shape[-2:]
    return boxes[(boxes[:, :2] > 0).all(axis=1) & (boxes[:, 2:] < (w, h)).all(axis=1)]


def hrdet_samples(
    annotations: str, images: str, maps: str, scale: list, crop: list | None, random: bool = True
) -> tuple[Callable, Callable]:
    from hrdet.data import CocoDataset, RandomFlip, RandResizeCrop, Resize, SampleKey, collate
    from hrdet.data.loader import KEPT
    from hrdet.data.transforms import detection
    from hrdet.ops.malloc import keep_memory

    keep_memory(KEPT)  # as a loader's worker does
    if not random:  # the window in the middle, nothing mirrored
        detection._clamp = lambda start, most: max(most, 0) // 2
    if crop:
        resize = RandResizeCrop([tuple(scale)], tuple(crop), exact_scale=True)
    else:
        resize = Resize([tuple(scale)], exact_scale=True)
    steps = [resize, RandomFlip(0.5 if random else 0.0)]
    dataset = CocoDataset(annotations, images, steps)
    epoch = iter(range(1 << 30))

    def run() -> Any:
        number = next(epoch)
        samples = [dataset[SampleKey((2 * number + i) % len(dataset), number)] for i in (0, 1)]
        return collate(samples, size_divisor=32)

    def arrays(batch: Any) -> Arrays:
        result = {}
        for i in range(2):  # of one size
            image = result[f'image {i}'] = batch.images[i].numpy()
            boxes = batch.truth.boxes[i][batch.truth.valid[i]].numpy()
            result[f'boxes {i}'] = _inside(boxes, image) if crop else boxes
        return result

    return run, arrays


def mmdet_samples(
    annotations: str, images: str, maps: str, scale: list, crop: list | None, random: bool = True
) -> tuple[Callable, Callable]:
    """Its samples are made into one batch in the main process, which is not counted here."""
    from mmdet.datasets import CocoDataset
    from mmdet.datasets.transforms import RandomCrop
    from mmdet.utils import register_all_modules
    from mmengine.dataset import pseudo_collate

    register_all_modules()
    if not random:  # the window in the middle, nothing mirrored
        RandomCrop._rand_offset = lambda self, margins: tuple(margin // 2 for margin in margins)
    steps = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='Resize', scale=tuple(scale), keep_ratio=True),
        dict(type='RandomFlip', prob=0.5 if random else 0.0),
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
        result = {}
        for i, (image, sample) in enumerate(zip(batch['inputs'], batch['data_samples'])):
            image = result[f'image {i}'] = image.numpy()
            boxes = np.asarray(sample.gt_instances.bboxes.tensor)
            result[f'boxes {i}'] = _inside(boxes, image) if crop else boxes
        return result

    return run, arrays
