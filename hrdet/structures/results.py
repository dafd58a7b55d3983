"""What comes out of a model: proposals inside it, detections at its end."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(slots=True)
class Proposals:
    """Candidate boxes of a batch: N images, P rows each, best first; pixels of the input."""

    boxes: Tensor  # (N, P, 4)
    scores: Tensor  # (N, P)
    valid: Tensor  # (N, P) bool: rows that hold a proposal


@dataclass(slots=True)
class Detections:
    """The objects found on one image, best first; pixels of the original image."""

    boxes: Tensor | np.ndarray  # (D, 4)
    scores: Tensor | np.ndarray  # (D,)
    labels: Tensor | np.ndarray  # (D,) in 0..K-1
    masks: list[dict] | None = None  # D COCO RLE masks of the original size
