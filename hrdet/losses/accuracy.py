"""Top-k accuracy: the share of predictions whose label is among the k highest scores."""

from collections.abc import Sequence

import torch
from torch import Tensor


@torch.no_grad()
def topk_hits(scores: Tensor, labels: Tensor, topk: Sequence[int] = (1,)) -> Tensor:
    """How many labels are among the k highest scores, for each k.

    Args:
        scores: (N, K, ...).
        labels: (N, ...), integers; a label that is not a class never hits.
        topk: the numbers k, each at most K.

    Returns:
        (len(topk),) int64.
    """
    largest = max(topk)
    if largest > scores.shape[1]:
        raise ValueError(f'topk={tuple(topk)}: there are only {scores.shape[1]} classes')
    if largest == 1:
        best = scores.argmax(dim=1, keepdim=True)  # on a CPU much faster than topk
    else:
        best = scores.topk(largest, dim=1).indices  # (N, largest, ...), highest first
    # Hits at each rank; summed up to rank k they are the hits of the k best.
    hits = (best == labels[:, None]).transpose(0, 1).flatten(1).sum(dim=1)  # (largest,)
    hits = hits.cumsum(0)
    return torch.stack([hits[k - 1] for k in topk])


@torch.no_grad()
def accuracy(
    scores: Tensor,
    labels: Tensor,
    topk: Sequence[int] = (1,),
    ignore_index: int | None = None,
) -> Tensor:
    """Top-k accuracy in percent, for each k, without a host sync.

    Without any label that counts it is 100, as in mmsegmentation's logs.

    Args:
        scores: (N, K, ...).
        labels: (N, ...), integers.
        topk: the numbers k, each at most K.
        ignore_index: labels that are not counted.

    Returns:
        (len(topk),) float32.
    """
    hits = topk_hits(scores, labels, topk)
    counted = labels.numel() if ignore_index is None else (labels != ignore_index).sum()
    eps = torch.finfo(torch.float32).eps
    return (hits + eps) * 100 / (counted + eps)
