"""The zip archives that ``torch.save`` writes: checksums and sizes, which torch does not check."""

import mmap
import pickle
import struct
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

# Of an element of torch.FloatStorage and so on.
_BYTES = dict(Double=8, Float=4, Half=2, BFloat16=2, Long=8, Int=4, Short=2, QInt32=4)
_BYTES |= dict(ComplexDouble=16, ComplexFloat=8)
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
            # 1. Of records of one name zipfile and torch each read another.
            records = archive.infolist()
            names = Counter(record.filename.lower() for record in records)
            if names and max(names.values()) > 1:
                name = max(names, key=names.__getitem__)
                raise DamagedArchiveError(f'there are two records {name}')
            # 2. Records without any checksum cannot be compared.
            if not any(record.CRC for record in records):
                return True  # written with torch's save.compute_crc32 off
            # 3. Compare through a memory map: nothing is copied, and the pages are used again when
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


def check_sizes(path: Path) -> None:
    """Check that every storage has a record of its size in the file.

    torch trusts the sizes in the pickled part and would read beyond a record.

    Raises:
        DamagedArchiveError: a record is shorter or longer than its tensors need.
    """
    with zipfile.ZipFile(path) as archive:
        records = {record.filename: record.file_size for record in archive.infolist()}
        pickled = next((name for name in records if name.endswith('/data.pkl')), 'data.pkl')
        record = archive.getinfo(pickled)
        del record.CRC  # compared before, unless the file has no checksums
        with archive.open(record) as file:
            reader = _Storages(file)
            reader.load()
    for key, size in reader.sizes.items():
        name = f'{pickled.removesuffix("data.pkl")}data/{key}'
        if records.get(name, 0) != size:
            found = f'{records[name]} bytes' if name in records else 'missing'
            raise DamagedArchiveError(f'the record {name} is {found}, its tensors need {size}')


class _Storages(pickle.Unpickler):
    """Collects ``sizes``, the bytes of each storage by key; nothing is imported or called."""

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.sizes: dict[str, int] = {}

    def find_class(self, module: str, name: str) -> type:
        size = _BYTES.get(name.removesuffix('Storage'), 1)  # UntypedStorage counts bytes
        return type(name, (_Nothing,), dict(itemsize=size))

    def persistent_load(self, pid: Any) -> Any:
        _, kind, key, _, count = pid
        self.sizes[str(key)] = max(self.sizes.get(str(key), 0), int(count) * kind.itemsize)
        return _Nothing()


class _Nothing(dict):
    """Stands for whatever a pickle would make: takes any call, item, attribute or state."""

    itemsize = 1
    __hash__ = object.__hash__

    def __new__(cls, *_: Any, **__: Any) -> '_Nothing':
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        pass

    def ignore(self, *_: Any) -> None:
        pass

    append = extend = add = ignore
