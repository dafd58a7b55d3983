"""Semantic segmentation beside mmsegmentation: label maps, a training step, mIoU, samples."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import models
from benchmarks.compare import same_arrays, same_labels, same_training
from benchmarks.harness import Arrays, Case, Options, Side
from benchmarks.training import changes, long_step
from benchmarks.worker import ROOT

# Configs by hrdet's name and mmsegmentation's, with their classes.
_CONFIGS = {
    'fcn_hr18_512x1024_40k_cityscapes': ('fcn_hr18_4xb2-40k_cityscapes-512x1024', 19),
    'fcn_hr18_512x512_80k_ade20k': ('fcn_hr18_4xb4-80k_ade20k-512x512', 150),
}
CITYSCAPES, ADE20K = _CONFIGS
_VARIANTS = {'hrdet': None, 'hrdet optimized': {}, 'hrdet bfloat16': {'dtype': 'bfloat16'}}


def cases(options: Options) -> list[Case]:
    """FCN-HRNet W18: Cityscapes of 19 classes, ADE20K of 150."""
    small = options.tiny
    return [
        _predict(options, 'FCN W18, 19 classes', CITYSCAPES, (64, 128) if small else (512, 1024)),
        _predict(options, 'FCN W18, 150 classes', ADE20K, (64, 85) if small else (512, 683)),
        _step(options, (64, 64) if small else (512, 512)),
        _mean_iou((64, 128) if small else (1024, 2048)),
        _samples(options, 'Cityscapes-like', '.png', (128, 256) if small else (1024, 2048)),
        _samples(options, 'ADE-like', '.jpg', (96, 128) if small else (512, 683)),
    ]


def _arguments(options: Options, config: str, **shared: Any) -> tuple[dict, dict]:
    theirs, classes = _CONFIGS[config]
    weights = models.exported(options, config, 'mmseg', classes)
    own = str(Path(weights).with_suffix('.own.pth'))
    ours = dict(config=config, weights=own)
    return ours | shared, dict(config=theirs, weights=weights) | shared


def _sides(what: str, same: Callable[[Arrays, Arrays], str], **values: Any) -> list[Side]:
    ours, theirs = f'{__name__}:hrdet_{what}', f'{__name__}:mmseg_{what}'
    return [
        Side('hrdet', ours, values, peer=False),
        Side('mmsegmentation', theirs, values, same=same),
    ]


def _predict(options: Options, what: str, config: str, size: tuple[int, int]) -> Case:
    """A decoded image to its label map.

    With random weights the largest logits of some pixels are equal to rounding; in bfloat16 of
    many.
    """
    *_, peer = _sides('labels', same_labels(0.999))
    sides = []
    for name, optimize in _VARIANTS.items():
        share = 0.9 if optimize else 0.999
        check = None if name == 'hrdet' else same_labels(share)
        values = dict(optimize=optimize)
        sides.append(Side(name, f'{__name__}:hrdet_labels', values, check, peer=False))
    name = f'{what}, image of {size[0]} x {size[1]} to label map'
    files = _files(options, config, size=size)
    return Case(name, [*sides, peer], ('time', 'peak'), files)


def _files(options: Options, config: str, **shared: Any) -> Callable[[], tuple[dict, dict]]:
    return lambda: _arguments(options, config, **shared)


def _step(options: Options, size: tuple[int, int]) -> Case:
    return Case(
        f'training step, FCN W18, 2 images of {size[0]} x {size[1]}',
        _sides('step', same_training),
        ('time', 'peak'),
        _files(options, CITYSCAPES, size=size),
        dict(first=True),
    )


def _mean_iou(size: tuple[int, int]) -> Case:
    sides = _sides('mean_iou', same_arrays(rtol=1e-6, atol=0), size=size)
    return Case(f'mIoU of 100 label maps of {size[0]} x {size[1]}, 19 classes', sides)


def _samples(options: Options, what: str, suffix: str, size: tuple[int, int]) -> Case:
    """An image and its label map, from files to what one worker of the loader hands over.

    Compared are pixels and labels without what is random: resized to 3/4, neither cropped,
    mirrored nor recoloured.
    """

    def files() -> tuple[dict, dict]:
        folder = options.folder / what
        if not folder.exists():
            _write_pairs(folder, suffix, size)
        shared = dict(folder=str(folder), suffix=suffix, size=size)
        return shared, shared

    sides = _sides('samples', same_arrays(0, 0))
    name = f'input pipeline, one worker, {what}, an image of {size[0]} x {size[1]}'
    return Case(name, sides, files=files, check_arguments=dict(random=False))


def _write_pairs(folder: Path, suffix: str, size: tuple[int, int]) -> None:
    """Four images with shapes and noise, with their label maps."""
    import cv2

    from hrdet.data.shapes import make_label_maps

    paths = make_label_maps(str(folder), 4, 1, size)
    rng = np.random.default_rng(0)
    for path in sorted(Path(paths.train_images).glob('*.jpg')):
        image = cv2.imread(str(path))
        noise = rng.integers(-4, 5, image.shape)  # a photo's PNG is no smaller
        path.unlink()
        cv2.imwrite(str(path.with_suffix(suffix)), (image + noise).clip(0, 255).astype(np.uint8))


def _images(count: int, size: tuple[int, int]) -> np.ndarray:
    """Smooth noise, (N, 3, H, W) uint8 BGR."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 3, -(-size[0] // 8), -(-size[1] // 8)))
    return coarse.repeat(8, 2).repeat(8, 3)[..., : size[0], : size[1]].astype(np.uint8)


