"""From image files to detections, the backbone alone, and the memory they take."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import models
from benchmarks.compare import near_arrays, near_detections, same_arrays, same_detections
from benchmarks.harness import Arrays, Case, Options, Side

# Variants measured beside hrdet's default: arguments of ``hrdet.optimize.optimize`` by device.
_VARIANTS = {
    'cpu': {'hrdet optimized': {}, 'hrdet bfloat16': {'dtype': 'bfloat16'}},
    'cuda': {
        'hrdet optimized': {},
        'hrdet graph': {'graph': True},
        'hrdet graph float16': {'graph': True, 'dtype': 'float16'},
    },
}


def cases(options: Options) -> list[Case]:
    """W18 on images of 800 x 1216, on a GPU 800 x 1333: Faster R-CNN, and models with masks."""
    size, scale = (500, 760 if options.device == 'cpu' else 833), [1333, 800]
    if options.tiny:
        size, scale = models.SMALL
    name = 'inference, Faster W18, file to detections, batch'
    made = [
        predict(options, models.FASTER, f'{name} 1', size, scale, 1, ('time', 'peak')),
        predict(options, models.FASTER, f'{name} 8', size, scale, 8, ('time', 'peak')),
        _backbone(options, scale),
    ]
    if options.device == 'cpu':  # on a GPU they would not fit into the minutes of ``gpu.sh``
        for title, family, ours in (
            ('Mask R-CNN', models.MASK, {}),
            ('HTC', models.HTC, dict(last_masks=True)),
        ):
            title = f'inference, {title} W18, file to masks, batch 1'
            made.append(predict(options, family, title, size, scale, 1, ('time', 'peak'), **ours))
    if options.device != 'cpu':  # there one thread cannot decode as fast as the GPU detects
        name = name.replace('file', 'decoded image')
        shape = (size, scale, 8, ('time',))
        made.append(predict(options, models.FASTER, f'{name} 8', *shape, both=dict(decoded=True)))
    return made


def predict(
    options: Options,
    family: str,
    name: str,
    size: tuple[int, int],
    scale: list[int],
    batch: int,
    measures: Sequence[str],
    both: dict[str, Any] | None = None,
    **ours: Any,
) -> Case:
    """A case of one config: image files to detections.

    ``both`` are more arguments for all sides, ``ours`` for hrdet's sides.
    """

    def files() -> tuple[dict, dict]:
        shared = dict(images=models.image_files(models.make_data(options, size), batch))
        first, second = models.arguments(options, family, scale=scale, **shared, **(both or {}))
        return first | ours, second

    variants = _VARIANTS[options.device] if measures else {}
    return Case(
        name, _sides('predict', same_detections, near_detections, variants), measures, files
    )


def _backbone(options: Options, scale: list[int]) -> Case:
    size = (192, 320) if options.tiny else (800, 1216 if options.device == 'cpu' else 1344)
    # A graph holds the neck as well.
    variants = {k: v for k, v in _VARIANTS[options.device].items() if 'graph' not in v}
    return Case(
        'backbone W18, batch 1',
        _sides('backbone', same_arrays(rtol=1e-3, atol=1e-3), near_arrays(0.03), variants),
        files=lambda: models.arguments(options, models.FASTER, scale=scale, size=size),
    )


def _sides(
    what: str,
    same: Callable[[Arrays, Arrays], str],
    near: Callable[[Arrays, Arrays], str],
    variants: dict[str, dict[str, Any]],
) -> list[Side]:
    """hrdet by default, its variants (in another type only ``near`` it), and mmdetection."""
    ours, theirs = f'{__name__}:hrdet_{what}', f'{__name__}:mmdet_{what}'
    sides = [Side('hrdet', ours, peer=False)]
    for name, values in variants.items():
        check = near if 'dtype' in values else same
        sides.append(Side(name, ours, dict(optimize=values), check, peer=False))
    return [*sides, Side('mmdetection', theirs, same=same)]


def hrdet_predict(
    images: list[str], last_masks: bool = False, decoded: bool = False, **model: Any
) -> tuple[Callable, Callable]:
    """From files, or with ``decoded`` from a batch in the host's memory.

    With ``last_masks`` the last stage alone predicts a cascade's masks.
    """
    from hrdet.apis import inference_detector
    from hrdet.data.inputs import read_image

    detector = models.load_hrdet(**model)
    if last_masks:
        head = detector.roi_head

        def predict_masks(features, rois, labels):
            *_, embedding = head._embeddings(features, rois, head.mask_head)
            last = head.mask_head[-1]
            return last.probabilities(last.logits(embedding), labels)

        head.predict_masks = predict_masks

    def arrays(detections: list) -> Arrays:
        return {
            f'{name}{i}': value
            for i, one in enumerate(detections)
            for name, value in (
                ('boxes', one.boxes),
                ('scores', one.scores),
                ('labels', one.labels),
                ('masks', _packed(one.masks)),
            )
            if value is not None
        }

    if decoded:
        batch = detector.pipeline([read_image(path) for path in images], images)
        to = model['device']
        return lambda: [result.numpy() for result in detector.predict(batch.to(to))], arrays
    return lambda: inference_detector(detector, images, batch_size=len(images)), arrays


def mmdet_predict(
    images: list[str], decoded: bool = False, **model: Any
) -> tuple[Callable, Callable]:
    import torch
    from mmdet.structures.mask import encode_mask_results
    from mmengine.dataset import pseudo_collate

    detector, pipeline = models.load_mmdet(**model)

    def load() -> dict:
        data = [pipeline(dict(img_path=path, img_id=i)) for i, path in enumerate(images)]
        return pseudo_collate(data)

    batch = load() if decoded else None

    @torch.no_grad()
    def run() -> list:
        results = [s.pred_instances.cpu().numpy() for s in detector.test_step(batch or load())]
        return [
            (one, encode_mask_results(one.masks) if 'masks' in one else None) for one in results
        ]

    def arrays(detections: list) -> Arrays:
        result = {}
        for i, (one, masks) in enumerate(detections):
            result |= {f'boxes{i}': one.bboxes, f'scores{i}': one.scores, f'labels{i}': one.labels}
            if masks is not None:
                result[f'masks{i}'] = _packed(masks)
        return result

    return run, arrays


def hrdet_backbone(size: tuple[int, int], **model: Any) -> tuple[Callable, Callable]:
    return _network(models.load_hrdet(**model).backbone, size, model['device'])


def mmdet_backbone(size: tuple[int, int], **model: Any) -> tuple[Callable, Callable]:
    return _network(models.load_mmdet(**model)[0].backbone, size, model['device'])


def _network(network: Any, size: tuple[int, int], device: str) -> tuple[Callable, Callable]:
    import torch

    image = np.random.default_rng(0).standard_normal((1, 3, *size), np.float32)
    image = torch.from_numpy(image).to(device, next(network.parameters()).dtype)

    def arrays(maps: list) -> Arrays:
        return {f'map {i}': map_.float().cpu().numpy() for i, map_ in enumerate(maps)}

    return torch.no_grad()(lambda: network(image)), arrays


def _packed(masks: list[dict] | None) -> np.ndarray | None:
    """COCO RLE masks as rows of packed bits (D, bytes)."""
    from pycocotools.mask import decode

    if masks is None:
        return None
    bits = [np.packbits(decode(mask)) for mask in masks]
    return np.array(bits, np.uint8).reshape(len(masks), -1)
