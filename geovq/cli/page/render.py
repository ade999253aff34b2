"""A page as one HTML file: templates by Jinja, style and script inside, and no request to anywhere."""

import importlib.resources
import importlib.util
from collections.abc import Iterator, Mapping

from geovq.cli.page.content import Page, Picture, ScoreTable
from geovq.scores.intervals import Interval
from geovq.validation import InputError

_EXTRA = "pip install 'geovq[report]'"


class Gallery:
    """Pictures by key: each is in the file once, where it is shown first or, if nowhere, in a store that the script reads."""

    def __init__(self, pictures: Mapping[str, Picture]):
        """All pictures of a page."""
        self._pictures, self._shown = pictures, set[str]()

    def show(self, key: str) -> Picture:
        """The picture, for the one place that holds it."""
        self._shown.add(key)
        return self._pictures[key]

    def held(self, key: str) -> bool:
        """Whether a place before holds it."""
        return key in self._shown

    def rest(self) -> Iterator[tuple[str, Picture]]:
        """Those that no place holds, with their keys."""
        return ((key, each) for key, each in self._pictures.items() if key not in self._shown)


def render(page: Page) -> str:
    """The HTML of a page.

    Raises:
        InputError: jinja2 is not installed.
    """
    try:
        import jinja2
        import markupsafe
    except ImportError as error:
        raise InputError(f"report: expected jinja2 to be installed, found: {error}; run {_EXTRA}.") from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("geovq.cli.page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"score": as_score, "interval": as_interval}
    environment.tests["best_of"] = is_best
    files = importlib.resources.files("geovq.cli.page")
    return environment.get_template("page.html").render(
        page=page,
        gallery=Gallery(page.pictures),
        style=markupsafe.Markup(files.joinpath("page.css").read_text("utf-8")),
        script=markupsafe.Markup(files.joinpath("page.js").read_text("utf-8")),
    )


def check_packages() -> None:
    """Refuses to begin what could not be shown.

    Raises:
        InputError: A package that pages need is missing.
    """
    for name in ("jinja2", "matplotlib", "PIL"):
        if importlib.util.find_spec(name) is None:
            raise InputError(f"report: expected {name} to be installed, found nothing; run {_EXTRA}.")


def as_score(value: Interval | float | None) -> str:
    """A mean with four significant digits; a dash for nothing."""
    if value is None:
        return "-"
    return f"{_mean(value):.4g}"


def is_best(column: int, table: ScoreTable, name: str) -> bool:
    """Whether a row has the best value of a column among at least two rows that compete."""
    better = table.scores[column].better
    means = {row: _mean(values[column]) for row, values in table.rows if row not in table.without}
    found = [mean for mean in means.values() if mean is not None]
    if better is None or len(found) < 2 or means.get(name) is None:
        return False
    return means[name] == (max(found) if better == "higher" else min(found))


def _mean(value: Interval | float | None) -> float | None:
    return value.mean if isinstance(value, Interval) else value


def as_interval(value: Interval | float | None) -> str:
    """The ends of an interval; nothing where there is none."""
    return f"{value.low:.4g} to {value.high:.4g}" if isinstance(value, Interval) else ""
