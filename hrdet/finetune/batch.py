"""Estimate how many images fit into memory, from the figures of docs/results/memory.md.

The figures are MiB in float32 for the model, and for each megapixel of the images, by the width of
the HRNet: of Faster R-CNN with frozen norms, whose slope is multiplied by the factors below for
other detectors, and of classifiers and segmentors, which learn their norms.
"""

import os
from pathlib import Path
from typing import Any

RESERVE = 1536  # MiB of a GPU: its context, workspaces and gaps between tensors
_FIGURES = {
    'boxes': {18: (307, 1433), 32: (534, 1874), 48: (947, 2378)},
    'classes': {18: (237, 2380), 48: (700, 4193)},
    'label maps': {18: (74, 2463), 48: (582, 4374)},
}
_LEARNED_NORMS = 1.74  # times the slope where norms are not folded: 2495 / 1433
_MORE_STAGES = 1.3  # masks and cascades: not measured
_OF_A_CPU = 0.5  # of the memory that is free: the loader's workers and the system need some
_MOST = {'boxes': 16, 'label maps': 16, 'classes': 64}
_MOST_ON_A_CPU = {'boxes': 4, 'label maps': 4, 'classes': 16}


def largest_batch(
    task: str, mib: float, megapixels: float, width: int, learned: bool, plain: bool
) -> int:
    """The number of images of a size that fit into a training step; at least 1.

    Args:
        task: 'boxes', 'label maps' or 'classes'.
        mib: memory to be used.
        megapixels: of one image.
        width: of the HRNet; between the measured widths the larger one counts.
        learned: of a detector: norms have statistics of the batch.
        plain: of a detector: one stage without masks.
    """
    figures = _FIGURES[task]
    model, slope = figures[next((w for w in figures if w >= width), 48)]
    if width > 48:
        model, slope = model * width / 48, slope * width / 48
    if task == 'boxes':
        slope *= (_LEARNED_NORMS if learned else 1) * (1 if plain else _MORE_STAGES)
    return max(1, int((mib - model) / (slope * megapixels)))


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


def width_of(backbone: dict[str, Any]) -> int:
    """The width of an HRNet in a lowered config: of its highest resolution."""
    width = backbone.get('width')
    if width is None:
        channels = backbone.get('extra', {}).get('stage4', {}).get('num_channels', (18,))
        return int(channels[0])
    return int(str(width).split('-')[0])
