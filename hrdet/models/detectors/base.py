"""The base class of detectors."""

from torch import nn

from hrdet.boxes import BoxConvention
from hrdet.models.base import BaseModel
from hrdet.models.preprocess import Preprocess


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
