"""RoIAlign over four levels, forward and backward, and batched NMS: torchvision's and mmcv's."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.compare import same_arrays
from benchmarks.harness import Arrays, Case, Options, Side

STRIDES = (4, 8, 16, 32)
_PEERS = ('torchvision', 'mmcv')


def cases(options: Options) -> list[Case]:
    """512 and 1,000 regions; 1,000 to 20,000 boxes of 80 classes."""
    size = (200, 304) if options.tiny else (800, 1216)
    made = []
    for count in (512, 1000):
        for backward in (False, True):
            name = 'RoIAlign, 4 levels, ' + ('forward and backward' if backward else 'forward')
            values = dict(size=size, count=count, backward=backward, device=options.device)
            # Gradients of mmcv's CPU kernel are sums of thousands of float32 numbers in any order.
            same = same_arrays(rtol=1e-4, atol=1e-4)
            made.append(_case(f'{name}, {count} regions', 'roi_align', values, same))
    for count in (100, 1000) if options.tiny else (1000, 5000, 20000):
        values = dict(count=count, device=options.device)
        made.append(_case(f'batched NMS, {count} boxes', 'nms', values, same_arrays(0, 0)))
    return made


def _case(name: str, what: str, values: dict[str, Any], same: Callable) -> Case:
    here = f'{__name__}:'
    sides = [Side('hrdet', f'{here}hrdet_{what}', values, peer=False)]
    sides += [Side(peer, f'{here}{peer}_{what}', values, same) for peer in _PEERS]
    return Case(name, sides)


def _pyramid(size: tuple[int, int], count: int, device: str) -> tuple[list, Any, Any, Any]:
    """Maps of two images, regions of 16 to 500 pixels, their levels, and a gradient to send back.

    No region lies where two levels meet, so that rounding decides nothing.
    """
    import torch

    rng = np.random.default_rng(0)
    maps = [
        torch.from_numpy(rng.standard_normal((2, 256, size[0] // s, size[1] // s), np.float32))
        for s in STRIDES
    ]
    edges = np.exp(rng.uniform(np.log(16), np.log(min(size) * 0.6), (count, 2)))
    corner = rng.uniform(0, 1, (count, 2)) * (np.array(size[::-1]) - edges)
    image = rng.integers(0, 2, (count, 1))
    rois = torch.from_numpy(np.concatenate([image, corner, corner + edges], 1).astype(np.float32))
    area = (rois[:, 3:] - rois[:, 1:3]).prod(1)
    levels = (area.sqrt() / 56 + 1e-6).log2().floor().clamp(0, 3).long()
    grad = torch.from_numpy(rng.standard_normal((count, 256, 7, 7), np.float32))
    moved = [map_.to(device).requires_grad_() for map_ in maps]
    return moved, rois.to(device), levels.to(device), grad.to(device)


def _run(pool: Callable[[], Any], maps: list, grad: Any, backward: bool) -> tuple:
    import torch

    @torch.set_grad_enabled(backward)
    def run() -> tuple:
        pooled = pool()
        return pooled, torch.autograd.grad(pooled, maps, grad) if backward else ()

    def arrays(result: tuple) -> Arrays:
        tensors = [result[0].detach(), *result[1]]
        return {str(i): value.cpu().numpy() for i, value in enumerate(tensors)}

    return run, arrays


def hrdet_roi_align(size: tuple, count: int, backward: bool, device: str) -> tuple:
    from hrdet.ops import roi_align

    maps, rois, _, grad = _pyramid(size, count, device)
    return _run(lambda: roi_align(maps, rois, 7, STRIDES, 2, True), maps, grad, backward)


def torchvision_roi_align(size: tuple, count: int, backward: bool, device: str) -> tuple:
    from torchvision.ops import roi_align

    def align(map_, rois, scale):
        return roi_align(map_, rois, 7, scale, 2, aligned=True)

    return _level_by_level(align, size, count, backward, device)


def mmcv_roi_align(size: tuple, count: int, backward: bool, device: str) -> tuple:
    from mmcv.ops import roi_align

    def align(map_, rois, scale):
        return roi_align(map_, rois, 7, scale, 2, 'avg', True)

    return _level_by_level(align, size, count, backward, device)


def _level_by_level(align: Callable, size: tuple, count: int, backward: bool, device: str) -> tuple:
    """RoIAlign over a pyramid as both peers do it: the regions of each level in turn."""
    maps, rois, levels, grad = _pyramid(size, count, device)

    def pool() -> Any:
        pooled = maps[0].new_zeros(len(rois), 256, 7, 7)
        for level, (map_, stride) in enumerate(zip(maps, STRIDES)):
            rows = (levels == level).nonzero(as_tuple=True)[0]
            pooled[rows] = align(map_, rois[rows], 1 / stride)
        return pooled

    return _run(pool, maps, grad, backward)


def _boxes(count: int, device: str) -> tuple:
    """Overlapping boxes with classes; scores are all different."""
    import torch

    rng = np.random.default_rng(1)
    centre = rng.uniform(0, 1, (count // 8, 2)) * (1216, 800)
    edges = np.exp(rng.uniform(np.log(16), np.log(300), (count // 8, 2)))
    index = rng.integers(0, count // 8, count)
    centre = centre[index] + rng.normal(0, 0.15, (count, 2)) * edges[index]
    edges = edges[index] * np.exp(rng.normal(0, 0.2, (count, 2)))
    boxes = np.concatenate([centre - edges / 2, centre + edges / 2], 1).astype(np.float32)
    scores = (rng.permutation(count) + 1).astype(np.float32) / (count + 1)
    labels = rng.integers(0, 80, count)
    return tuple(torch.from_numpy(values).to(device) for values in (boxes, scores, labels))


def hrdet_nms(count: int, device: str) -> tuple:
    """Each class is a problem of its own; padding rows fill up to the fullest class."""
    import torch

    from hrdet.ops import nms

    boxes, scores, labels = _boxes(count, device)

    def run() -> Any:
        # Boxes by class, as rows of a table with padding, and back: what a peer's call includes.
        counts = labels.bincount(minlength=80)
        order = labels.argsort(stable=True)
        place = torch.arange(count, device=device) - (counts.cumsum(0) - counts)[labels[order]]
        room = int(counts.max())
        table = boxes.new_zeros(80, room, 4).index_put_((labels[order], place), boxes[order])
        rank = scores.new_full((80, room), -torch.inf)
        rank.index_put_((labels[order], place), scores[order])
        source = labels.new_zeros(80, room).index_put_((labels[order], place), order)
        index, valid = nms(table, rank, 0.5, room)
        keep = source.gather(1, index)[valid]
        return keep[scores[keep].argsort(descending=True)]

    return run, _kept


def torchvision_nms(count: int, device: str) -> tuple:
    from torchvision.ops import batched_nms

    boxes, scores, labels = _boxes(count, device)
    return lambda: batched_nms(boxes, scores, labels, 0.5), _kept


def mmcv_nms(count: int, device: str) -> tuple:
    from mmcv.ops import batched_nms

    boxes, scores, labels = _boxes(count, device)
    config = dict(type='nms', iou_threshold=0.5)
    return lambda: batched_nms(boxes, scores, labels, config)[1], _kept


def _kept(index: Any) -> Arrays:
    return {'kept': index.cpu().numpy()}
