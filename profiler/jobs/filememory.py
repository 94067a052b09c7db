"""Remember what running replicas said, in a file beside the measurements."""

import json
from pathlib import Path

from models import codec
from models.errors import InputError
from models.values import Parallelism, Role
from profiler.measure.backend import Replica

SCHEMA = "headgate/replicas/v1"


class FileMemory:
    """Keep replicas in a file of JSON lines; the last line for a layout counts."""

    def __init__(self, path: Path, identity: str) -> None:
        """Read what is there; raises InputError when the file is damaged, or of another sweep."""
        self._path, self._identity = path, identity
        self._kept: dict[tuple[Role, Parallelism], Replica] = {}
        try:
            lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
            for line in lines:
                self._take(json.loads(line))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: holds no replicas of a sweep ({error}); move the file away") from None

    @property
    def kept(self) -> dict[tuple[Role, Parallelism], Replica]:
        """Everything that is remembered."""
        return dict(self._kept)

    def recall(self, role: Role, layout: Parallelism) -> Replica | None:
        """Return what was kept."""
        return self._kept.get((role, layout))

    def keep(self, role: Role, layout: Parallelism, replica: Replica) -> None:
        """Append it; raises InputError when the file cannot be written."""
        self._kept[role, layout] = replica
        line = {
            "schema": SCHEMA,
            "identity": self._identity,
            "role": role.value,
            "layout": codec.to_plain(layout),
            "replica": codec.to_plain(replica),
        }
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise InputError(f"{self._path}: cannot be written: {error.strerror or error}") from None

    def _take(self, plain: dict[str, object]) -> None:
        if plain["schema"] == SCHEMA and plain["identity"] == self._identity:
            where = Role(str(plain["role"])), codec.from_plain(Parallelism, plain["layout"])
            self._kept[where] = codec.from_plain(Replica, plain["replica"])
