"""Layers: building blocks shared by backbones, necks and heads."""

from hrdet.models.layers.checkpointing import checkpointed, run_part
from hrdet.models.layers.conv import ConvNorm, conv_module, conv_tower, init_convs
from hrdet.models.layers.frozen_bn import conv_bn
from hrdet.models.layers.norm import BN, GN, NormCfg, SyncBN, build_norm
from hrdet.models.layers.residual import BasicBlock, Bottleneck
from hrdet.models.layers.sync_norm import SyncBatchNorm

__all__ = [
    'BN',
    'GN',
    'BasicBlock',
    'Bottleneck',
    'ConvNorm',
    'NormCfg',
    'SyncBN',
    'SyncBatchNorm',
    'build_norm',
    'checkpointed',
    'conv_bn',
    'conv_module',
    'conv_tower',
    'init_convs',
    'run_part',
]
