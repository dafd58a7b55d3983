"""The base class of RoI heads, the second stage of a detector."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from hrdet.boxes import BoxConvention
from hrdet.models.maps import Maps, check_takes, is_own
from hrdet.models.multiclass_nms import NMS, SoftNMS
from hrdet.models.roi.extractor import SingleRoIExtractor
from hrdet.models.roi.sampling import RoISampler
from hrdet.ranges import Count, Fraction, Limit, UpToOne
from hrdet.registry import ConfigError


class RoIHead(nn.Module):
    """The second stage of a two-stage detector; each kind is a subclass.

    In training the detector calls ``loss(features, proposals, batch)``.  In prediction it calls
    ``prepare(features)`` and with the result ``predict_boxes(features, rois, sizes)`` and
    ``predict_masks(features, rois, labels)``.

    Args:
        bbox_head, region_sampler, mask_head: one each, or in a cascade one for each stage.
        score_thr: detections must score more.
        max_per_img: detections an image at most; below 0 all.
        mask_size: edge of a mask target, as large as the mask head's output.
        mask_thr_binary: a pixel belongs to an object above (or, with continuous boxes, from) it.
    """

    def __init__(
        self,
        bbox_roi_extractor: SingleRoIExtractor,
        bbox_head: nn.Module | Sequence[nn.Module],
        convention: str,
        region_sampler: RoISampler | Sequence[RoISampler] | None = None,
        score_thr: UpToOne = 0.05,
        nms: NMS | SoftNMS = NMS(0.5),
        max_per_img: Limit = 100,
        mask_roi_extractor: SingleRoIExtractor | None = None,
        mask_head: nn.Module | Sequence[nn.Module] | None = None,
        mask_size: Count = 28,
        mask_thr_binary: Fraction = 0.5,
    ) -> None:
        super().__init__()
        self.bbox_roi_extractor, self.mask_roi_extractor = bbox_roi_extractor, mask_roi_extractor
        self.bbox_head, self.mask_head = _modules(bbox_head), _modules(mask_head)
        self.region_sampler = region_sampler
        self.convention = BoxConvention(convention)
        self.score_thr, self.nms, self.max_per_img = score_thr, nms, max_per_img
        self.mask_size, self.mask_thr_binary = mask_size, mask_thr_binary

    def check_takes(self, maps: Maps | None) -> None:
        """Raise an error unless extractors take these maps, and heads the regions of them."""
        for task in ('bbox', 'mask') if self.mask_head is not None else ('bbox',):
            name, heads = f'{task}_roi_extractor', getattr(self, f'{task}_head')
            extractor = getattr(self, name)
            check_takes(extractor, name, maps, all_maps=False)
            regions = Maps([extractor.out_channels], [1]) if is_own(extractor) else None
            for head in heads if isinstance(heads, nn.ModuleList) else [heads]:
                check_takes(head, f'{task}_head', regions, name)
                if task == 'mask':
                    _check_mask_size(self.mask_size, extractor, head)
                elif regions and is_own(head) and head.roi_feat_size != extractor.out_size:
                    raise ConfigError(
                        f'model.bbox_head: roi_feat_size={head.roi_feat_size}, but '
                        f'bbox_roi_extractor gives regions of {extractor.out_size} (out_size)'
                    )

    def prepare(self, features: list[Tensor]) -> Any:
        """Feature maps (N, C, h, w) of all levels, as the RoI extractors of this head take them."""
        return features


def _modules(heads: nn.Module | Sequence[nn.Module] | None) -> nn.Module | None:
    return nn.ModuleList(heads) if isinstance(heads, Sequence) else heads


def _check_mask_size(mask_size: int, extractor: SingleRoIExtractor, head: Any) -> None:
    """Raise a ValueError unless the targets have the size of the mask head's output."""
    output = extractor.out_size * head.upsample_ratio
    if mask_size != output:
        raise ValueError(
            f'mask_size={mask_size}, but the mask head makes maps of {output}: '
            f'{extractor.out_size} (mask_roi_extractor) times {head.upsample_ratio} '
            f'(upsample_ratio); write mask_size={output}'
        )
