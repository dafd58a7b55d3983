"""What backbones share: first weights, norms that rest, frozen parts, recomputed activations."""

from collections.abc import Callable, Iterable

from torch import nn

from hrdet.models.layers.conv_norm import run_merged
from hrdet.models.layers.recompute import run_part


class Backbone(nn.Module):
    """Images (N, 3, H, W) to feature maps; ``strides`` and ``out_channels`` say which.

    Args:
        norm_eval: batch norms use their running statistics in training too; their scale and shift
            are trained.  As in the release it does not touch SyncBN.
        with_cp: compute activations again in backward instead of keeping them.
    """

    def __init__(self, norm_eval: bool, with_cp: bool) -> None:
        super().__init__()
        self.norm_eval, self.with_cp = norm_eval, with_cp

    def _frozen_parts(self) -> Iterable[nn.Module]:
        """Parts that do not train, and whose norms use their running statistics."""
        raise NotImplementedError

    def _finish(self, zero_init_residual: bool) -> None:
        """Initialise and freeze what the constructor of a backbone has built."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')
        if zero_init_residual:
            for module in self.modules():
                if hasattr(module, 'last_norm'):
                    nn.init.zeros_(module.last_norm.weight)
        for part in self._frozen_parts():
            part.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> 'Backbone':
        super().train(mode)
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):  # SyncBatchNorm is none
                    module.eval()
        for part in self._frozen_parts():
            part.eval()
        return self

    def _run(self, part: Callable, inputs):
        return run_part(part, inputs, recompute=self.with_cp)

    def _run_stage(self, stage: nn.Sequential, inputs):
        """Its parts one after another, with their resting norms merged together.

        With ``with_cp`` each part merges by itself, lest the weights of all are kept.  Stages
        stay apart: backward ends with the merging, and other processes wait for its gradients.
        """

        def run(inputs):
            for part in stage:
                inputs = self._run(part, inputs)
            return inputs

        return run(inputs) if self.with_cp else run_merged(stage, run, inputs)
