"""Renew the published samples: `python -m tests.golden.samples`; with a folder, their pages too."""

import json
import sys
import tempfile
from pathlib import Path

from models.render.page import to_html
from tests.golden.markdown import markdown
from tests.golden.samples.reports import FOLDER, documents, exported


def main(pages: Path | None) -> None:
    """Write Markdown and JSON of each report beside this file, and HTML into `pages`."""
    with tempfile.TemporaryDirectory() as scratch:
        found = documents(Path(scratch))
    for name, document in found.items():
        (FOLDER / f"{name}.md").write_text(markdown(document), encoding="utf-8")
        (FOLDER / f"{name}.json").write_text(
            json.dumps(exported(document), indent=1) + "\n", encoding="utf-8"
        )
        if pages is not None:
            pages.mkdir(parents=True, exist_ok=True)
            (pages / f"{name}.html").write_text(to_html(document), encoding="utf-8")


main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
