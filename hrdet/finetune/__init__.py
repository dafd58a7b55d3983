"""A config for data of one's own: what a path holds, and a published model set up for it.

May change: a kind of data is a reader beside the others; a rule for a setting is a function of
``recipe``.  Must stay: whatever is taken for granted is told in one line, the config is plain text
that a user may edit, and nothing here runs in a training.
"""

from hrdet.finetune.data import OwnData, Part
from hrdet.finetune.derive import config_for, derive
from hrdet.finetune.recognise import open_data

__all__ = ['OwnData', 'Part', 'config_for', 'derive', 'open_data']
