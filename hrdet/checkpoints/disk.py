"""Write checkpoints with errors that explain a full disk, and link further names to them."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from hrdet.checkpoints.files import CheckpointError, read_checkpoint, save_checkpoint


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """``save_checkpoint``, where an error says what to do.

    Raises:
        OSError: the file cannot be written; an older one is untouched.
    """
    try:
        save_checkpoint(path, content)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        # With enough space left the error has another cause and is passed on.
        needed, free = _bytes(content), shutil.disk_usage(path.parent).free
        if free > needed:
            if isinstance(error, OSError) and error.filename:
                raise
            number = getattr(error, 'errno', None) or errno.EIO
            reason = getattr(error, 'strerror', None) or error
            raise OSError(number, f'cannot be written ({reason})', str(path)) from None
        raise OSError(
            errno.ENOSPC,
            f'the disk is full: {needed >> 20} MB needed, {free >> 20} MB free. The older '
            f'checkpoints are untouched. Delete what is not needed (epoch_*.pth; '
            f'checkpoint_config=dict(max_keep_ckpts=1) keeps fewer) and run the same command again',
            str(path),
        ) from None


def read_meta(path: str | os.PathLike) -> dict[str, Any]:
    """The ``meta`` of a checkpoint, without reading its tensors."""
    meta = read_checkpoint(path, mapped=True).get('meta')
    return meta if isinstance(meta, dict) else {}


def scores_of(meta: dict[str, Any], path: str | os.PathLike) -> dict[str, float]:
    """The metrics in the ``meta`` of the checkpoint ``path``.

    Raises:
        CheckpointError: they are no numbers.
    """
    scores = meta.get('metrics', {})
    if not isinstance(scores, dict) or not all(type(s) in (int, float) for s in scores.values()):
        raise CheckpointError(f'{path}: its metrics are no numbers')
    return scores


def link(source: Path, name: Path) -> None:
    """Give a finished file a second name, atomically: a hard link, or else a copy."""
    if name.exists() and name.samefile(source):
        return  # a rename between two names of one file would leave both
    # A new name is made under a temporary one and renamed over the old.
    draft = name.with_name(f'.{name.name}.{os.getpid()}.tmp')
    try:
        draft.unlink(missing_ok=True)
        try:
            os.link(source, draft)
        except OSError:
            shutil.copyfile(source, draft)
        os.replace(draft, name)
    finally:
        draft.unlink(missing_ok=True)


def _bytes(value: Any) -> int:
    """Size of all tensors in nested dicts and lists."""
    if isinstance(value, torch.Tensor):
        return value.nbytes
    items = value.values() if isinstance(value, dict) else value
    return sum(map(_bytes, items)) if isinstance(value, (dict, list, tuple)) else 0
