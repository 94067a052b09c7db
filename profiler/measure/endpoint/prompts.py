"""Make prompts of a known number of tokens that no prefix cache has seen."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from profiler.measure.endpoint.failure import AnswerError

if TYPE_CHECKING:
    from numpy.random import Generator

Prompt = list[int] | str

# Short words that tokenizers hold whole. Eight at random agree with eight others once in 10^14.
WORDS = (
    "time",
    "year",
    "people",
    "way",
    "day",
    "man",
    "thing",
    "woman",
    "life",
    "child",
    "world",
    "school",
    "state",
    "family",
    "student",
    "group",
    "country",
    "problem",
    "hand",
    "part",
    "place",
    "case",
    "week",
    "company",
    "system",
    "program",
    "question",
    "work",
    "government",
    "number",
    "night",
    "point",
    "home",
    "water",
    "room",
    "mother",
    "area",
    "money",
    "story",
    "fact",
    "month",
    "lot",
    "right",
    "study",
    "book",
    "eye",
    "job",
    "word",
    "business",
    "issue",
    "side",
    "kind",
    "head",
    "house",
    "service",
    "friend",
    "father",
    "power",
    "hour",
    "game",
    "line",
    "end",
    "member",
    "law",
)


@dataclass(frozen=True, slots=True)
class Ids:
    """Write prompts as token ids, which are exact.

    Ids come from the middle of the vocabulary: special tokens stand at its ends.
    """

    vocabulary: int

    def make(self, rng: "Generator", tokens: int, prefix: Prompt | None = None) -> Prompt:
        """Return `tokens` random tokens behind the prefix."""
        low, high = self.vocabulary // 50, self.vocabulary * 6 // 10
        fresh: list[int] = rng.integers(low, max(high, low + 1), size=tokens).tolist()
        return [*prefix, *fresh] if isinstance(prefix, list) else fresh


@dataclass(frozen=True, slots=True)
class Words:
    """Write prompts as text, by the tokens that the endpoint counted per word and around the text."""

    per_word: float
    around: float

    def make(self, rng: "Generator", tokens: int, prefix: Prompt | None = None) -> Prompt:
        """Return text of about `tokens` random tokens behind the prefix.

        Raises AnswerError if none is so short.
        """
        around = 0.0 if isinstance(prefix, str) else self.around
        count = round((tokens - around) / self.per_word)
        if count < 1:
            raise AnswerError(
                f"a prompt of {tokens} tokens cannot be written as text: the chat template alone takes "
                f"{self.around:.0f}",
                suspect=False,
            )
        fresh = " ".join(WORDS[i] for i in rng.integers(0, len(WORDS), size=count))
        return f"{prefix} {fresh}" if isinstance(prefix, str) else fresh
