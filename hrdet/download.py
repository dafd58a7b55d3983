"""Download a file from the first address that has it, resume after a cut, and check its hash.

A file gets its name when it is complete.  If two processes need the same file, one downloads it and
the other waits.
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

TIMEOUT = 20.0  # seconds without data after which the next address is tried
_BLOCK = 1 << 18
_HASH = re.compile(r'-([0-9a-f]{8,64})$')
_DATE = re.compile(r'(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])')

_logger = logging.getLogger('hrdet')


class DownloadError(FileNotFoundError):
    """No address has the file; the message names file, addresses, reasons and the cure."""


class _AddressError(Exception):
    """One address failed; the text says why."""


def stated_hash(name: str) -> str | None:
    """The first digits of a sha256 at the end of a file name (``-e368c387.pth``), or None."""
    match = _HASH.search(Path(name).stem)
    # Names of OpenMMLab may end in a date, 20200214, whose digits look like a hash.
    return None if not match or _DATE.fullmatch(match[1]) else match[1]


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
        target: path of the file; a partial download is kept beside it and resumed later.
        digest: the first hexadecimal digits of its sha256.

    Raises:
        DownloadError: no address has the file, it cannot be written, or HRDET_OFFLINE is set.
    """
    if offline():
        raise DownloadError(
            f'{target}: not there, and HRDET_OFFLINE is set: fetch {addresses[0]} and save it '
            f'under that name'
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # None: another process has downloaded the file while this one waited.
        with _partial_file(target) as file:
            failures = [] if file is None else _try_addresses(addresses, target, file, digest)
    except OSError as error:
        raise DownloadError(
            f'{target}: cannot be written ({error.strerror or error}); HRDET_HOME names another '
            f'folder for weights'
        ) from error
    if target.is_file():
        return target
    raise DownloadError(
        f'{target.name}: no address has it: {", ".join(failures)}. Download it in another way and '
        f'save it as {target}, or name a host with the same paths in HRDET_MIRRORS'
    )


def offline() -> bool:
    """Whether HRDET_OFFLINE forbids to fetch anything."""
    return os.environ.get('HRDET_OFFLINE', '0') not in ('', '0')


def _try_addresses(
    addresses: Sequence[str], target: Path, file: BinaryIO, digest: str | None
) -> list[str]:
    """Complete the partial ``file`` and rename it to ``target``; returns what failed before."""
    failures = []
    for address in addresses:
        _log(f'downloading {address} to {target}')
        reason = _complete(address, file, digest)
        if reason is None:
            # On the disk before the rename: after a crash the name never stands for half a file.
            os.fsync(file.fileno())
            os.replace(file.name, target)
            break
        failures.append(f'{address} ({reason})')
        _log(f'{address}: {reason}', logging.WARNING)
    return failures


@contextmanager
def _partial_file(target: Path) -> Iterator[BinaryIO | None]:
    """The partial file, locked; None if another process has completed the download."""
    import fcntl

    path = target.with_name(f'.{target.name}.part')
    while True:
        with path.open('a+b') as file:
            # 1. Wait for a process that downloads the same file.
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _log(f'waiting for another process that downloads {target}')
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError:
                pass  # a file system without locks
            # 2. The other process may have renamed or removed the file that was opened: only a file
            #    that still has this name is used.
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
    """Download an address into ``file``, which may hold the beginning already.

    Returns the reason of a failure, or None.
    """
    # 1. A partial file is continued only with a hash, which proves that the result is right.
    if digest is None:
        file.truncate(0)
    continued = file.seek(0, os.SEEK_END) > 0
    try:
        reason = _Transfer(address, file, digest).run()
        # 2. A wrong hash after a resume: the beginning may be of another version. Start again.
        if reason and continued:
            file.truncate(0)
            reason = _Transfer(address, file, digest).run()
    except _AddressError as error:
        return str(error)
    if reason:
        file.truncate(0)
    return reason


class _Redirections(HTTPRedirectHandler):
    """Follows redirections, and keeps the sha256 that the Hugging Face hub sends in a header."""

    sha256: str | None = None

    def redirect_request(self, request, response, code, message, headers, url):
        stated = headers.get('X-Linked-ETag', '').strip('"')
        if re.fullmatch('[0-9a-f]{64}', stated):
            self.sha256 = stated
        return super().redirect_request(request, response, code, message, headers, url)


class _Transfer:
    """The transfer of one file from one address, resumed after a cut while it makes progress.

    Args:
        address: URL of the file.
        file: the partial file, open for reading and appending.
        digest: the first digits of its sha256; None takes those that the Hugging Face hub sends
            when it redirects, if it does.
    """

    def __init__(self, address: str, file: BinaryIO, digest: str | None) -> None:
        self.address, self.file, self.digest = address, file, digest
        self.version: str | None = None  # ETag or date of the content, for a conditional resume

    def run(self) -> str | None:
        """Append what is missing; returns why the result is not the wanted file, or None.

        Raises:
            _AddressError: the host does not send the whole file.
        """
        # 1. Resume after each cut, as long as every attempt gets further than the one before.
        farthest = self.file.seek(0, os.SEEK_END)
        while reason := self._cut():
            size = self.file.seek(0, os.SEEK_END)
            if size <= farthest:
                raise _AddressError(reason)
            farthest = size
            if self.version is None and self.digest is None:
                self.file.truncate(0)  # the rest might be of another version
        # 2. Login pages and error pages come as HTML with status 200.
        self.file.seek(0)
        start = self.file.read(1)
        if start in (b'', b'<'):
            return 'it answers with a web page' if start else 'it sends nothing'
        # 3. The hash, where one is known.
        actual = sha256(Path(self.file.name)) if self.digest else ''
        if self.digest and not actual.startswith(self.digest):
            return f'its sha256 begins with {actual[: len(self.digest)]}, not {self.digest}'
        return None

    def _cut(self) -> str | None:
        """Append until the end; returns the reason if the connection is cut before."""
        try:
            self._append()
        except _AddressError as error:
            return str(error)
        return None

    def _append(self) -> None:
        start = self.file.seek(0, os.SEEK_END)
        with self._open(start) as response:
            # 206 is partial content; a server without ranges sends the whole file with 200.
            if start and response.status != 206:
                self.file.truncate(0)
                start = 0
            headers = response.headers
            # A weak ETag (W/...) does not prove equal bytes, so it is no condition for a resume.
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
            raise _AddressError(f'the connection was cut after {size:,} of {total:,} bytes')

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
            # 416, range not satisfiable: the partial file is as long as the remote one, or longer.
            if error.code == 416 and start:
                self.file.truncate(0)
                return self._open(0)
            raise _AddressError(f'{error.code} {error.reason}') from None
        except (OSError, HTTPException, ValueError) as error:
            raise _AddressError(reason_of(error)) from None
        self.digest = self.digest or redirections.sha256
        return response

    def _read(self, response: Any) -> bytes:
        try:
            return response.read(_BLOCK)
        except (OSError, HTTPException) as error:
            self.file.flush()
            raise _AddressError(reason_of(error)) from None


def reason_of(error: BaseException) -> str:
    """Why an address cannot be read, in a few words."""
    cause = getattr(error, 'reason', error)  # of urllib's error
    if isinstance(cause, TimeoutError):
        return f'no answer for {TIMEOUT:g} s'
    return getattr(cause, 'strerror', None) or str(cause) or type(cause).__name__


def _log(text: str, level: int = logging.INFO) -> None:
    """Log a line; print it to stderr if logging is not set up."""
    if _logger.isEnabledFor(level) and _logger.hasHandlers():
        _logger.log(level, '%s', text)
    else:
        print(text, file=sys.stderr)
