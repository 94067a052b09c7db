"""Keep the files of a journal: their order, when a new one begins, which go, and the old ones compressed."""

import logging
import lzma
import shutil
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from models.policy import JournalPolicy

_LOG = logging.getLogger(__name__)

_PATTERN = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9].[0-9]*.jsonl"
_COMPRESSED = ".xz"
# Records of one deployment are 35 kB and alike: gzip looks 32 kB back and misses that, at 1.6 times the size.
# This preset looks 1 MB back, takes 10 MB of memory and half a second for a file of 10 MB.
_PRESET = 1


def journal_files(folder: Path) -> list[Path]:
    """Return the files of a journal, oldest first; of one that is being compressed the finished one."""
    found = {_order(file): file for file in folder.glob(_PATTERN)}
    found |= {_order(file): file for file in folder.glob(_PATTERN + _COMPRESSED)}
    return [found[key] for key in sorted(found)]


def opened(file: Path) -> BinaryIO | lzma.LZMAFile:
    """Open a file of a journal for reading, compressed or not; raises OSError."""
    if file.suffix == _COMPRESSED:
        return lzma.LZMAFile(file)
    try:
        return file.open("rb")
    except FileNotFoundError:
        # It was compressed since it was listed.
        return lzma.LZMAFile(file.with_name(file.name + _COMPRESSED))


def current(policy: JournalPolicy, day: str, size: int) -> tuple[Path, bool]:
    """Return the file that the next `size` bytes of a day (ISO date) go to, and whether it is a new one.

    Where one begins, the oldest go that are too many.
    """
    files = journal_files(Path(policy.directory))
    today = [f for f in files if f.name.startswith(day)]
    last = today[-1] if today else None
    if last and last.suffix != _COMPRESSED and last.stat().st_size + size <= policy.rotate_bytes:
        return last, False
    number = _order(last)[1] + 1 if last else 0
    for old in files[: max(len(files) + 1 - policy.keep_files, 0)]:
        old.unlink(missing_ok=True)
    return Path(policy.directory) / f"{day}.{number:03d}.jsonl", True


def compress(folder: Path) -> None:
    """Compress every file but the newest, each whole or not at all; what fails stays as it is."""
    for file in journal_files(folder)[:-1]:
        if file.suffix == _COMPRESSED:
            file.with_suffix("").unlink(missing_ok=True)
            continue
        part = file.with_name(f".{file.name}.part")
        try:
            with file.open("rb") as plain, lzma.open(part, "wb", preset=_PRESET) as packed:
                shutil.copyfileobj(plain, packed, 1 << 20)
            part.replace(file.with_name(file.name + _COMPRESSED))
            file.unlink(missing_ok=True)
        except FileNotFoundError:
            part.unlink(missing_ok=True)  # it went meanwhile, as the oldest
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            _LOG.warning("%s: stays uncompressed: %s", file, error.strerror or error)
            return


def _order(file: Path) -> tuple[str, int]:
    return file.name[:10], int(file.name.split(".")[1])
