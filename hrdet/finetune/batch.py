"""Estimate how many images fit into memory, from the figures of docs/results/memory.md.

The figures are MiB in float32 for the model, and for each megapixel of the images, by the shape of
the HRNet: of Faster R-CNN with frozen norms, to which the other detectors add what their heads
take, and of classifiers and segmentors, which learn their norms.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESERVE = 1536  # MiB of a GPU: its context, workspaces and gaps between tensors
_FIGURES = {
    'boxes': {'18-small': (40, 700), '18': (307, 1433), '32': (534, 1874), '48': (947, 2378)},
    'classes': {
        '18-small-v1': (174, 796), '18-small': (193, 1367), '18': (237, 2380), '48': (700, 4193),
    },
    'label maps': {'18-small': (30, 1449), '18': (74, 2463), '48': (582, 4374)},
}  # fmt: skip
# MiB that heads add to a model, and to each image: by (cascade, masks).
_HEADS = {
    (False, False): (0, 0),
    (False, True): (25, 50),
    (True, False): (307, 54),
    (True, True): (351, 101),
}
_LEARNED_NORMS = 1.74  # times the slope where norms are not folded: 2495 / 1433
_OF_A_CPU = 0.5  # of the memory that is free: the loader's workers and the system need some
_MOST = {'boxes': 16, 'label maps': 16, 'classes': 64}
_MOST_ON_A_CPU = {'boxes': 4, 'label maps': 4, 'classes': 16}


def largest_batch(mib: float, of_model: float, of_image: float) -> int:
    """The number of images that fit into a training step of ``mib``; at least 1."""
    return max(1, int((mib - of_model) / of_image))


def memory_of(
    task: str,
    megapixels: float,
    shape: str,
    learned: bool = False,
    cascade: bool = False,
    masks: bool = False,
) -> tuple[float, float]:
    """MiB of a model, and of each image of a training step.

    Args:
        task: 'boxes', 'label maps' or 'classes'.
        megapixels: of one image.
        shape: of the HRNet, such as '18' or '18-small'; of one that was not measured the next wider
            one counts.
        learned: of a detector: norms have statistics of the batch.
        cascade: of a detector: it has three stages (HTC counts as one with masks).
        masks: of a detector: it learns masks.
    """
    # 1. What the backbone takes, 2. norms and heads.
    model, slope = _figures(_FIGURES[task], shape)
    image = slope * megapixels * (_LEARNED_NORMS if task == 'boxes' and learned else 1)
    more, more_of_image = _HEADS[cascade, masks]
    return model + more, image + more_of_image


def _figures(measured: Mapping[str, tuple[int, int]], shape: str) -> tuple[float, float]:
    """Of a shape; where it was not measured, of the next wider one, or in proportion."""
    if shape in measured:
        return measured[shape]
    width, widths = int(shape.split('-')[0]), [int(n) for n in measured if n.isdecimal()]
    widest = max(widths)
    if width <= widest:
        return measured[str(min(w for w in widths if w >= width))]
    model, slope = measured[str(widest)]
    return model * width / widest, slope * width / widest


def available_memory(force_cpu: bool) -> tuple[float, str]:
    """MiB that a training may use on its device, and the name of the device."""
    import torch

    if torch.cuda.is_available() and not force_cpu:
        free = min(torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count()))
        return free / 2**20 - RESERVE, torch.cuda.get_device_name()
    return _OF_A_CPU * _free_memory() / 2**20, 'CPU'


def max_useful_batch(task: str, on_cpu: bool) -> int:
    """The batch size beyond which training does not get faster or better."""
    return (_MOST_ON_A_CPU if on_cpu else _MOST)[task]


def _free_memory() -> int:
    """Bytes that this process may still take, of the machine and of its container."""
    free = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_AVPHYS_PAGES')
    lines = _read('/proc/meminfo').splitlines()
    available = [line.split()[1] for line in lines if line.startswith('MemAvailable')]
    free = int(available[0]) * 1024 if available else free
    limit, used = _read('/sys/fs/cgroup/memory.max'), _read('/sys/fs/cgroup/memory.current')
    if limit.strip().isdigit() and used.strip().isdigit():
        free = min(free, int(limit) - int(used))
    return max(free, 0)


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ''


def shape_of(backbone: dict[str, Any]) -> str:
    """The shape of an HRNet in a lowered config, such as '18' or '18-small'."""
    width = backbone.get('width')
    if width is not None:
        return str(width)
    # W18-small has half the blocks; its first version also has narrower branches.
    stage = backbone.get('extra', {}).get('stage4', {})
    finest = int(stage.get('num_channels', (18,))[0])
    if min(stage.get('num_blocks', (4,))) >= 4:
        return str(finest)
    return '18-small-v1' if finest == 16 else f'{finest}-small'
