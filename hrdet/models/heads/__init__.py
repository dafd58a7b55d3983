"""Heads: from features to scores, boxes and masks; their losses and their decoding."""

from hrdet.models.heads.bbox_head import SharedFCBBoxHead
from hrdet.models.heads.fcn_head import FCNHead
from hrdet.models.heads.fcos_head import FCOSHead, FCOSOutput
from hrdet.models.heads.linear_cls_head import LinearClsHead
from hrdet.models.heads.mask_head import FCNMaskHead, HTCMaskHead
from hrdet.models.heads.rpn_head import ProposalConfig, RPNHead, merge_proposals
from hrdet.models.heads.semantic_head import FusedSemanticHead

__all__ = [
    'FCNHead',
    'FCNMaskHead',
    'FCOSHead',
    'FCOSOutput',
    'FusedSemanticHead',
    'HTCMaskHead',
    'LinearClsHead',
    'ProposalConfig',
    'RPNHead',
    'SharedFCBBoxHead',
    'merge_proposals',
]
