"""Heads: from features to scores, boxes and masks; their losses and their decoding."""

from hrdet.models.heads.bbox_head import SharedFCBBoxHead
from hrdet.models.heads.fcos_head import FCOSHead, FCOSOutput
from hrdet.models.heads.mask_head import FCNMaskHead, HTCMaskHead
from hrdet.models.heads.rpn_head import ProposalConfig, RPNHead, merge_proposals
from hrdet.models.heads.semantic_head import FusedSemanticHead

__all__ = [
    'FCNMaskHead',
    'FCOSHead',
    'FCOSOutput',
    'FusedSemanticHead',
    'HTCMaskHead',
    'ProposalConfig',
    'RPNHead',
    'SharedFCBBoxHead',
    'merge_proposals',
]
