"""Derive a config for the user's data: recognise the data, and set a published model up for them.

May change: a kind of data is a reader beside the others; a rule for a setting is a function of
``recipe``.  Must stay: each assumption is reported in one line, the config is plain text that a
user may edit, and nothing here runs in a training.
"""

from hrdet.finetune.data import OwnData, Part
from hrdet.finetune.derive import config_for, derive
from hrdet.finetune.recognise import open_data, open_parts

__all__ = ['OwnData', 'Part', 'config_for', 'derive', 'open_data', 'open_parts']
