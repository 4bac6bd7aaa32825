"""Tables as plain text and by rich: alignment, what fits, encodings, colours."""

import io

import pytest

from tfsession.cli.table import Cell, Column, Line, Screen, Table

TABLE = Table(
    [Column("Name"), Column("Size", right=True), Column("", rank=2), Column("Note", rank=1)],
    [
        [Cell("a"), Cell("1 MiB"), Cell("", "good", 0.5), Cell("short")],
        [Cell("longer"), Cell("1024 MiB", "bad"), Cell(""), Cell("")],
    ],
)


def printed(*parts, encoding="utf-8", no_color=False, **environ):
    stream = io.TextIOWrapper(io.BytesIO(), encoding, newline="\n")
    Screen(stream, environ, no_color).show(*parts)
    return stream.buffer.getvalue().decode(encoding)


def test_plain_text():
    assert printed(Line("head", "bad"), TABLE) == (
        "head\n"
        "Name        Size  Note\n"
        "a          1 MiB  short\n"
        "longer  1024 MiB  -\n"
    )  # fmt: skip


def test_rich(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = printed(Line("head", "bad"), TABLE, FORCE_COLOR="1")
    assert "█████░░░░░" in text
    assert "\x1b[1;31mhead" in text
    assert "#####....." in printed(TABLE, FORCE_COLOR="1", encoding="ascii")


@pytest.mark.parametrize(
    ("columns", "titles"), [(35, {"Note", "░"}), (24, {"Note"}), (16, set()), (10, set())]
)
def test_columns_go_by_rank(monkeypatch, columns, titles):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = printed(TABLE, FORCE_COLOR="1", NO_COLOR="1").splitlines()
    assert {title for title in ("Note", "░") if any(title in line for line in lines)} == titles
    assert "Na" in lines[0]


@pytest.mark.parametrize(
    ("environ", "no_color", "is_drawn", "has_colour"),
    [
        ({}, False, False, False),
        ({"FORCE_COLOR": "1"}, False, True, True),
        ({"FORCE_COLOR": "0"}, False, False, False),
        ({"FORCE_COLOR": ""}, False, False, False),
        ({"FORCE_COLOR": "1"}, True, False, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, True, False),
        ({"NO_COLOR": "1"}, False, False, False),
    ],
)
def test_the_variables_about_colour(environ, no_color, is_drawn, has_colour):
    text = printed(TABLE, no_color=no_color, **environ)
    assert ("░" in text) == is_drawn
    assert ("\x1b[32m" in text) == has_colour


def test_what_cannot_be_encoded_or_would_steer_a_terminal():
    assert printed(Line("é \x1b[2J\r"), encoding="ascii") == "? ?[2J?\n"
    assert printed(Line("é")) == "é\n"
