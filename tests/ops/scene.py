"""Feature pyramids and rois to try RoIAlign on."""

import numpy as np
import torch

STRIDES = (4, 8, 16, 32)
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def inclusive(rois: torch.Tensor) -> torch.Tensor:
    """Golden rois have inclusive corners."""
    return rois + torch.tensor([0.0, 0, 0, 1, 1])


def scene(seed=0, images=2, channels=5, rois=40, dtype=torch.float64):
    """Maps of a 128 x 160 image and rois on, across and outside of it, of all kinds of sizes."""
    rng = np.random.default_rng(seed)
    maps = [
        torch.from_numpy(rng.normal(size=(images, channels, 128 // s, 160 // s))) for s in STRIDES
    ]
    corner = rng.uniform(-40, 160, (rois, 2))
    size = rng.uniform(0, 1, (rois, 1)) ** 2 * 300 * rng.uniform(-0.1, 1, (rois, 2))
    image = rng.integers(-1, images, (rois, 1))
    table = torch.from_numpy(np.concatenate([image, corner, corner + size], axis=1))
    return [map_.to(dtype) for map_ in maps], table.to(dtype)
