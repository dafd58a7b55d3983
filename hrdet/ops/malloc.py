"""Keep freed memory in the process instead of returning it to the system (glibc's mallopt)."""

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # malloc.h
_LARGEST_THRESHOLD = 32 << 20  # bytes; glibc takes no more
_MMAP_MAX = 1 << 16  # the default of glibc
_LARGEST_INT = (1 << 31) - 1  # of C


def keep_memory(at_most: int | None = None) -> None:
    """Keep freed memory in this process, for the next map or image of that size.

    By default glibc returns every large block to the system, which hands it out again page by page,
    zeroed: a fifth of the time of an image on a CPU, a seventh of a training step, up to a third of
    the work of a loader's worker (docs/notes/speed.md).  Without glibc nothing changes.

    Memory that is free at the call is returned to the system first.

    Args:
        at_most: bytes to keep beyond what is in use; blocks above 32 MiB are then returned, also
            in a fork of a process that keeps everything.  None: keep everything.
    """
    if platform.libc_ver()[0] != 'glibc':
        return
    libc = ctypes.CDLL(None)
    # Return free blocks first: of other sizes than those to come, they would stay unused.
    libc.malloc_trim(0)
    if at_most is None:
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, -1)
    else:
        libc.mallopt(_M_MMAP_MAX, _MMAP_MAX)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_THRESHOLD)
        libc.mallopt(_M_TRIM_THRESHOLD, min(at_most, _LARGEST_INT))
