"""Semantic segmentors: features, logits of every pixel, and label maps of the original size."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hrdet.boxes.windows import sliding_windows
from hrdet.models.base import BaseModel
from hrdet.models.heads.fcn_head import FCNHead
from hrdet.models.maps import check_takes
from hrdet.models.preprocess import Preprocess
from hrdet.models.segmentors.label_maps import ResizedLogits, WindowMeans
from hrdet.models.views import augmented_batches
from hrdet.ranges import Count
from hrdet.registry import ConfigError, register
from hrdet.structures import Batch, LabelMap, Views


@register()
class EncoderDecoder(BaseModel):
    """An encoder-decoder for semantic segmentation (FCN-HRNet).

    Logits are resized twice, as for the published figures: to the size of the input, and then to
    the size of the original image.

    Args:
        crop_size: (h, w) of the windows that a large image is cut into; None predicts it whole.
        stride: (y, x) from one window to the next; where windows overlap, logits are averaged.
    """

    task = 'segmentation'
    usual_size = (512, 1024)

    def __init__(
        self,
        preprocess: Preprocess,
        backbone: nn.Module,
        decode_head: FCNHead,
        neck: nn.Module | None = None,
        crop_size: Sequence[Count] | None = None,
        stride: Sequence[Count] | None = None,
    ) -> None:
        super().__init__(preprocess, backbone, neck)
        if (crop_size is None) != (stride is None):
            raise ValueError('sliding inference needs both crop_size and stride')
        self.decode_head = decode_head
        giver = 'the neck' if neck is not None else 'the backbone'
        check_takes(decode_head, 'decode_head', self.maps, giver)
        self.crop_size = None if crop_size is None else tuple(crop_size)
        self.stride = None if stride is None else tuple(stride)

    def heads(self) -> dict[str, nn.Module]:
        return dict(decode_head=self.decode_head)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        values = self.decode_head.loss(self.decode_head(self.extract(batch)), batch.truth.labels)
        return {f'decode.{name}': value for name, value in values.items()}

    @torch.no_grad()
    def predict(
        self, batch: Batch | Views, rescale: bool = True, with_logits: bool = False
    ) -> list[LabelMap]:
        """Label maps in pixels of the original image, or of the input.

        Several views are averaged as probabilities, in pixels of the original image.
        ``with_logits`` keeps the logits (of several views: the mean probabilities) beside them.
        """
        views = augmented_batches(batch, rescale)
        maps = [self._maps(view, rescale) for view in views]  # of each view: one for each image
        results = []
        for of_image in zip(*maps):
            if len(of_image) == 1 and not with_logits:
                labels, logits = of_image[0].labels(), None
            else:
                labels, logits = _mean_of_views(of_image, with_logits)
            results.append(LabelMap(labels.cpu(), logits, self.classes, self.palette))
        return results

    @torch.no_grad()
    def predict_tensors(self, images: Tensor, sizes: Tensor | None = None) -> dict[str, Tensor]:
        """``labels`` (N, H, W) uint8, the most probable class of each pixel."""
        if self.crop_size is None:
            logits = F.interpolate(
                self._logits(self.preprocess.normalise(images)),
                size=images.shape[-2:],
                mode='bilinear',
                align_corners=False,
            )
        else:
            logits = torch.stack(
                [torch.cat(list(self._slide(image[None])), dim=1) for image in images]
            )
        return dict(labels=logits.argmax(dim=1).to(torch.uint8))

    def check_tracing(self, batch: bool, size: bool) -> None:
        if self.crop_size is not None and (batch or size):
            raise ConfigError(
                'sliding windows are cut from images of one number and size: leave out --dynamic, '
                'or predict images whole with --cfg-options model.test_cfg="dict(mode=\'whole\')"'
            )

    def _maps(self, batch: Batch, rescale: bool) -> Iterator[ResizedLogits]:
        """For each image its logits in pixels of the result."""
        whole = self.crop_size is None
        images = self.preprocess(batch) if whole else batch.images
        logits = None
        # Images without padding go through the network at once: (N, K, H / 4, W / 4).
        if whole and all(meta.input_size == images.shape[-2:] for meta in batch.metas):
            logits = self._logits(images)
        for index, meta in enumerate(batch.metas):
            # Images of different sizes go through the network one by one: the padding of a batch
            # would change their logits.
            h, w = meta.input_size
            sizes = [(h, w), meta.original_size if rescale else (h, w)]
            if not whole:
                bands = self._slide(images[index : index + 1, :, :h, :w])
            else:
                alone = logits is None
                part = self._logits(images[index : index + 1, :, :h, :w]) if alone else logits
                part = part[0 if alone else index]
                bands, sizes = [part], [part.shape[1:], *sizes]
            # Mirrored back before views are averaged.
            if meta.flipped:
                bands = (band.flip(2) for band in bands)
            yield ResizedLogits(bands, sizes, self.decode_head.num_classes)

    def _logits(self, images: Tensor) -> Tensor:
        """Normalised images (N, 3, H, W) to float32 logits (N, K, H / 4, W / 4)."""
        return self.decode_head(self.neck(self.backbone(images))).float()

    def _slide(self, image: Tensor) -> Iterator[Tensor]:
        """Mean logits of all windows over an image (1, 3, H, W) uint8, as bands (K, rows, W).

        Rows are handed out when no later window reaches them.
        """
        height, width = image.shape[-2:]
        windows = sliding_windows((height, width), self.crop_size, self.stride)
        means = WindowMeans(self.decode_head.num_classes, width, image.device)
        first = 0  # of the rows that have not been handed out
        for top, row in groupby(windows, key=lambda window: window[0]):
            yield from means.rows(first, top)
            first = top
            for y1, y2, x1, x2 in row:
                logits = self._logits(self.preprocess.normalise(image[..., y1:y2, x1:x2]))[0]
                means.add(logits, (y1, y2, x1, x2))
        yield from means.rows(first, height)


def _mean_of_views(
    views: Sequence[ResizedLogits], with_logits: bool
) -> tuple[Tensor, Tensor | None]:
    """Labels (h, w) of an image by the mean probabilities of its views, and these (K, h, w)."""
    labels, logits = [], []
    for stripes in zip(*(view.stripes() for view in views)):  # the same rows in every view
        total = stripes[0]
        if len(stripes) > 1:
            total = torch.stack([stripe.softmax(dim=0) for stripe in stripes]).mean(dim=0)
        labels.append(total.argmax(dim=0).to(torch.uint8))
        logits += [total.cpu()] * with_logits
    return torch.cat(labels), torch.cat(logits, dim=1) if with_logits else None
