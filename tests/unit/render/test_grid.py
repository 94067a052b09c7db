import pytest

from models.render.grid import Column, Grid, to_text

COLUMNS = (Column("policy"), Column("gpu-hours", numeric=True), Column("wall", numeric=True, wide=True))


def test_text_is_aligned_and_ends_each_line_at_its_last_letter() -> None:
    text = to_text(Grid("x", COLUMNS, (("headgate", "592", "1 s"), ("hpa", "1,056", "12 s"))))

    assert text == "POLICY     GPU-HOURS\nheadgate         592\nhpa            1,056\n"


def test_wide_columns_show_only_when_asked_for() -> None:
    grid = Grid("x", COLUMNS, (("hpa", "7", "12 s"),))

    assert "WALL" not in to_text(grid)
    assert to_text(grid, wide=True).splitlines()[0].split() == ["POLICY", "GPU-HOURS", "WALL"]


def test_a_name_from_outside_neither_breaks_a_line_nor_drives_the_terminal() -> None:
    text = to_text(Grid("x", (Column("name"),), (("evil\n\x1b[31mred\u202e",),)))

    assert text == "NAME\nevil??[31mred?\n"


def test_an_empty_table_says_none_and_an_empty_cell_a_dash() -> None:
    assert to_text(Grid("x", COLUMNS, ())).splitlines()[1] == "none"
    assert to_text(Grid("x", (Column("a"), Column("b")), (("", "1"),))).splitlines()[1] == "-   1"


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="2 cells in a table of 3 columns"):
        Grid("x", COLUMNS, (("hpa", "7"),))
