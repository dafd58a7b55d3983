"""Training and testing: processes, the loop, optimizer, checkpoints, resume, logs and trackers."""

from hrdet.engine.hooks import Hook

__all__ = ['Hook']
