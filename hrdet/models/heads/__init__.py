"""Heads: from features to scores and boxes, their losses and their decoding."""

from hrdet.models.heads.bbox_head import SharedFCBBoxHead
from hrdet.models.heads.rpn_head import ProposalConfig, RPNHead, merge_proposals

__all__ = ['ProposalConfig', 'RPNHead', 'SharedFCBBoxHead', 'merge_proposals']
