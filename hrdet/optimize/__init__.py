"""Faster models: copies for inference (folded norms, faster layers, CUDA graphs), CPU training.

May change: any trick that a measurement pays for.  Must stay: models know nothing of it, and
results stay the same to 0.001 of a score and of a pixel.
"""

from hrdet.optimize.cpu_training import fast_training
from hrdet.optimize.model import optimize

__all__ = ['fast_training', 'optimize']
