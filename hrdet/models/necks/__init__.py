"""Necks: from the backbone's feature maps to the levels the heads look at."""

from hrdet.models.necks.hrfpn import HRFPN

__all__ = ['HRFPN']
