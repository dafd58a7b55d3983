"""From soft masks of 28 x 28 to COCO RLE of whole images: 100 masks, as Mask R-CNN has them."""

from typing import Any

import numpy as np

from benchmarks.compare import MASK_IOU
from benchmarks.harness import Arrays, Case, DisagreementError, Options, Side


def cases(options: Options) -> list[Case]:
    """One image of 800 x 1216 (at the size of its file)."""
    values = dict(
        size=(200, 304) if options.tiny else (800, 1216), count=100, device=options.device
    )
    sides = [
        Side('hrdet', f'{__name__}:hrdet_encode', values, peer=False),
        Side('mmdetection', f'{__name__}:mmdet_encode', values, _same_masks),
    ]
    return [Case('pasting and RLE encoding of 100 masks', sides)]


def _soft(size: tuple[int, int], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits (R, 28, 28) of a smooth blob in each box, and boxes (R, 4)."""
    rng = np.random.default_rng(0)
    edges = np.exp(rng.uniform(np.log(24), np.log(min(size) * 0.8), (count, 2)))
    corner = rng.uniform(0, 1, (count, 2)) * (np.array(size[::-1]) - edges)
    boxes = np.concatenate([corner, corner + edges], 1).astype(np.float32)
    y, x = (np.mgrid[:28, :28] + 0.5) / 14 - 1
    angle = np.arctan2(y, x)
    lobes = rng.integers(2, 6, (count, 1, 1))
    radius = 0.8 + 0.2 * np.sin(lobes * angle + rng.uniform(0, 6, (count, 1, 1)))
    return ((radius - np.hypot(x, y)) * 8).astype(np.float32), boxes


def hrdet_encode(size: tuple[int, int], count: int, device: str) -> tuple:
    import torch

    from hrdet.ops import encode_masks

    logits, boxes = (torch.from_numpy(part).to(device) for part in _soft(size, count))
    sizes = torch.tensor([size] * count)
    return lambda: encode_masks(logits.sigmoid(), boxes, sizes, 0.5, False), _decoded


def mmdet_encode(size: tuple[int, int], count: int, device: str) -> tuple:
    """What ``FCNMaskHead.predict`` does after its network, and ``CocoMetric`` after it."""
    import torch
    from mmdet.models.roi_heads.mask_heads import FCNMaskHead
    from mmdet.structures.mask import encode_mask_results
    from mmengine.config import ConfigDict

    logits, boxes = (torch.from_numpy(part).to(device) for part in _soft(size, count))
    labels = torch.zeros(count, dtype=torch.long, device=device)
    head = FCNMaskHead(num_classes=1).to(device)
    config = ConfigDict(mask_thr_binary=0.5)
    meta = dict(scale_factor=(1.0, 1.0), ori_shape=tuple(size))

    @torch.no_grad()
    def run() -> Any:
        masks = head._predict_by_feat_single(logits[:, None], boxes, labels, meta, config)
        return encode_mask_results(masks.cpu().numpy())

    return run, _decoded


def _decoded(masks: list[dict]) -> Arrays:
    from pycocotools.mask import decode

    return {'masks': np.stack([decode(mask) for mask in masks])}


def _same_masks(ours: Arrays, theirs: Arrays) -> str:
    a, b = ours['masks'].astype(bool), theirs['masks'].astype(bool)
    iou = (a & b).sum((1, 2)) / (a | b).sum((1, 2)).clip(1)
    if iou.min() < MASK_IOU:
        raise DisagreementError(f'IoU of mask {iou.argmin()}: {iou.min():.4f}')
    return f'{(a != b).sum()} of {a.sum()} pixels differ'
