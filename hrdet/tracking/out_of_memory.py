"""Out of memory in a training step: what the step took, and what to change."""

import torch

from hrdet.messages import plural
from hrdet.structures import Batch

# Parts of the memory of an image that remain (docs/results/memory.md, W18).
_WITH_CP, _BFLOAT16 = 0.52, 0.53
_OF_A_CPU = "DefaultCPUAllocator: can't allocate memory"


class OutOfMemory(RuntimeError):
    """A training step needs more memory than the device has; the message says what to change."""


def explain_out_of_memory(error: RuntimeError, batch: Batch, device: torch.device) -> None:
    """Raise an OutOfMemory for a lack of memory in a step on this batch; return after any other."""
    # On a CPU torch raises a plain RuntimeError.
    if isinstance(error, torch.OutOfMemoryError) or _OF_A_CPU in str(error):
        raise OutOfMemory(_advice(batch, device)) from error


def _advice(batch: Batch, device: torch.device) -> str:
    count, _, height, width = batch.images.shape
    had = ''
    if device.type == 'cuda':
        total = torch.cuda.get_device_properties(device).total_memory / 2**30
        taken = torch.cuda.max_memory_allocated(device) / 2**30
        had = f' of {total:.1f} GiB; it took {taken / count:.2f} GiB an image before it failed'
    batch_size = (
        f'set data.imgs_per_gpu={count // 2} (train.batch_size={count // 2} in a config of --data; '
        f'the learning rate follows), or '
        if count > 1
        else 'set a smaller img_scale, or '
    )
    return (
        f'out of memory: a training step on {plural(count, "image")} of {height} x {width} does '
        f'not fit into the memory{had}: {batch_size}model.backbone.with_cp=True '
        f'({_WITH_CP:g} times the memory an image) or amp=bfloat16 (training.amp in a config of '
        f'--data; {_BFLOAT16:g} times), with --cfg-options; tools/analysis/memory.py CONFIG '
        f'computes what fits'
    )
