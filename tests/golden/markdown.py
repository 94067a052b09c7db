"""Write a report as Markdown: every sentence and table of its page; its charts by name."""

from collections.abc import Iterator

from models.render.document import Block, Chart, Document, Facts, Folded, Items, Points, Prose, Table
from models.render.exchange import escaped, to_markdown


def markdown(document: Document) -> str:
    """Return the whole report; ends with a newline."""
    head = [f"# {escaped(document.title)}", escaped(document.subtitle)]
    verdict = [f"**{escaped(document.verdict.headline)}**", *map(escaped, document.verdict.details)]
    parts = [*head, *verdict]
    for section in document.sections:
        parts.append(f"## {escaped(section.title)}")
        for block in section.blocks:
            parts.extend(_written(block))
    parts.append(f"*{escaped(document.made_by)}*")
    return "\n\n".join(part.strip("\n") for part in parts if part.strip()) + "\n"


def _written(block: Block) -> Iterator[str]:
    if isinstance(block, Prose):
        yield from (escaped(" ".join(each.split())) for each in block.paragraphs)
    elif isinstance(block, Table):
        yield to_markdown(block.grid)
    elif isinstance(block, Chart):
        yield f"*Chart: {escaped(block.figure.title)}*"
    elif isinstance(block, Items):
        yield _listed([f"{item.when}: {item.text}" for item in block.items])
    elif isinstance(block, Facts):
        yield _listed([f"{name}: {value}" for name, value in block.pairs])
    elif isinstance(block, Points):
        yield f"**{escaped(block.title)}**"
        yield _listed(list(block.sentences))
    elif isinstance(block, Folded):
        yield f"### {escaped(block.summary)}"
        for inner in block.blocks:
            yield from _written(inner)


def _listed(lines: list[str]) -> str:
    return "\n".join(f"- {escaped(line)}" for line in lines)
