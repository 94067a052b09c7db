"""Give every section of the configuration the same manners: unknown keys refused, values frozen."""

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

Problems = list[tuple[tuple[str | int, ...], str]]
"""What is wrong, each as the path of its key within the section and a sentence."""

PROBLEMS = "headgate_problems"
"""Type of an error that carries several, each with the key that it belongs to."""


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
        sentences = "; ".join(sentence for _, sentence in problems)
        raise PydanticCustomError(PROBLEMS, "{sentences}", {"problems": problems, "sentences": sentences})
