"""Count what of a journal could not be read, why and from when: nothing is passed over in silence."""

from dataclasses import dataclass, field

from models.render.formats import moment
from models.track.summary import PassedOver
from planner.record.journal import Line


@dataclass(slots=True)
class Unread:
    """Gather the lines without a record, and the records without what they were decided with."""

    _forms: dict[str, PassedOver] = field(default_factory=dict)
    _broken: int = 0
    _first: str = ""
    _last_is_broken: bool = False
    _lacking: int = 0
    _reasons: list[str] = field(default_factory=list)

    def read(self) -> None:
        """Note that a line could be read: none before it is still being written."""
        self._last_is_broken = False

    def passed(self, line: Line) -> None:
        """Take note of a line without a record."""
        self._last_is_broken = not line.form
        if line.form:
            known = self._forms.get(line.form, PassedOver(line.form, 0, None, None))
            times = [t for t in (known.from_s, known.until_s, line.at_s) if t is not None]
            span = (min(times), max(times)) if times else (None, None)
            self._forms[line.form] = PassedOver(line.form, known.lines + 1, *span)
            return
        self._broken += 1
        self._first = self._first or f"{line.where} {line.problem}"

    def lacks(self, reason: str = "") -> None:
        """Take note of a record of which nobody knows what it was decided with, and why not."""
        self._lacking += 1
        if reason and reason not in self._reasons:
            self._reasons.append(reason)

    @property
    def forms(self) -> tuple[PassedOver, ...]:
        """The lines of newer versions, by their form."""
        return tuple(self._forms.values())

    def nothing(self, only: str | None) -> str:
        """Say why nothing at all can be judged."""
        if self._lacking:
            lacks = f"does not hold what its {self._lacking} records were decided with"
            return f"{lacks}: {'; '.join(self._reasons) or 'say --config FILE as well'}"
        if self._forms:
            return f"holds no record that can be read; {self._newer()[0]}"
        if self._broken:
            return f"holds no whole record; {self._first}"
        return f"holds no record of {only}" if only else "holds no record yet; wait for the first tick"

    def notes(self) -> tuple[str, ...]:
        """Say what is missing from whatever rests on this journal."""
        notes = self._newer()
        cut = self._broken - self._last_is_broken
        if cut:
            notes.append(f"{cut} line{'s' if cut > 1 else ''} could not be read, the first: {self._first}")
        if self._last_is_broken:
            notes.append("the last line is still being written, or was cut off")
        if self._lacking:
            why = f": {'; '.join(self._reasons)}" if self._reasons else ""
            notes.append(f"{self._lacking} records lack what they were decided with, and are left out{why}")
        return tuple(notes)

    def _newer(self) -> list[str]:
        return [passed_over(each) for each in self._forms.values()]


def passed_over(each: PassedOver) -> str:
    """Say how many lines of one form were passed over, and from when they are."""
    span = "of times that cannot be told"
    if each.from_s is not None and each.until_s is not None:
        span = f"of {moment(each.from_s)} to {moment(each.until_s)}"
    many = each.lines > 1
    unknown = f"which this version does not know, and count{'' if many else 's'} nowhere: upgrade headgate"
    return f"{each.lines} line{'s' if many else ''} {span} {'are' if many else 'is'} {each.form}, {unknown}"
