"""Heads: from features to scores and boxes, their losses and their decoding."""

from hrdet.models.heads.bbox_head import SharedFCBBoxHead
from hrdet.models.heads.rpn_head import ProposalConfig, RPNHead

__all__ = ['ProposalConfig', 'RPNHead', 'SharedFCBBoxHead']
