"""The logger 'hrdet': lines on the console and in a file."""

import logging
import sys
from pathlib import Path
from typing import TextIO

from hrdet.distributed import rank

TEXT_LOG = 'train.log'


def start_logging(level: str, folder: Path | None = None) -> logging.Logger:
    """The logger 'hrdet', on the console and in a folder's ``train.log``.

    Processes other than rank 0 print warnings only.
    """
    logger = logging.getLogger('hrdet')
    # A second run in the same process (tests, notebooks) must not log twice.
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)
        handler.close()
    logger.propagate = False
    logger.setLevel(level if rank() == 0 else logging.WARNING)
    handlers = [_Console()]
    if folder is not None and rank() == 0:
        handlers.append(_TextLog(folder / TEXT_LOG, delay=True, encoding='utf-8'))
    for handler in handlers:
        handler.setFormatter(_Format())
        logger.addHandler(handler)
    return logger


class _Format(logging.Formatter):
    """Time and message; of warnings and errors also the level."""

    def format(self, record: logging.LogRecord) -> str:
        # INFO is the usual level and is not printed.
        level = '' if record.levelno < logging.WARNING else f'{record.levelname} '
        text = f'{self.formatTime(record, "%m/%d %H:%M:%S")} {level}{record.getMessage()}'
        return text.encode(errors='backslashreplace').decode()  # names of files that are no text


class _Console(logging.StreamHandler):
    """Writes to what ``sys.stdout`` is at the time: above a progress bar while there is one."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)  # a StreamHandler's would set ``stream``

    @property
    def stream(self) -> TextIO:
        return sys.stdout


class _TextLog(logging.FileHandler):
    """A log file that costs one warning where it cannot be written, and no training."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:  # of the file's opening
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        logger = logging.getLogger('hrdet')
        logger.removeHandler(self)
        logger.warning(f'{self.baseFilename}: cannot be written ({sys.exc_info()[1]})')
