"""Building blocks shared by backbones, necks and heads."""

from hrdet.models.layers.conv import conv_module
from hrdet.models.layers.norm import BN, GN, NormCfg, SyncBN, build_norm
from hrdet.models.layers.recompute import run_part
from hrdet.models.layers.residual import BasicBlock, Bottleneck
from hrdet.models.layers.sync_norm import SyncBatchNorm

__all__ = [
    'BN',
    'GN',
    'BasicBlock',
    'Bottleneck',
    'NormCfg',
    'SyncBN',
    'SyncBatchNorm',
    'build_norm',
    'conv_module',
    'run_part',
]
