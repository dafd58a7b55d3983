"""Read checkpoint files safely and write them atomically."""

import json
import os
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from hrdet.checkpoints import archive
from hrdet.download import sha256, stated_hash
from hrdet.weights import find

# First bytes of files that users mistake for checkpoints -> what the file is, and the cure.
_OTHER_FILES = {
    b'<': 'it is a web page: the download link returned HTML, fetch the file in a browser',
    b'version https://git-lfs': 'it is a Git LFS pointer: run `git lfs pull`',
}
_META = 'hrdet_meta'  # the entry of a safetensors header (text only) that holds meta as JSON


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file, the reason and the cure."""


class Bookkeeping:
    """Placeholder for the loss history that mmdetection 3 saves beside the weights: not read."""

    def __new__(cls, *_: Any) -> 'Bookkeeping':
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None:
        pass


class NumpyType:
    """The type of a numpy number, as its pickle names it: a code such as 'f8', and a byte order."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code, self.order = code, '='

    def __setstate__(self, state: Any) -> None:
        self.order = state[1] if state[1] in ('<', '>') else '='


def numpy_number(kind: Any, data: Any = b'') -> bool | int | float:
    """A numpy number as the Python number that it is: a score or an epoch in a checkpoint.

    Raises:
        ValueError: another type than a truth value, an integer or a float.
    """
    code = kind.code if isinstance(kind, NumpyType) else ''
    if not isinstance(data, bytes) or not re.fullmatch('b1|[iuf][1248]', str(code)):
        raise ValueError(f'a numpy value of type {code!r} is no number')
    return np.frombuffer(data, np.dtype(kind.order + code), 1)[0].item()


# mmengine's loss histories hold numpy arrays. While a file is read these names resolve to
# Bookkeeping, so that no such object is created and none of their code runs.
_BOOKKEEPING = [
    (Bookkeeping, name)
    for name in (
        'mmengine.logging.history_buffer.HistoryBuffer',
        'builtins.getattr',  # how it refers to its own methods
        'numpy.core.multiarray._reconstruct',  # numpy 1
        'numpy._core.multiarray._reconstruct',  # numpy 2
        'numpy.ndarray',
    )
] + [
    (NumpyType, 'numpy.dtype'),
    (numpy_number, 'numpy.core.multiarray.scalar'),
    (numpy_number, 'numpy._core.multiarray.scalar'),
]


def read_checkpoint(
    path: str | os.PathLike, trusted: bool = False, mapped: bool = False
) -> dict[str, Any]:
    """Read a checkpoint file onto the CPU.

    Args:
        path: a file written by ``torch.save``, or ``.safetensors``;
            or a name or an address that ``hrdet.weights.find`` takes.
        trusted: read with full unpickling, which runs whatever code the file carries. Only for
            files whose origin you know.
        mapped: map tensors from the file into memory, which is faster if they are only copied into
            a model. Nothing may write into the file while they live (``save_checkpoint`` replaces
            the file and is safe).

    Returns:
        What the file holds; a bare tensor table of ``.safetensors`` as ``dict(state_dict, meta)``.
        Loss histories of mmengine are replaced by ``Bookkeeping``, numpy numbers by Python's.

    Raises:
        FileNotFoundError: no such file, or it cannot be downloaded.
        CheckpointError: not a checkpoint, damaged (the checksums in the file are compared), more in
            it than tensors and plain types, or not the file whose hash ends its name
            (``...-e368c387.pth``).
    """
    path = find(path)
    if not path.is_file():
        beside = sorted(path.parent.glob('*.pth'), key=lambda file: file.stat().st_mtime)
        found = f'; its folder has {", ".join(file.name for file in beside[-5:])}' if beside else ''
        raise FileNotFoundError(f'checkpoint {str(path)!r}: there is no such file{found}')
    _check_hash(path)
    if path.suffix == '.safetensors':
        return _read_safetensors(path)
    try:
        # Checksums and sizes, which torch does not check.
        archived = archive.is_archive(path)
        mapped = archived and archive.check_records(path) and mapped
        if not trusted:
            archive.check_pickle(path) if archived else archive.check_old_file(path)
        with torch.serialization.safe_globals([] if trusted else _BOOKKEEPING):
            content = torch.load(path, map_location='cpu', weights_only=not trusted, mmap=mapped)
    except PermissionError:
        raise
    except Exception as error:  # damage makes torch and pickle raise errors of every kind
        raise CheckpointError(f'{path}: {_why_unreadable(path, error)}') from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f'{path}: holds a {type(content).__name__}, but a checkpoint is a dict of weights'
        )
    return content


