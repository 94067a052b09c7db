"""Open a trace or series file as lines of text, gzip or plain, and say why when it is neither."""

import gzip
import zlib
from pathlib import Path

from models.errors import TraceError

_GZIP = b"\x1f\x8b"


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file; whether it is gzip is told by its first bytes, not by its name.

    Raises TraceError for a file that is missing, unreadable, empty, cut short or not text.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise TraceError(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise TraceError(f"{path}: is a folder; name one file in it") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise TraceError(f"{path}: cannot be read: {reason}") from None
    if data.startswith(_GZIP):
        data = _decompress(data, path)
    if not data.strip():
        raise TraceError(f"{path}: is empty; it needs a header and rows below it")
    if b"\0" in data[:65_536]:
        raise TraceError(f"{path}: is binary, not CSV or JSON lines; export it as text")
    try:
        return data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TraceError(f"{path}: line {line} is not UTF-8 text; save the file as UTF-8") from None


def _decompress(data: bytes, path: Path) -> bytes:
    try:
        return gzip.decompress(data)
    except EOFError:
        raise TraceError(f"{path}: the gzip data ends early: the file was cut; fetch it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise TraceError(f"{path}: the gzip data is damaged ({error}); fetch the file again") from None
