"""Necks: from the backbone's feature maps to the levels the heads look at."""

from hrdet.models.necks.fpn import FPN
from hrdet.models.necks.hrfpn import HRFPN

__all__ = ['FPN', 'HRFPN']
