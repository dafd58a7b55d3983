"""The optimizer of torch.optim that a config names, its learning rate, and averaged weights."""

from hrdet.optim.ema import EMA
from hrdet.optim.optimizer import build_optimizer, scale_lr
from hrdet.optim.schedule import lr_schedule

__all__ = ['EMA', 'build_optimizer', 'lr_schedule', 'scale_lr']
