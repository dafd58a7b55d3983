"""What every detector promises the engine: losses of a batch, or detections of its images."""

from torch import Tensor, nn

from hrdet.boxes import BoxConvention
from hrdet.models.preprocess import Preprocess
from hrdet.structures import Batch, Detections, Views


class Detector(nn.Module):
    """A module with two modes, and with what finds features; heads are the detector's own.

    ``convention`` is what its numbers mean (see ``hrdet.boxes``).  ``classes`` are the names of
    labels 0..K-1; whoever builds the detector sets them from the data set or the checkpoint.
    """

    classes: tuple[str, ...] | None = None

    def __init__(
        self, preprocess: Preprocess, backbone: nn.Module, neck: nn.Module, convention: str
    ) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.backbone = backbone
        self.neck = neck
        self.convention = BoxConvention(convention)

    def extract(self, batch: Batch) -> list[Tensor]:
        """Feature maps (N, C, h, w) of all levels."""
        return self.neck(self.backbone(self.preprocess(batch)))

    def forward(self, batch: Batch, mode: str = 'loss') -> dict[str, Tensor] | list[Detections]:
        """``loss(batch)`` or ``predict(batch)``: one door, because DDP wraps only ``forward``."""
        if mode == 'loss':
            return self.loss(batch)
        if mode == 'predict':
            return self.predict(batch)
        raise ValueError(f"mode must be 'loss' or 'predict', not {mode!r}")

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Scalar losses by name; what is trained is their sum."""
        raise NotImplementedError

    def predict(self, batch: Batch | Views, rescale: bool = True) -> list[Detections]:
        """The objects of each image on the CPU, in pixels of the original (or input) image.

        Several views of the images are test-time augmentation.
        """
        raise NotImplementedError
