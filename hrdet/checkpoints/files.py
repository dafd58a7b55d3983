"""Checkpoint files on disk: safe reading, atomic writing."""

import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

# What a file that is no checkpoint usually is, by its first bytes.
_IMPOSTORS = {
    b'<': 'it is a web page: the download link returned HTML, fetch the file in a browser',
    b'version https://git-lfs': 'it is a Git LFS pointer: run `git lfs pull`',
}


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file, the reason and the cure."""


def read_checkpoint(path: str | os.PathLike, trusted: bool = False) -> dict[str, Any]:
    """Read a checkpoint file onto the CPU.

    Args:
        path: a file written by ``torch.save``, or ``.safetensors`` where that package is installed.
        trusted: read with full unpickling, which runs whatever code the file carries. Only for
            files whose origin you know.

    Returns:
        What the file holds; a bare tensor table of ``.safetensors`` as ``dict(state_dict, meta)``.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: not a checkpoint, damaged, or more in it than tensors and plain types.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {str(path)!r}: there is no such file')
    if path.suffix == '.safetensors':
        return _read_safetensors(path)
    try:
        content = torch.load(path, map_location='cpu', weights_only=not trusted)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(f'{path}: {_why_unreadable(path, error)}') from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f'{path}: holds a {type(content).__name__}, a checkpoint is a dict of weights'
        )
    return content


def save_checkpoint(path: str | os.PathLike, checkpoint: dict[str, Any]) -> None:
    """Write a checkpoint so that ``path`` holds either the old file or the whole new one.

    The content goes to a temporary file in the same folder, is forced to the disk and then takes
    the name in one step: a crash or a full disk leaves no half file.

    Raises:
        TypeError: the content would need full unpickling to be read again.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        with draft.open('wb') as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        foreign = torch.serialization.get_unsafe_globals_in_checkpoint(draft)
        if foreign:
            raise TypeError(
                f'{path}: a checkpoint holds tensors and plain types only, so that it can be read '
                f'back safely; found {", ".join(sorted(foreign))}'
            )
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Force the rename itself to the disk (POSIX only)."""
    if os.name == 'posix':
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        import safetensors
    except ImportError:
        raise CheckpointError(f'{path}: pip install safetensors to read this format') from None
    try:
        with safetensors.safe_open(path, framework='pt') as file:
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return {'state_dict': weights, 'meta': file.metadata() or {}}
    except safetensors.SafetensorError as error:
        raise CheckpointError(f'{path}: not a readable safetensors file ({error})') from error


def _why_unreadable(path: Path, error: Exception) -> str:
    with path.open('rb') as file:
        head = file.read(64)
    for start, reason in _IMPOSTORS.items():
        if head.startswith(start):
            return f'not a checkpoint; {reason}'
    foreign = _foreign_names(path, error)
    if foreign:
        return (
            f'refused, because reading it would import and run {", ".join(foreign)}; a checkpoint '
            f'should hold tensors and plain types. If you know where this file comes from, read '
            f'it once with hrdet.checkpoints.read_checkpoint(path, trusted=True) and write its '
            f'state_dict and meta with save_checkpoint'
        )
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return f'damaged or not a checkpoint ({len(head) and path.stat().st_size} bytes): {reason}'


def _foreign_names(path: Path, error: Exception) -> list[str]:
    """What the file wants imported beyond tensors and plain types."""
    if zipfile.is_zipfile(path):
        try:
            return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
        except Exception:  # a damaged archive: the first error already tells
            return []
    return re.findall(r'GLOBAL (\S+) was not an allowed', str(error))
