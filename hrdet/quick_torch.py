"""Import torch with the garbage collector disabled.

Importing torch creates half a million objects that stay, and the collector walks over them hundreds
of times: 0.4 s of the 2.3 s of CPU time that importing ``hrdet.apis`` takes, 0.02 of 1.75 s with
this module (three runs of each).  Import it before any other module that imports torch.
"""

import gc

_collecting = gc.isenabled()
gc.disable()
try:
    import torch  # noqa: F401
finally:
    if not gc.get_freeze_count():  # else unfreeze would undo a freeze by the caller
        gc.freeze()
        gc.unfreeze()  # moves all objects to the oldest generation
    if _collecting:
        gc.enable()
