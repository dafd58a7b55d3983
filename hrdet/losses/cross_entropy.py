"""Cross entropy of whole images and of every pixel.

N images, K classes, H x W pixels.  Logits in half precision are computed in float32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from hrdet.structures.truth import SEMANTIC_IGNORE


def soft_cross_entropy(logits: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross entropy of image classes.

    Args:
        logits: (N, K).
        target: labels (N,), or a probability for each class (N, K), as mixup and cutmix give them.
        label_smoothing: the part of each target that is spread evenly over the K classes
            (Szegedy et al. 2016, section 7).

    Returns:
        A scalar.
    """
    if target.ndim < logits.ndim:
        target = target.long()
    return F.cross_entropy(_wide(logits), target, label_smoothing=label_smoothing)


def pixel_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    ignore_index: int = SEMANTIC_IGNORE,
    class_weight: Tensor | None = None,
    pixel_weight: Tensor | None = None,
    avg_non_ignore: bool = False,
    avg_class_weight: bool = False,
) -> Tensor:
    """Cross entropy of label maps, averaged as mmsegmentation averages it.

    The sum over all pixels is divided by the number of pixels, **ignored ones included**.  Both
    releases of mmsegmentation do so, and all their published models were trained this way.

    Args:
        logits: (N, K, H, W).
        labels: (N, H, W), integers.
        ignore_index: label of pixels that add nothing to the sum.
        class_weight: (K,), a factor for each pixel by its label.
        pixel_weight: (N, H, W), a factor for each pixel, such as of ``hard_pixels``.
        avg_non_ignore: divide by the number of pixels that are not ignored.
        avg_class_weight: with ``class_weight``, divide by the sum of the class weights of the
            pixels that are not ignored.  mmsegmentation 1.x does this, 0.x divides as without
            weights, which is the default here.

    Returns:
        A scalar; 0 where every pixel is ignored.
    """
    labels = labels.long()
    # (N, H, W), 0 where ignored.
    losses = _pixel_losses(logits, labels, ignore_index, class_weight)
    if pixel_weight is not None:
        losses = losses * pixel_weight
    # The divisor stays on the device: reading it would stop the training step.
    if class_weight is not None and avg_class_weight:
        valid = labels != ignore_index
        divisor = (class_weight[torch.where(valid, labels, 0)] * valid).sum()
    elif avg_non_ignore:
        divisor = (labels != ignore_index).sum()
    else:
        return losses.sum() / max(labels.numel(), 1)
    # The epsilon is the releases': it decides only where all pixels are ignored.
    return losses.sum() / (divisor + torch.finfo(torch.float32).eps)


@torch.no_grad()
def hard_pixels(
    logits: Tensor,
    labels: Tensor,
    thresh: float | None = None,
    min_kept: int = 100_000,
    ignore_index: int = SEMANTIC_IGNORE,
) -> Tensor:
    """Online hard example mining (mmsegmentation's ``OHEMPixelSampler``): 1 for pixels to train on.

    With ``thresh``: the pixels whose label has a probability below ``thresh``, or below the
    ``min_kept * N``-th smallest one where that is larger.  Without: the ``min_kept * N`` pixels of
    the largest loss.  Fewer where there are fewer that are not ignored.

    Args:
        logits: (N, K, H, W).
        labels: (N, H, W), integers.
        thresh: a probability, or None.
        min_kept: pixels an image; counted over the batch.
        ignore_index: label of pixels that are never chosen.

    Returns:
        (N, H, W) of the logits' dtype, 0 or 1; a ``pixel_weight`` of ``pixel_cross_entropy``.
    """
    labels = labels.long()
    valid = labels != ignore_index  # (N, H, W)
    count = min(min_kept * len(labels), labels.numel())
    if thresh is None:
        # Ignored pixels get -1, below every loss.
        losses = _pixel_losses(logits, labels, ignore_index).masked_fill(~valid, -1)
        hardest = losses.flatten().topk(count).indices
        chosen = torch.zeros_like(losses).flatten().scatter_(0, hardest, 1)
        return (chosen.view_as(losses) * valid).to(logits.dtype)
    # 1. The probability of each pixel's label; ignored pixels come after all others.
    probability = _wide(logits).softmax(dim=1)  # (N, K, H, W)
    probability = probability.gather(1, torch.where(valid, labels, 0)[:, None])[:, 0]
    probability = probability.masked_fill(~valid, torch.inf)  # (N, H, W)
    # 2. The (count + 1)-th smallest of them, or the last valid one where there are fewer.  The
    #    count of valid pixels is a tensor, and stays on the device.
    smallest = probability.flatten().topk(min(count + 1, labels.numel()), largest=False).values
    position = (valid.sum() - 1).clamp(min=0, max=len(smallest) - 1)
    threshold = smallest.gather(0, position[None]).clamp(min=thresh)  # (1,)
    return ((probability < threshold) & valid).to(logits.dtype)


def _pixel_losses(
    logits: Tensor, labels: Tensor, ignore_index: int, class_weight: Tensor | None = None
) -> Tensor:
    """(N, H, W) float32; 0 where ignored."""
    return F.cross_entropy(
        _wide(logits), labels, class_weight, ignore_index=ignore_index, reduction='none'
    )


def _wide(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
