"""Read a profile artifact from a file."""

from pathlib import Path

from config import textfile
from models.artifact import Profile, parse
from models.errors import ArtifactError


def read_profile(path: Path) -> Profile:
    """Return the profile in a file; raises ArtifactError that names the file and what is wrong."""
    return parse(read_text(path), str(path))


def read_text(path: Path) -> str:
    """Return a profile's text; raises ArtifactError when there is none to read."""
    try:
        return textfile.read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text, and profiles are JSON"
        raise ArtifactError(f"{path}: cannot be read: {reason}") from None
