"""The weights and the first batches of a training, saved so that a peer can train on the same.

``benchmarks.learning --same-batches`` names this module in the config of its run
(``custom_imports``).
"""

from pathlib import Path

import numpy as np
import torch

from hrdet.engine import Hook
from hrdet.registry import register


@register()
class SaveBatches(Hook):
    """Writes ``weights.pth`` and ``batch<i>.npz`` to a folder, and ends the run after the last."""

    def __init__(self, folder: str, count: int) -> None:
        self.folder, self.count = Path(folder), count

    def before_run(self, trainer) -> None:
        torch.save({'state_dict': trainer.model.state_dict()}, self.folder / 'weights.pth')

    def before_iteration(self, trainer, batch) -> None:
        """Images (3, h, w) uint8 BGR and label maps (h, w), both without padding."""
        arrays = {}
        for i, (height, width) in enumerate(batch.input_sizes.int().tolist()):
            arrays[f'image{i}'] = batch.images[i, :, :height, :width].numpy()
            arrays[f'labels{i}'] = batch.truth.labels[i, :height, :width].numpy()
        np.savez(self.folder / f'batch{trainer.iter}.npz', **arrays)

    def after_iteration(self, trainer, batch, losses) -> None:
        if trainer.iter == self.count:
            trainer.stop('the batches are saved')
