"""What a page is made of: pictures, numbers, sections, tables of scores."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from geovq.scores.intervals import Interval


class Picture(NamedTuple):
    """An image inside the page."""

    source: str
    """A data URI."""
    alt: str
    """What there is to see, for those who do not see it; also its caption."""
    width: int
    height: int


class Number(NamedTuple):
    """One of the few numbers that matter."""

    value: str
    name: str
    said: str
    """What it is compared with, or what it means."""


class Score(NamedTuple):
    """A column of a table of scores."""

    name: str
    meaning: str
    """In a sentence, with unit, range and direction."""
    better: Literal["higher", "lower"] | None = None
    """Which values are better, if any are."""


class ScoreTable(NamedTuple):
    """Scores of several systems."""

    caption: str
    first: str
    """Heading of the column of names."""
    scores: Sequence[Score]
    rows: Sequence[tuple[str, Sequence[Interval | float | None]]]
    """A system's name with its values; None where it has no such score."""
    without: Sequence[str] = ()
    """Names of rows that are no competitors: the best value of a column is marked among the others."""


class Section(NamedTuple):
    """A part of a page."""

    anchor: str
    """Its id, by which it is linked."""
    title: str
    template: str
    """Name of the file in `templates` that shows it."""
    content: Mapping[str, Any]
    """What that file reads."""


class Page(NamedTuple):
    """All of it, in the order in which it is read."""

    title: str
    sentence: str
    """What was found, before anything else."""
    numbers: Sequence[Number]
    first: Sequence[str]
    """Keys of the pictures that are shown first, side by side."""
    sections: Sequence[Section]
    pictures: Mapping[str, Picture]
    """By key; those that several parts show are in the file once."""
    words: Sequence[tuple[str, str]] = ()
    """Terms and what they mean here."""
