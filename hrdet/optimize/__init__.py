"""Optimize: faster forms of a finished model for inference; models know nothing of them."""

from hrdet.optimize.model import optimize

__all__ = ['optimize']
