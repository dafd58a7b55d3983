"""The base class of detectors."""

import torch
from torch import Tensor, nn

from hrdet.boxes import BoxConvention
from hrdet.models.base import BaseModel
from hrdet.models.preprocess import Preprocess
from hrdet.registry import ConfigError
from hrdet.structures import Batch


class Detector(BaseModel):
    """A model whose results are ``Detections``; ``convention`` says what its boxes mean.

    The convention is given to the detector only: building passes it on to every part that takes it.
    """

    passes_on = ('convention',)
    task = 'detection'
    takes_padded = True

    def __init__(
        self,
        preprocess: Preprocess,
        backbone: nn.Module,
        neck: nn.Module | None,
        convention: str,
    ) -> None:
        super().__init__(preprocess, backbone, neck)
        self.convention = BoxConvention(convention)

    def check_tracing(self, batch: bool, size: bool) -> None:
        if size:
            raise ConfigError(
                'a detector has a fixed number of anchors or points, so a fixed size: leave out '
                '--dynamic size, and pad smaller images (the input sizes tells them apart)'
            )
        for name, part in self.named_children():
            if getattr(part, 'max_per_img', 0) < 0:
                raise ConfigError(
                    f'{name}.max_per_img is below 0, all detections: an exported detector has a '
                    f'fixed number of rows; set max_per_img of test_cfg, such as 100'
                )

    def _batch(self, images: Tensor, sizes: Tensor | None) -> Batch:
        """The arguments of ``predict_tensors`` as a batch without metas."""
        if sizes is None:
            sizes = torch.tensor([images.shape[-2:]] * len(images), dtype=torch.float32)
            sizes = sizes.to(images.device)
        return Batch(images, [], sizes, sizes)
