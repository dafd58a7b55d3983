"""Imported first, it makes a process start a quarter second sooner.

Importing torch makes half a million objects that stay, and the garbage collector walks over them
hundreds of times.  Here it waits until all are there, and then takes them for old.
"""

import gc

_collecting = gc.isenabled()
gc.disable()
try:
    import torch  # noqa: F401
finally:
    if not gc.get_freeze_count():  # else unfreeze would undo what somebody has frozen before
        gc.freeze()
        gc.unfreeze()  # where these leave an object is the oldest generation
    if _collecting:
        gc.enable()
