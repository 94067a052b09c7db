"""Renew what is made from elsewhere: values.schema.json, the dashboards, the README's table of values."""

from tests.chart import dashboards, readme, schema


def main() -> None:
    """Write all of them."""
    schema.SCHEMA.write_text(schema.text(), encoding="utf-8")
    dashboards.FOLDER.mkdir(exist_ok=True)
    for name, text in dashboards.texts().items():
        (dashboards.FOLDER / name).write_text(text, encoding="utf-8")
    readme.README.write_text(readme.renewed(readme.README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
