"""Tables as text: laid out as rich lays them out, which this stands in for."""

from __future__ import annotations

import random

import pytest
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from gilprobe.render.shared.page import Look, Page
from gilprobe.render.shared.text_table import TextTable, folded_lines, text_width

WIDE = 100_000


def painted(text: str, style: str) -> str:
    return f"<{style}>{text}</>" if style else text


def lines_of(*headings: str, rows: list[list[str]], width: int | None = None) -> list[str]:
    page = Page(Look(width=width))
    table = page.table(*headings)
    for row in rows:
        page.row(table, *row)
    page.show(table)
    return page.finished().split("\n")


def as_rich_does(headings: list[str], rows: list[list[str]], width: int | None, unicode: bool) -> list[str]:
    console = Console(width=WIDE, color_system=None, legacy_windows=False, _environ={})
    kind = box.SIMPLE_HEAD if unicode else box.ASCII2
    table = Table(box=kind, show_edge=False, pad_edge=False, collapse_padding=True, header_style="bold")
    for heading in headings:
        justify = "right" if heading.startswith(">") else "left"
        table.add_column(Text(heading.removeprefix(">")), justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*map(Text, row))
    least = Measurement.get(console, console.options, table).minimum
    console.width = max(width or WIDE, least)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().split("\n")]


def some_words(choose: random.Random, most: int) -> str:
    letters = "abc0123/._()"
    return " ".join(
        "".join(choose.choices(letters, k=choose.choice([1, 2, 5, 8, 13, 40])))
        for _ in range(choose.randint(1, most))
    )


@pytest.mark.parametrize("seed", range(200))
def test_a_table_is_laid_out_as_by_rich(seed):
    choose = random.Random(seed)
    width, unicode = choose.choice([None, 40, 60, 80, 120]), choose.random() < 0.8
    right = [choose.random() < 0.5 for _ in range(choose.randint(1, 6))]
    headings = [f">{some_words(choose, 1)[:9]}" if one else some_words(choose, 3) for one in right]
    rows = [
        [some_words(choose, 1)[:12] if one else some_words(choose, 8) for one in right]
        for _ in range(choose.randint(1, 5))
    ]
    table = TextTable(headings)
    page = Page(Look(width=width, unicode=unicode))
    for row in rows:
        page.row(table, *row)
    page.show(table)
    assert page.finished().split("\n")[:-1] == as_rich_does(headings, rows, width, unicode)


def test_numbers_end_together_and_words_begin_together() -> None:
    assert lines_of("name", ">hold", rows=[["a", "1.5 s"], ["long", "12 s"]]) == [
        "name   hold",
        "───────────",
        "a     1.5 s",
        "long   12 s",
        "",
        "",
    ]


def test_a_short_heading_stands_at_the_bottom() -> None:
    assert lines_of("a", ">two\nlines", rows=[["x", "1"]])[:2] == ["     two", "a  lines"]


def test_a_right_aligned_cell_is_not_folded_at_a_space() -> None:
    lines = lines_of(">hold", "site", rows=[["1.5 s", "one two three four five six"]], width=40)
    assert lines[2:4] == ["1.5 s  one two three four five six", ""]
    lines = lines_of(">hold", "site", rows=[["1.5 s", "one two three four five six"]], width=20)
    assert lines[2:4] == ["1.5 s  one two three", "       four five six"]


def test_a_table_is_wider_than_the_page_rather_than_cut() -> None:
    cells = ["a" * 30, "b" * 30]
    assert cells[0] in (text := "\n".join(lines_of("x", "y", rows=[cells], width=40)))
    assert cells[1] in text


def test_a_row_may_have_fewer_cells_than_the_table() -> None:
    assert lines_of("a", "b", rows=[["group"], ["x", "y"]])[2:4] == ["group", "x      y"]


def test_styles_surround_the_text_and_not_the_space() -> None:
    table = TextTable(["a", ">b"])
    page = Page(Look(color=True))
    page.row(table, "x", "1", style="bold", last="red")
    assert list(table.lines(None, painted))[2] == "<bold>x</>  <bold red>1</>"
    page.show(table)
    assert page.finished().split("\n")[2] == "\x1b[1mx\x1b[0m  \x1b[1;31m1\x1b[0m"


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("日本", 4), ("e\u0301", 1), ("µ", 1), ("", 0)])
def test_a_width_is_that_in_a_terminal(text, width):
    assert text_width(text) == width


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("one two", 7, ["one two"]),
        ("one two", 6, ["one", "two"]),
        ("one twothree", 6, ["one", "twothr", "ee"]),
        ("日本語", 4, ["日本", "語"]),
        ("a\n\nb", 4, ["a", "", "b"]),
    ],
)
def test_lines_are_folded_between_words_if_possible(text, width, lines):
    assert folded_lines(text, width) == lines
