"""Download a file: from the first address that has it, resumed after a cut, checked by its hash.

A file appears under its name when it is whole.  Two processes that want the same file fetch it
once: the second waits for the first.
"""

import hashlib
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from hrdet.progress import download_bar

TIMEOUT = 20.0  # seconds without a byte after which a host is given up
_BLOCK = 1 << 18
_HASH = re.compile(r'-([0-9a-f]{8,64})$')
_DATE = re.compile(r'(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])')

_logger = logging.getLogger('hrdet')


class DownloadError(FileNotFoundError):
    """A file that no address gives; the message names file, addresses, reasons and the cure."""


class _Failed(Exception):
    """One address does not give the file; the text says why."""


def stated_hash(name: str) -> str | None:
    """The beginning of a file's sha256 in which its name ends; a date does not count as one."""
    found = _HASH.search(Path(name).stem)
    return None if not found or _DATE.fullmatch(found[1]) else found[1]


def sha256(path: Path) -> str:
    """The file's hash in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def download(addresses: Sequence[str], target: Path, digest: str | None = None) -> Path:
    """Fetch a file into ``target``.

    Args:
        addresses: tried in turn.
        target: where the file goes; what arrived of a file that was cut is kept beside it.
        digest: hexadecimal digits with which its sha256 must begin.

    Raises:
        DownloadError: no address gives the file, it cannot be written, or HRDET_OFFLINE is set.
    """
    if os.environ.get('HRDET_OFFLINE', '0') not in ('', '0'):
        raise DownloadError(
            f'{target}: not there, and HRDET_OFFLINE is set: fetch {addresses[0]} and save it '
            f'under that name'
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _unfinished(target) as file:
            failures = [] if file is None else _first_that_gives(addresses, target, file, digest)
    except OSError as error:
        raise DownloadError(
            f'{target}: cannot be written ({error.strerror or error}); HRDET_HOME names another '
            f'folder for weights'
        ) from error
    if target.is_file():
        return target
    raise DownloadError(
        f'{target.name}: no address gives it: {", ".join(failures)}. Fetch it in another way and '
        f'save it as {target}, or name a host with the same paths in HRDET_MIRRORS'
    )


def _first_that_gives(
    addresses: Sequence[str], target: Path, file: BinaryIO, digest: str | None
) -> list[str]:
    """Fill the unfinished ``file`` and give it its name; returns the failures before that."""
    failures = []
    for address in addresses:
        _say(f'downloading {address} to {target}')
        reason = _complete(address, file, digest)
        if reason is None:
            os.fsync(file.fileno())
            os.replace(file.name, target)
            break
        failures.append(f'{address} ({reason})')
        _say(f'{address}: {reason}', logging.WARNING)
    return failures


@contextmanager
def _unfinished(target: Path) -> Iterator[BinaryIO | None]:
    """The part of a file that is here, locked; None where another process finished the file."""
    import fcntl

    path = target.with_name(f'.{target.name}.part')
    while True:
        with path.open('a+b') as file:
            # 1. Wait for a process that downloads the same file.
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _say(f'waiting for another process that downloads {target}')
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError:
                pass  # a file system without locks
            # 2. The name may belong to another file by now: that process renames or removes it.
            ours = path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())
            if target.is_file():
                if ours:
                    path.unlink()
                yield None
                return
            if ours:
                yield file
                return


def _complete(address: str, file: BinaryIO, digest: str | None) -> str | None:
    """Write the whole file of an address, from where it ends if its hash is known.

    Returns why the address does not give it, or None.
    """
    if digest is None:
        file.truncate(0)  # nothing tells whose beginning it is
    continued = file.seek(0, os.SEEK_END) > 0
    try:
        reason = _Transfer(address, file, digest).run()
        if reason and continued:
            file.truncate(0)
            reason = _Transfer(address, file, digest).run()
    except _Failed as error:
        return str(error)
    if reason:
        file.truncate(0)
    return reason


class _Redirections(HTTPRedirectHandler):
    """Follows redirections, and notes the sha256 that the Hugging Face hub states in its own."""

    sha256: str | None = None

    def redirect_request(self, request, response, code, message, headers, url):
        stated = headers.get('X-Linked-ETag', '').strip('"')
        if re.fullmatch('[0-9a-f]{64}', stated):
            self.sha256 = stated
        return super().redirect_request(request, response, code, message, headers, url)


class _Transfer:
    """One file from one address, continued after every cut that comes later than the last one.

    Args:
        address: of the file.
        file: what is here of it, open for reading and appending.
        digest: hexadecimal digits with which its sha256 begins; None: those that the Hugging Face
            hub states when it redirects to its file, if it does.
    """

    def __init__(self, address: str, file: BinaryIO, digest: str | None) -> None:
        self.address, self.file, self.digest = address, file, digest
        self.version: str | None = None  # what the server calls the content it began to send

    def run(self) -> str | None:
        """Append what is missing; returns why this is not the wanted file, or None.

        Raises:
            _Failed: the host does not send all of it.
        """
        farthest = self.file.seek(0, os.SEEK_END)
        while reason := self._cut():
            size = self.file.seek(0, os.SEEK_END)
            if size <= farthest:
                raise _Failed(reason)
            farthest = size
            if self.version is None and self.digest is None:
                self.file.truncate(0)  # the rest might be of another file
        self.file.seek(0)
        start = self.file.read(1)
        if start in (b'', b'<'):
            return 'it answers with a web page' if start else 'it sends nothing'
        actual = sha256(Path(self.file.name)) if self.digest else ''
        if self.digest and not actual.startswith(self.digest):
            return f'its sha256 begins with {actual[: len(self.digest)]}, not {self.digest}'
        return None

    def _cut(self) -> str | None:
        """Append until the end, or until something cuts it off: why."""
        try:
            self._append()
        except _Failed as error:
            return str(error)
        return None

    def _append(self) -> None:
        start = self.file.seek(0, os.SEEK_END)
        with self._open(start) as response:
            if start and response.status != 206:  # the whole file again
                self.file.truncate(0)
                start = 0
            headers = response.headers
            etag = headers.get('ETag', '')
            self.version = etag if etag.startswith('"') else headers.get('Last-Modified')
            length = headers.get('Content-Length')
            total = None if length is None else start + int(length)
            self.file.seek(0, os.SEEK_END)
            with download_bar(Path(self.file.name).name[1:-5], start, total) as advance:
                while block := self._read(response):
                    self.file.write(block)
                    advance(len(block))
        self.file.flush()
        size = self.file.tell()
        if total is not None and size < total:
            raise _Failed(f'the connection was cut after {size:,} of {total:,} bytes')

    def _open(self, start: int) -> Any:
        headers = {'User-Agent': 'hrdet'}
        if start:
            headers['Range'] = f'bytes={start}-'
            if self.version:
                headers['If-Range'] = self.version
        redirections = _Redirections()
        try:
            request = Request(self.address, headers=headers)
            response = build_opener(redirections).open(request, timeout=TIMEOUT)
        except HTTPError as error:
            if error.code == 416 and start:  # it has no more bytes: not the same file
                self.file.truncate(0)
                return self._open(0)
            raise _Failed(f'{error.code} {error.reason}') from None
        except (OSError, HTTPException, ValueError) as error:
            raise _Failed(_reason(error)) from None
        self.digest = self.digest or redirections.sha256
        return response

    def _read(self, response: Any) -> bytes:
        try:
            return response.read(_BLOCK)
        except (OSError, HTTPException) as error:
            self.file.flush()
            raise _Failed(_reason(error)) from None


def _reason(error: BaseException) -> str:
    cause = getattr(error, 'reason', error)  # of urllib's error
    if isinstance(cause, TimeoutError):
        return f'no answer for {TIMEOUT:g} s'
    return getattr(cause, 'strerror', None) or str(cause) or type(cause).__name__


def _say(text: str, level: int = logging.INFO) -> None:
    """A line in the log; on stderr where nobody has set up logging."""
    if _logger.isEnabledFor(level) and _logger.hasHandlers():
        _logger.log(level, '%s', text)
    else:
        print(text, file=sys.stderr)
