"""Image classifiers: features of the whole image, pooled, and a linear head."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hrdet.models.base import BaseModel
from hrdet.models.classifiers.mixing import mix
from hrdet.models.heads.linear_cls_head import LinearClsHead
from hrdet.models.maps import check_takes
from hrdet.models.preprocess import Preprocess
from hrdet.models.views import augmented_batches
from hrdet.registry import ConfigError, register
from hrdet.structures import Batch, ClassScores, Views


@register()
class ImageClassifier(BaseModel):
    """An image classifier.

    ``model(images)`` with a tensor (N, 3, H, W) of **normalised** images returns logits (N, K), as
    classifiers of timm and mmpretrain do; with a ``Batch`` it works as for all models.

    Args:
        neck: modules in the order of their use; the last one pools to (N, C).
        batch_augments: ``Mixup``, ``CutMix``; one is drawn for each batch of training.
    """

    task = 'classification'
    usual_size = (224, 224)

    def __init__(
        self,
        preprocess: Preprocess,
        backbone: nn.Module,
        neck: Sequence[nn.Module],
        head: LinearClsHead,
        batch_augments: Sequence[Any] = (),
    ) -> None:
        super().__init__(preprocess, backbone, nn.Sequential(*neck))
        self.head = head
        check_takes(head, 'head', self.maps)
        self.batch_augments = tuple(batch_augments)

    def heads(self) -> dict[str, nn.Module]:
        return dict(head=self.head)

    def forward(self, batch: Batch | Tensor, mode: str = 'loss') -> Any:
        if isinstance(batch, Tensor):
            return self.head(self._pooled(batch))
        return super().forward(batch, mode)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        images, labels = self.preprocess(batch), batch.truth.labels
        images, target = mix(images, labels, self.head.num_classes, self.batch_augments)
        return self.head.loss(self.head(self._pooled(images)), target)

    @torch.no_grad()
    def predict(self, batch: Batch | Views, rescale: bool = True) -> list[ClassScores]:
        """The probabilities of each image's classes; of several views their mean."""
        # One (N, K) for each view.
        scores = [
            self._logits(view).float().softmax(dim=1) for view in augmented_batches(batch, rescale)
        ]
        return [ClassScores(row) for row in torch.stack(scores).mean(dim=0).cpu()]

    @torch.no_grad()
    def predict_tensors(self, images: Tensor, sizes: Tensor | None = None) -> dict[str, Tensor]:
        """``scores`` (N, K), the probabilities of the classes."""
        return dict(scores=self(self.preprocess.normalise(images)).float().softmax(dim=1))

    def _pooled(self, images: Tensor) -> Tensor:
        """(N, C) of normalised images.

        Raises:
            ConfigError: the neck makes something else.
        """
        pooled = self.neck(self.backbone(images))
        if not isinstance(pooled, Tensor) or pooled.ndim != 2:
            raise ConfigError(
                'model.neck: it must end with features (N, C) of each image: add '
                "dict(type='GlobalAveragePooling'), after HRFuseScales for an HRNet"
            )
        return pooled

    def _logits(self, batch: Batch) -> Tensor:
        """(N, K); images of different sizes one by one, so that padding changes no score."""
        images = self.preprocess(batch)
        sizes = [meta.input_size for meta in batch.metas]
        if all(size == images.shape[-2:] for size in sizes):
            return self(images)
        return torch.cat([self(images[i : i + 1, :, :h, :w]) for i, (h, w) in enumerate(sizes)])

    def extract_feat(self, images: Tensor, stage: str = 'neck') -> tuple[Tensor, ...] | Tensor:
        """Features of normalised images (N, 3, H, W), as mmpretrain's method of that name.

        Args:
            images: normalised.
            stage: ``'backbone'``: a tuple of four maps; ``'neck'``: a tuple of one (N, C);
                ``'pre_logits'``: the input (N, C) of the linear layer.
        """
        if stage not in ('backbone', 'neck', 'pre_logits'):
            raise ValueError(f"stage must be 'backbone', 'neck' or 'pre_logits', not {stage!r}")
        maps = self.backbone(images)
        if stage == 'backbone':
            return tuple(maps)
        pooled = self.neck(maps)
        return (pooled,) if stage == 'neck' else pooled
