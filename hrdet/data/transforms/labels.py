"""Changes of the values of label maps."""

import numpy as np

from hrdet.structures.truth import SEMANTIC_IGNORE


def reduce_zero_label(label: np.ndarray, ignore_index: int = SEMANTIC_IGNORE) -> np.ndarray:
    """A uint8 label map in which 0 is ignored and every class k becomes k - 1.

    ``ignore_index`` stays as it is.
    """
    table = np.arange(256, dtype=np.int64) - 1
    table[[0, ignore_index]] = ignore_index
    return table.astype(np.uint8)[label]
