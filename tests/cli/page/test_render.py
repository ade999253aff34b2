"""Pages as text: nothing is asked for, nothing of the user's becomes HTML, each picture is there once."""

import pathlib
import re

import numpy as np
import pytest

from geovq.cli.page import charts
from geovq.cli.page.content import Number, Page, Picture, Score, ScoreTable, Section
from geovq.cli.page.render import as_interval, as_score, render
from geovq.scores.intervals import Interval

FILES = pathlib.Path(charts.__file__).parent
NAME = '"><script>alert(1)</script>'


@pytest.fixture
def page():
    scores = ScoreTable("Scores", "system", [Score("PSNR", "dB")], [(NAME, [Interval(1, 0.5, 2)]), ("none", [None])])
    chart = charts.lines("Loss", [charts.Curve("train", [(0, 1.0), (1, 0.5)])], "epoch", "nats")
    sections = [
        Section("charts", "Charts", "charts.html", {"paragraphs": [NAME], "charts": [chart]}),
        Section("scores", NAME, "scores.html", {"tables": [scores]}),
        Section("origin", "Origin", "origin.html", {"facts": [("Command", NAME)], "notes": NAME}),
    ]
    pictures = {key: Picture(f"data:,{key}", NAME, 1, 1) for key in ("a", "b")}
    return Page(NAME, NAME, [Number("1", NAME, NAME)], ["a", "a"], sections, pictures)


def test_names_are_text_and_nothing_is_asked_for(page):
    html = render(page)
    assert NAME not in html
    assert "default-src 'none'" in html
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", html)
    assert not re.findall(r"url\((?!#)", html)


def test_each_picture_is_there_once(page):
    html = render(page)
    assert html.count("data:,a") == html.count("data:,b") == 1
    assert html.count('data-copy="a"') == 1


def test_cells():
    assert [as_score(each) for each in (None, 0.123456, Interval(1, 0.5, 2))] == ["-", "0.1235", "1"]
    assert [as_interval(each) for each in (1.0, Interval(1, 0.5, 2))] == ["", "0.5 to 2"]


def test_the_best_of_those_that_compete_is_marked():
    rows: list[tuple[str, list[Interval | float | None]]] = [
        ("none", [Interval(30, 29, 31), 0.1]),
        ("a", [Interval(20, 19, 21), 0.3]),
        ("b", [Interval(25, 24, 26), None]),
    ]
    scores = [Score("PSNR", "dB", "higher"), Score("LPIPS", "distance", "lower")]
    html = render(
        Page(
            "t",
            "s",
            [],
            [],
            [Section("x", "x", "scores.html", {"tables": [ScoreTable("c", "f", scores, rows, ["none"])]})],
            {},
        )
    )
    assert re.findall(r'<td class="best">([\d.]+)', html) == ["25"]  # one LPIPS alone is no contest


def test_words_stand_before_the_parts(page):
    html = render(page._replace(words=[("token", NAME)]))
    assert html.index("Words on this page") < html.index("<nav")
    assert "Words on this page" not in render(page)


def test_charts_have_the_pages_colours_and_say_what_they_show(rng):
    usage = charts.usage(np.array([[3, 0, 1]]))
    assert "currentColor" in usage
    assert "var(--series-1)" in usage
    assert not re.search(r"#0000[01]\d", usage)
    assert 'aria-label="How often each code is used. Codes in use: 2 of 3."' in usage
    values = rng.random(5).astype(np.float32)
    found = charts.prediction("pullback", values, "intensity", values, 1.0)
    assert (
        'aria-label="pullback distance between codes against the change of the image. Rank correlation 1.00."' in found
    )
    dots = charts.dots("PSNR", [("Nearest", 20.0), ("Joint", 24.0)], ("no tokens", 25.0))
    assert 'aria-label="PSNR. Nearest: 20; Joint: 24; no tokens: 25"' in dots
    rates = charts.rates("PSNR", [charts.Curve("Nearest", [(1, 20.0)])], ("no tokens", 25.0), ("this", 1, 20.0))
    assert 'aria-label="PSNR, against bits a pixel. Nearest: 20 at 1 bits; no tokens: 25"' in rates


def test_the_script_is_small_and_keeps_the_rules():
    script = (FILES / "page.js").read_text()
    assert script.startswith('"use strict";\n')
    assert len(script.splitlines()) < 250
    assert max(map(len, script.splitlines())) <= 130
    code = re.sub(r"//.*", "", script)
    for unwanted in (
        r"\bvar\b",
        r"[^=!]==[^=]",
        r"!=[^=]",
        r"innerHTML",
        r"\beval\b",
        r"\bfetch\b",
        r"XMLHttp",
        r"console\.",
    ):
        assert not re.search(unwanted, code), unwanted
