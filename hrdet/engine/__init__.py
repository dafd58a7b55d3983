"""The training loop, evaluation, checkpoints and resume of a run, on one process or many.

May change: when something happens during a run.  Must stay: a resumed run continues bit for bit,
the loop asks the model, never which task it is, and nothing waits for the device between two log
lines.
"""

from hrdet.engine.hooks import Hook

__all__ = ['Hook']
