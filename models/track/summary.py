"""Sum a track up over the spans by which it is judged."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.track.criteria import Criteria
from models.track.score import Score, by_day, score
from models.track.track import Track
from models.track.verdict import Judgement, judge

SPANS_DAYS = (1, 7, 28)


@dataclass(frozen=True, slots=True)
class PassedOver:
    """Count the lines of a journal in a form that is not known here; from when they are in Unix seconds."""

    form: str
    lines: int
    from_s: float | None
    until_s: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """Hold a deployment's track record: `spans` by their days, the longest last, and every day by itself.

    `judgement` is `None` where the demand is nowhere known. `notes` are what a reader should know of the
    journal, `passed_over` those of its lines that a newer version wrote: they are missing from every figure.
    """

    track: Track
    spans: Mapping[int, Score]
    days: tuple[Score, ...]
    judgement: Judgement | None
    criteria: Criteria
    records: int
    version: str
    notes: tuple[str, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()

    @property
    def whole(self) -> Score | None:
        """The score of the longest span; `None` where nothing could be scored."""
        return self.spans[max(self.spans)] if self.spans else None


def summarise(
    track: Track,
    criteria: Criteria,
    records: int,
    version: str,
    notes: tuple[str, ...] = (),
    passed_over: tuple[PassedOver, ...] = (),
) -> Summary:
    """Score a track over its spans and days, and hold it against the criteria."""
    spans = {days: found for days in SPANS_DAYS if (found := score(track, days)) is not None}
    whole = spans[max(spans)] if spans else None
    judgement = None if whole is None else judge(track, whole, criteria)
    return Summary(
        track, spans, tuple(by_day(track)), judgement, criteria, records, version, notes, passed_over
    )
