"""The base class of all models: preprocess, backbone, neck, and one ``forward`` for every use."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from hrdet.models.maps import maps_of
from hrdet.models.preprocess import Preprocess
from hrdet.structures import Batch, Views


def is_accuracy(name: str) -> bool:
    """Whether a value of ``BaseModel.loss`` is only logged: ``acc_*``, also ``decode.acc_seg``."""
    return name.split('.')[-1].startswith('acc_')


def total_loss(values: Mapping[str, Tensor]) -> Tensor:
    """The scalar that training minimises: the sum of all values that are losses."""
    return sum(value for name, value in values.items() if not is_accuracy(name))


class BaseModel(nn.Module):
    """A network whose subclasses add heads; it computes the losses or the results of a batch.

    ``classes`` are the names of labels 0..K-1, and ``palette`` their colours (R, G, B) in pictures;
    both are set after construction from the data set or the checkpoint.

    Args:
        preprocess: from a batch to normalised images (N, 3, H, W).
        backbone: from images to feature maps, finest first.
        neck: from feature maps to feature maps; None passes them on.
    """

    classes: tuple[str, ...] | None = None
    usual_size = (800, 1216)  # (h, w) of the input for which published costs are counted
    palette: tuple[tuple[int, int, int], ...] | None = None  # None: default colours
    task = ''  # as in ``hrdet.zoo``
    pipeline: Any = None  # from images of users to a batch; ``hrdet.apis`` sets it
    takes_padded = False  # ``predict_tensors`` needs the sizes of images in a padded input

    def __init__(
        self, preprocess: Preprocess, backbone: nn.Module, neck: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.backbone = backbone
        self.neck = nn.Identity() if neck is None else neck
        necks = neck if isinstance(neck, nn.Sequential) else [neck] * (neck is not None)
        self.maps = maps_of(backbone, necks)  # what heads are given, if it is known

    def extract(self, batch: Batch) -> list[Tensor]:
        """Feature maps (N, C, h, w) of all levels."""
        return self.neck(self.backbone(self.preprocess(batch)))

    def forward(self, batch: Batch, mode: str = 'loss') -> dict[str, Tensor] | list[Any]:
        """``loss(batch)`` or ``predict(batch)``; the only entry: DDP wraps only ``forward``."""
        if mode == 'loss':
            return self.loss(batch)
        if mode == 'predict':
            return self.predict(batch)
        raise ValueError(f"mode must be 'loss' or 'predict', not {mode!r}")

    def heads(self) -> dict[str, nn.Module]:
        """Heads that take the whole output of the neck: their shapes follow from the input's alone.

        ``optimize`` and the count of FLOPs ask for them.  A head lists in ``float32_layers`` the
        children whose results are ranked or are boxes.
        """
        return {}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Scalar losses by name, whose sum training minimises, and accuracies to be logged."""
        raise NotImplementedError

    def predict(self, batch: Batch | Views, rescale: bool = True) -> list[Any]:
        """The result of each image on the CPU, in pixels of the original (or input) image.

        Several views of the images are test-time augmentation.
        """
        raise NotImplementedError

    def predict_tensors(self, images: Tensor, sizes: Tensor | None = None) -> dict[str, Tensor]:
        """The results of a batch by name, in pixels of the input: what exported files return.

        Shapes follow from those of the images alone.

        Args:
            images: (N, 3, H, W) uint8 BGR.
            sizes: (N, 2) float32, (h, w) of each image in the upper left of the input, for models
                that ``takes_padded``; None: the images fill it.
        """
        raise NotImplementedError

    def check_tracing(self, batch: bool, size: bool) -> None:
        """Raise a ConfigError where ``predict_tensors`` cannot be traced once for all inputs.

        ``batch`` and ``size``: whether N, and H and W, are to vary from call to call.
        """
