"""The optimizer, the schedule of the learning rate, and the moving average of the weights.

May change: a schedule is a closed formula of the iteration.  Must stay: the algorithms are those of
``torch.optim``, and the state can be saved and resumed.
"""

from hrdet.optim.ema import EMA
from hrdet.optim.optimizer import build_optimizer, scale_lr
from hrdet.optim.schedule import lr_schedule, shorten_warm_up

__all__ = ['EMA', 'build_optimizer', 'lr_schedule', 'scale_lr', 'shorten_warm_up']
