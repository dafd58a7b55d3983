"""The zip archives that ``torch.save`` writes: checksums and sizes, which torch does not check."""

import io
import mmap
import struct
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from hrdet.checkpoints.pickles import Pickle
from hrdet.json_files import collector_paused

_MOST_BYTES = 1 << 30  # of all records of a file that is smaller; of others four times its size
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
            # 1. zipfile and torch's reader must see the same records.
            records = archive.infolist()
            _check_places(records, torch._C.PyTorchFileReader(str(path)))
            # 2. Small files that unpack to large ones, or whose records share their bytes.
            unpacked = sum(record.file_size for record in records)
            if unpacked > max(_MOST_BYTES, 4 * path.stat().st_size):
                raise DamagedArchiveError(f'its records unpack to {unpacked:,} bytes')
            # 3. Compare the checksums through a memory map: nothing is copied, and the pages are
            #    used again when the tensors are loaded.  torch's save.compute_crc32 = False writes
            #    none.
            if any(record.CRC for record in records):
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                    for record in records:
                        if not _is_whole(archive, record, content):
                            raise DamagedArchiveError(f'the checksum of {record.filename} is wrong')
            return all(record.compress_type == zipfile.ZIP_STORED for record in records)
    except DamagedArchiveError:
        raise
    except Exception as error:  # zipfile, struct and zlib raise what a wrong number leads to
        raise DamagedArchiveError(f'{error or type(error).__name__}') from error


def _check_places(records: list[zipfile.ZipInfo], reader: Any) -> None:
    """Refuse an archive in which torch's ``reader`` finds other records than zipfile does."""
    # Of records of one name, in letters of any size, each takes another.
    counts = Counter(record.filename.lower() for record in records)
    name, count = counts.most_common(1)[0]
    if count > 1:
        raise DamagedArchiveError(f'there are two records {name}')
    # All names begin with one folder, which torch leaves out.
    ours = {record.filename.partition('/')[2]: record for record in records}
    if sorted(ours) != sorted(reader.get_all_records()):
        raise DamagedArchiveError('its records are listed in two ways')
    for name, record in ours.items():
        if reader.get_record_size(name) != record.file_size:
            raise DamagedArchiveError(f'the record {record.filename} has two sizes')
        if reader.get_record_header_offset(name) != record.header_offset:
            raise DamagedArchiveError(f'the record {record.filename} is in two places')


def _is_whole(archive: zipfile.ZipFile, record: zipfile.ZipInfo, content: mmap.mmap) -> bool:
    if record.compress_type != zipfile.ZIP_STORED:
        return zlib.crc32(archive.read(record)) == record.CRC
    # The data follow the record's own header, whose name and extra field have any length.
    name, extra = _LOCAL_HEADER.unpack_from(content, record.header_offset)
    start = record.header_offset + _LOCAL_HEADER.size + name + extra
    with memoryview(content) as view, view[start : start + record.file_size] as data:
        return len(data) == record.file_size and zlib.crc32(data) == record.CRC


def check_pickle(path: Path) -> None:
    """Check that the pickled part is harmless, and every storage has a record of its size.

    torch trusts the sizes in the pickled part and would read beyond a record.

    Raises:
        DamagedArchiveError: a record is shorter or longer than its tensors need, or the pickled
            part is not of the kind that torch writes.
    """
    reader = torch._C.PyTorchFileReader(str(path))
    for key, size in _followed(io.BytesIO(reader.get_record('data.pkl'))).sizes.items():
        name = f'data/{key}'
        found = reader.get_record_size(name) if reader.has_record(name) else None
        if found != size and (found or size):
            found = 'missing' if found is None else f'{found} bytes'
            raise DamagedArchiveError(f'the record {name} is {found}, its tensors need {size}')


def check_old_file(path: Path) -> None:
    """``check_pickle`` for the format of torch before 1.6, whose sizes torch checks.

    Raises:
        DamagedArchiveError: storages without bytes in the file, or a pickle that is not torch's.
    """
    with path.open('rb') as file:
        # Three pickles of numbers and settings, the content, and the keys of its storages.
        *_, content, keys = (_followed(file) for _ in range(5))
    if sorted(keys.value.parts) != sorted(content.sizes):
        raise DamagedArchiveError('its tensors and the list of its storages differ')


@collector_paused()
def _followed(file: Any) -> Pickle:
    try:
        return Pickle(file)
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        reason = f'{error}' if isinstance(error, ValueError) else 'its pickle cannot be read'
        raise DamagedArchiveError(reason) from error
