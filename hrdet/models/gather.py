"""Row selection in batched tensors."""

from torch import Tensor


def gather_rows(values: Tensor, index: Tensor) -> Tensor:
    """Rows ``index`` (N, S) of ``values`` (N, A, C): the tensor (N, S, C)."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))
