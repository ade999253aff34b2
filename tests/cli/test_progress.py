"""How far a command is: plain lines with rate and time left in a log, a bar on a terminal."""

import io
import sys

import pytest

from geovq.cli import progress
from geovq.cli.progress import Progress, as_time


@pytest.fixture
def clock(monkeypatch):
    """Seconds, as the test sets them."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (99.4, "99 s"), (100, "2 min"), (5999, "100 min"), (6000, "1.7 h")]
)
def test_durations_are_for_people(seconds, text):
    assert as_time(seconds) == text


def test_lines_have_rate_and_time_left_and_come_every_few_seconds(clock, capsys):
    with Progress("encode", 100, "images", 10) as count:
        for _ in range(9):
            clock[0] += 2
            count(10)
    assert capsys.readouterr().out.splitlines() == [
        "encode: 40/100 images, 6 s, 5 a second, 12 s left",  # the first count compiles, and is not in the rate
        "encode: 70/100 images, 12 s, 5 a second, 6 s left",
        "encode: 100/100 images, 18 s, 5 a second, 0 s left",
    ]


def test_no_line_is_said_twice_and_none_where_nothing_was_done(clock, capsys):
    with Progress("encode", 100, "images") as count:
        clock[0] = 6
        count(10)
    assert len(capsys.readouterr().out.splitlines()) == 1
    with Progress("encode", 100, "images", 100):
        clock[0] = 12
    assert capsys.readouterr().out == ""


def test_without_a_total_there_is_no_time_left(clock, capsys):
    with Progress("fit", None, "images") as count:
        clock[0] = 2
        count(10)
    assert capsys.readouterr().out == "fit: 10 images, 2 s, 5 a second\n"


def test_a_terminal_has_a_bar(monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress("encode", 4, "images") as count:
        count(4)
    assert "encode: 100%" in terminal.getvalue()
    assert "4/4" in terminal.getvalue()
