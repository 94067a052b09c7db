"""Give every section of the configuration the same manners: unknown keys refused, values frozen."""

from pydantic import BaseModel, ConfigDict

Problems = list[tuple[tuple[str | int, ...], str]]
"""What is wrong, each as the path of its key within the section and a sentence."""


class RefusalError(ValueError):
    """Carry several problems out of one check, each with the key that it belongs to."""

    def __init__(self, problems: Problems) -> None:
        """Keep the problems; the message is all of their sentences."""
        super().__init__("; ".join(sentence for _, sentence in problems))
        self.problems = problems


class Section(BaseModel):
    """Refuse what is not in the schema; attributes carry units in their names, keys in the file do not."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        str_strip_whitespace=True,
        use_attribute_docstrings=False,
    )


def refuse(problems: Problems) -> None:
    """Raise one error that carries all problems; no problem is fine."""
    if problems:
        raise RefusalError(problems)