def _label_maps(count: int, size: tuple[int, int], seed: int) -> np.ndarray:
    """Labels of 19 classes in blocks, some of them ignored: (N, H, W) uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.choice([*range(19), 255], (count, -(-size[0] // 8), -(-size[1] // 8)))
    return coarse.repeat(8, 1).repeat(8, 2)[:, : size[0], : size[1]].astype(np.uint8)


def hrdet_labels(
    config: str, weights: str, size: Sequence[int], optimize: dict[str, Any] | None
) -> tuple[Callable, Callable]:
    model = _hrdet_model(config, weights)
    batch = _hrdet_batch(_images(1, size))
    model = models.optimized(model, optimize)
    return lambda: model.predict(batch), lambda results: {'labels': np.asarray(results[0])}


def _hrdet_model(config: str, weights: str) -> Any:
    from hrdet.apis import init_model

    return init_model(str(ROOT / 'configs' / 'hrnet' / f'{config}.py'), weights, 'cpu')


def _hrdet_batch(images: np.ndarray, labels: np.ndarray | None = None) -> Any:
    import torch

    from hrdet.structures import Batch, ImageMeta, SegmentationMap

    size = images.shape[-2:]
    metas = [ImageMeta(str(i), str(i), size, size, size) for i in range(len(images))]
    sizes = torch.tensor([size] * len(images), dtype=torch.float32)
    truth = None if labels is None else SegmentationMap(torch.from_numpy(labels))
    return Batch(torch.from_numpy(images), metas, sizes, sizes, truth)


def mmseg_labels(config: str, weights: str, size: Sequence[int]) -> tuple[Callable, Callable]:
    import torch

    model, _ = _mmseg_model(config, weights, size)
    data = _mmseg_batch(_images(1, size))

    def arrays(results: list) -> Arrays:
        return {'labels': results[0].pred_sem_seg.data[0].numpy().astype(np.uint8)}

    return torch.no_grad()(lambda: model.test_step(data)), arrays


def _mmseg_model(config: str, weights: str, size: Sequence[int]) -> tuple[Any, Any]:
    """The model in eval mode, and its config; SyncBN as plain batch norm, as a CPU needs it."""
    import mmseg
    from mmengine.config import Config
    from mmengine.model import revert_sync_batchnorm
    from mmengine.runner import load_checkpoint
    from mmseg.registry import MODELS
    from mmseg.utils import register_all_modules

    register_all_modules()
    folder = Path(mmseg.__file__).parent / '.mim' / 'configs' / 'hrnet'
    settings = Config.fromfile(folder / f'{config}.py')
    settings.model.pretrained = None
    settings.model.data_preprocessor.size = tuple(size)
    model = revert_sync_batchnorm(MODELS.build(settings.model))
    load_checkpoint(model, weights, map_location='cpu', strict=True)
    return model.eval(), settings


def _mmseg_batch(images: np.ndarray, labels: np.ndarray | None = None) -> dict[str, list]:
    import torch
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    size, samples = images.shape[-2:], []
    for i in range(len(images)):
        meta = dict(ori_shape=size, img_shape=size, pad_shape=size)
        samples.append(SegDataSample(metainfo=meta))
        if labels is not None:
            map_ = torch.from_numpy(labels[i : i + 1].astype(np.int64))
            samples[i].gt_sem_seg = PixelData(data=map_)
    return dict(inputs=[torch.from_numpy(image) for image in images], data_samples=samples)


def hrdet_step(
    config: str, weights: str, size: Sequence[int], first: bool = False
) -> tuple[Callable, Callable]:
    import torch

    from hrdet.config import load_config, lower
    from hrdet.engine.trainer import TrainStep
    from hrdet.optim import build_optimizer
    from hrdet.optimize import fast_training

    model = _hrdet_model(config, weights).train()
    fast_training(model)  # as Trainer.run does
    settings = lower(load_config(str(ROOT / 'configs' / 'hrnet' / f'{config}.py'))).training
    optimizer = build_optimizer(model, settings.optimizer)
    step = TrainStep(model, optimizer, torch.device('cpu'), grad_clip=settings.grad_clip)
    batch = _hrdet_batch(_images(2, size), _label_maps(2, size, 1))
    before = long_step(model, optimizer) if first else {}

    def run() -> dict[str, Any]:
        losses = step(batch)
        return {name: loss for name, loss in losses.items() if 'loss_' in name}

    return run, lambda losses: changes(losses, model, before)


def mmseg_step(
    config: str, weights: str, size: Sequence[int], first: bool = False
) -> tuple[Callable, Callable]:
    from mmengine.optim import build_optim_wrapper

    model, settings = _mmseg_model(config, weights, size)
    model.train()
    optimizer = build_optim_wrapper(model, settings.optim_wrapper)
    optimizer.initialize_count_status(model, 0, 1 << 30)
    data = _mmseg_batch(_images(2, size), _label_maps(2, size, 1))
    before = long_step(model, optimizer.optimizer) if first else {}

    def run() -> dict[str, Any]:
        losses = model.train_step(data, optimizer)
        return {k: v for k, v in losses.items() if 'loss' in k and k != 'loss'}

    return run, lambda losses: changes(losses, model, before)


def hrdet_mean_iou(size: Sequence[int]) -> tuple[Callable, Callable]:
    import types

    from hrdet.evaluation.mean_iou import MeanIoU
    from hrdet.structures import ImageMeta, LabelMap, SegmentationMap

    found, truth = _label_maps(10, size, 2), _label_maps(10, size, 3)
    found[found == 255] = 0  # predictions are classes
    names = tuple(f'class {i}' for i in range(19))
    dataset = types.SimpleNamespace(
        image_ids=[str(i) for i in range(100)],
        classes=names,
        palette=None,
        truth=lambda i: SegmentationMap(truth[i % 10]),
    )
    metas = [ImageMeta(i, i, tuple(size), tuple(size), tuple(size)) for i in dataset.image_ids]
    metric = MeanIoU(dataset)

    def run() -> dict[str, float]:
        for i, meta in enumerate(metas):
            metric.update(meta, LabelMap(found[i % 10], None, names, None))
        return metric.compute()

    def arrays(metrics: dict[str, float]) -> Arrays:
        classes = np.array([metrics[f'IoU.{name}'] for name in names])
        return {'mIoU': np.array(metrics['mIoU']), 'IoU': classes}

    return run, arrays


def mmseg_mean_iou(size: Sequence[int]) -> tuple[Callable, Callable]:
    import torch
    from mmseg.evaluation import IoUMetric

    found, truth = _label_maps(10, size, 2), _label_maps(10, size, 3)
    found[found == 255] = 0
    samples = [
        dict(
            pred_sem_seg=dict(data=torch.from_numpy(a[None].astype(np.int64))),
            gt_sem_seg=dict(data=torch.from_numpy(b[None])),
        )
        for a, b in zip(found, truth)
    ]
    metric = IoUMetric()
    metric.dataset_meta = dict(classes=tuple(f'class {i}' for i in range(19)))

    def run() -> list:
        metric.results.clear()
        for i in range(100):
            metric.process({}, [samples[i % 10]])
        metric.compute_metrics(metric.results)
        return metric.results

    def arrays(results: list) -> Arrays:
        """From the areas: the metrics are rounded."""
        areas = [sum(part.double() for part in parts) for parts in zip(*results)]
        iou = (areas[0] / areas[1]).numpy()
        return {'mIoU': iou.mean(), 'IoU': iou}

    return run, arrays


def hrdet_samples(
    folder: str, suffix: str, size: Sequence[int], random: bool = True
) -> tuple[Callable, Callable]:
    from hrdet.data import RandomFlip, SampleKey
    from hrdet.data.datasets import LabelMapDataset
    from hrdet.data.loader import KEPT
    from hrdet.data.transforms import (
        PadToSize,
        RandomResize,
        SegPhotoMetricDistortion,
        SegRandomCrop,
    )
    from hrdet.ops.malloc import keep_memory

    keep_memory(KEPT)  # as a loader's worker does
    scale, crop = (4 * size[1], size[0]), (size[0] // 2, size[1] // 2)
    if random:
        steps = [
            RandomResize(scale, (0.5, 2.0)),
            SegRandomCrop(crop, 0.75),
            RandomFlip(0.5),
            SegPhotoMetricDistortion(),
            PadToSize(crop),
        ]
    else:
        steps = [RandomResize(scale, (0.75, 0.75)), SegRandomCrop(size, 1.0)]
    dataset = LabelMapDataset(
        img_dir=f'{folder}/images/train',
        ann_dir=f'{folder}/labels/train',
        classes=f'{folder}/classes.txt',
        transforms=steps,
        img_suffix=suffix,
        seg_map_suffix='.png',
    )
    epoch = iter(range(1 << 30))

    def run() -> Any:
        number = next(epoch)
        return dataset[SampleKey(number % len(dataset), number)]

    def arrays(sample: Any) -> Arrays:
        return {'image': sample.image.transpose(2, 0, 1), 'labels': sample.truth.labels}

    return run, arrays


def mmseg_samples(
    folder: str, suffix: str, size: Sequence[int], random: bool = True
) -> tuple[Callable, Callable]:
    from mmseg.datasets import BaseSegDataset
    from mmseg.utils import register_all_modules

    register_all_modules()
    scale, crop = (4 * size[1], size[0]), (size[0] // 2, size[1] // 2)
    steps = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
        dict(type='RandomResize', scale=scale, ratio_range=(0.5, 2.0), keep_ratio=True),
        dict(type='RandomCrop', crop_size=crop, cat_max_ratio=0.75),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PhotoMetricDistortion'),
        dict(type='PackSegInputs'),
    ]
    if not random:
        steps[2]['ratio_range'] = (0.75, 0.75)
        del steps[3:6]
    dataset = BaseSegDataset(
        data_prefix=dict(img_path=f'{folder}/images/train', seg_map_path=f'{folder}/labels/train'),
        img_suffix=suffix,
        seg_map_suffix='.png',
        metainfo=dict(classes=Path(folder, 'classes.txt').read_text().splitlines()),
        reduce_zero_label=False,
        pipeline=steps,
    )
    epoch = iter(range(1 << 30))

    def run() -> Any:
        return dataset[next(epoch) % len(dataset)]

    def arrays(sample: Any) -> Arrays:
        labels = sample['data_samples'].gt_sem_seg.data[0].numpy()
        return {'image': sample['inputs'].numpy(), 'labels': labels.astype(np.uint8)}

    return run, arrays
