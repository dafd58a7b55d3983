"""The base class of backbones: initialisation, frozen batch norm and stages, checkpointing."""

from collections.abc import Callable, Iterable

from torch import nn

from hrdet.models.layers import checkpointed, init_convs
from hrdet.models.maps import Maps


class Backbone(nn.Module):
    """Images (N, 3, H, W) to feature maps, finest first.

    A subclass declares ``channels`` and ``strides`` of its maps; detectors, classifiers and
    segmentors ask for nothing else.

    Args:
        norm_eval: frozen batch norm: running statistics are used in training too, while scale and
            shift are trained.  As in the 2019 release it does not affect SyncBN.
        with_cp: activation checkpointing, part by part.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]

    def __init__(self, norm_eval: bool, with_cp: bool) -> None:
        super().__init__()
        self.norm_eval, self.with_cp = norm_eval, with_cp

    @property
    def maps(self) -> Maps:
        """What is known of its maps."""
        return Maps(self.channels, self.strides)

    @property
    def out_channels(self) -> list[int]:
        """The earlier name of ``channels``."""
        return list(self.channels)

    def _frozen_parts(self) -> Iterable[nn.Module]:
        """Parts without training, whose norms use their running statistics."""
        raise NotImplementedError

    def _finish(self, zero_init_residual: bool) -> None:
        """Initialise and freeze what the constructor of a backbone has built."""
        init_convs(self)
        # A residual branch whose last norm has the scale 0 adds nothing at first.
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
                if isinstance(module, nn.BatchNorm2d):  # SyncBatchNorm is not a subclass of it
                    module.eval()
        for part in self._frozen_parts():
            part.eval()
        return self

    def _run(self, part: Callable, x):
        """``part(x)``, checkpointed with ``with_cp``."""
        return checkpointed(part, x, enabled=self.with_cp)

    def _run_stage(self, stage: nn.Sequential, x):
        """Blocks or modules one after another, each checkpointed by itself."""
        for part in stage:
            x = self._run(part, x)
        return x