def save_checkpoint(path: str | os.PathLike, checkpoint: dict[str, Any]) -> None:
    """Write a checkpoint so that ``path`` holds either the old file or the whole new one.

    The content goes to a temporary file in the same folder, is forced to the disk and then takes
    the name in one step: a crash or a full disk leaves no half file.

    Raises:
        TypeError: the content would need full unpickling to be read again.
    """
    with _atomic(Path(path)) as temporary:
        with temporary.open('wb') as file:
            torch.save(checkpoint, file)
        # Read back which classes the pickle needs: any but tensors would have to run code.
        foreign = torch.serialization.get_unsafe_globals_in_checkpoint(temporary)
        if foreign:
            raise TypeError(
                f'{path}: a checkpoint holds tensors and plain types only, so that it can be read '
                f'back safely; found {", ".join(sorted(foreign))}'
            )


def save_safetensors(
    path: str | os.PathLike, weights: dict[str, torch.Tensor], meta: dict[str, Any]
) -> None:
    """Write weights (contiguous, sharing no memory) and ``meta`` (JSON's types), as atomically."""
    with _atomic(Path(path)) as temporary:
        # Not save_file, whose file only its owner may read.
        metadata = {'format': 'pt', _META: json.dumps(meta)}
        temporary.write_bytes(safetensors.torch.save(weights, metadata=metadata))


@contextmanager
def _atomic(path: Path) -> Iterator[Path]:
    """A temporary file that is renamed to ``path`` at the end, or removed after an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        yield temporary
        with temporary.open('rb') as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
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
        with safetensors.safe_open(path, framework='pt') as file:
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            meta = file.metadata() or {}
            return {
                'state_dict': weights,
                'meta': json.loads(meta[_META]) if _META in meta else meta,
            }
    except (safetensors.SafetensorError, json.JSONDecodeError) as error:
        raise CheckpointError(f'{path}: not a readable safetensors file ({error})') from error


def _check_hash(path: Path) -> None:
    """Refuse a file whose name ends in another hash than its own; a date does not count as one."""
    named = stated_hash(path.name)
    if not named or _other_file(path):
        return
    actual = sha256(path)[: len(named)]
    if actual != named:
        raise CheckpointError(
            f'{path}: its name says that its sha256 begins with {named}, but it begins with '
            f'{actual}: the file is damaged, or another one has this name. Fetch it again, '
            f'or, if you changed it yourself, remove -{named} from its name'
        )


def _other_file(path: Path) -> str | None:
    with path.open('rb') as file:
        head = file.read(64)
    return next((reason for start, reason in _OTHER_FILES.items() if head.startswith(start)), None)


def _why_unreadable(path: Path, error: Exception) -> str:
    # From the most specific cause to the least: another kind of file, code in it, damage.
    other = _other_file(path)
    if other:
        return f'not a checkpoint; {other}'
    damaged = isinstance(error, archive.DamagedArchiveError)
    foreign = [] if damaged else _foreign_names(path, error)
    if foreign:
        return (
            f'refused, because reading it would import and run {", ".join(foreign)}; a checkpoint '
            f'should hold tensors and plain types. If you know where this file comes from, read '
            f'it once with hrdet.checkpoints.read_checkpoint(path, trusted=True) and write its '
            f"weights alone: save_checkpoint(new, dict(state_dict=content['state_dict']))"
        )
    size = f'damaged or not a checkpoint ({path.stat().st_size} bytes)'
    if isinstance(error, pickle.UnpicklingError):  # torch advises to run whatever is in the file
        return size
    return f'{size}: {(str(error) or type(error).__name__).splitlines()[0]}'


def _foreign_names(path: Path, error: Exception) -> list[str]:
    """Names that reading the file would import, besides tensors and plain types."""
    if archive.is_archive(path):
        try:
            with torch.serialization.safe_globals(_BOOKKEEPING):
                return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
        except Exception:  # a damaged archive: the first error says so
            return []
    return re.findall(r'GLOBAL (\S+) was not an allowed', str(error))
