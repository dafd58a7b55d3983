"""What makes a run worthless or slow, though nothing in it fails."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hrdet.data import ImageDataset, shared_images
from hrdet.messages import plural
from hrdet.models.base import BaseModel

_ANY_NAME_UP_TO = 20_000  # images: of more, files of other names are compared in hrdet check alone


def doubts(
    model: BaseModel, amp: str | None, train_set: ImageDataset, val_set: ImageDataset | None
) -> list[str]:
    """Doubts about a run that is to begin with these weights and dtype, one line each."""
    lines = []
    if amp == 'float16' and next(model.parameters()).device.type == 'cpu':
        lines.append("amp='float16' is several times slower than None on a CPU; use amp='bfloat16'")
    if has_unfilled_norms(model):
        lines.append(
            'the frozen norms of the backbone have no statistics, as its weights are random: name '
            'weights in pretrained= or load_from=, or learn the norms: backbone=dict('
            'norm_eval=False)'
        )
    shared = []
    if val_set is not None:
        few = len(train_set) + len(val_set) <= _ANY_NAME_UP_TO
        shared = shared_images(train_set, val_set, any_name=few)
    if shared:
        lines.append(
            f'{len(shared)} of {plural(len(val_set), "validation image")} are training images, '
            f'such as {shared[0]}: the metrics will be too good'
        )
    return lines


def has_unfilled_norms(model: nn.Module) -> bool:
    """Whether frozen batch norms have the statistics of fresh weights: mean 0, variance 1.

    Such norms pass their input on, and nothing that training does changes that.
    """
    model.train()
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and not m.training]
    filled = (bool((m.running_mean != 0).any() or (m.running_var != 1).any()) for m in norms)
    return bool(norms) and not any(filled)
