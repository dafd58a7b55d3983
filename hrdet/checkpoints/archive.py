"""The zip archives that ``torch.save`` writes: checksums and sizes, which torch does not check."""

import mmap
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

_LOCAL_HEADER = struct.Struct('<26xHH')  # before each record: lengths of its name and extra field


class DamagedArchiveError(ValueError):
    """A record is not what was written; the message names it."""


def is_archive(path: Path) -> bool:
    """Whether the file is a zip archive; torch before 1.6 wrote another format."""
    with path.open('rb') as file:
        return file.read(4) == b'PK\x03\x04'


def check_records(path: Path) -> bool:
    """Compare the CRC-32 of every record with the one beside it.

    Returns:
        Whether all records are stored as they are, so that tensors can be mapped into memory.

    Raises:
        DamagedArchiveError: a record or the table of records was changed or cut.
    """
    try:
        with zipfile.ZipFile(path) as archive, path.open('rb') as file:
            # 1. Records without any checksum cannot be compared.
            records = archive.infolist()
            if not any(record.CRC for record in records):
                return True  # written with torch's save.compute_crc32 off
            # 2. Compare through a memory map: nothing is copied, and the pages are used again when
            #    the tensors are loaded.
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                for record in records:
                    if not _is_whole(archive, record, content):
                        raise DamagedArchiveError(f'the checksum of {record.filename} is wrong')
            return all(record.compress_type == zipfile.ZIP_STORED for record in records)
    except DamagedArchiveError:
        raise
    except Exception as error:  # zipfile, struct and zlib raise what a wrong number leads to
        raise DamagedArchiveError(f'{error or type(error).__name__}') from error


def _is_whole(archive: zipfile.ZipFile, record: zipfile.ZipInfo, content: mmap.mmap) -> bool:
    if record.compress_type != zipfile.ZIP_STORED:
        return zlib.crc32(archive.read(record)) == record.CRC
    # The data follow the record's own header, whose name and extra field have any length.
    name, extra = _LOCAL_HEADER.unpack_from(content, record.header_offset)
    start = record.header_offset + _LOCAL_HEADER.size + name + extra
    with memoryview(content) as view, view[start : start + record.file_size] as data:
        return len(data) == record.file_size and zlib.crc32(data) == record.CRC


def check_sizes(path: Path, content: Any) -> None:
    """Check that every tensor of ``content`` has a record of its size in the file.

    torch trusts the size in the pickled part and would read into the next record.

    Raises:
        DamagedArchiveError: a record is shorter or longer than its tensors need.
    """
    with zipfile.ZipFile(path) as archive:
        records = Counter(
            record.file_size for record in archive.infolist() if '/data/' in record.filename
        )
    # Bytes of each storage once: several tensors may share one.
    storages = {}
    for tensor in tensors_in(content):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
    # As multisets: each storage needs a record of exactly its size.
    missing = Counter(filter(None, storages.values())) - records
    if missing:
        raise DamagedArchiveError(f'tensors of {min(missing)} bytes have no record of that size')


def tensors_in(content: Any) -> Iterator[Tensor]:
    """The strided tensors of nested dicts, lists and tuples."""
    if isinstance(content, Mapping):
        content = content.values()
    elif not isinstance(content, (list, tuple)):
        if isinstance(content, Tensor) and not (content.is_sparse or content.is_meta):
            yield content
        return
    for value in content:
        yield from tensors_in(value)
