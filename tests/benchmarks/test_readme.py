"""The README and the pages in docs: tables are those of the results, and links, names and commands exist."""

import importlib.util
import pathlib
import re

import pytest

from benchmarks import tables
from geovq.storage.records import write_json
from geovq.validation import InputError
from train.config.options import Config

ROOT = pathlib.Path(__file__).parents[2]
NAMES = [str(page.relative_to(ROOT)) for page in tables.PAGES]


@pytest.mark.parametrize("name", NAMES)
def test_tables_are_those_of_the_results_files(name):
    text = (ROOT / name).read_text()
    assert tables.rendered(text) == text


def test_every_table_stands_on_one_page_and_every_results_file_has_one():
    markers = [name for page in tables.PAGES for name in re.findall(r"<!-- (\w+): begin -->", page.read_text())]
    assert sorted(markers) == sorted([*tables.TABLES, "tree"])
    files = {path.stem for path in (ROOT / "benchmarks/results").glob("*.json")}
    assert files == {file for file, _ in tables.TABLES.values()}


def test_an_unknown_marker_is_refused():
    with pytest.raises(InputError, match="found 'nothing'"):
        tables.rendered("<!-- nothing: begin -->\n<!-- nothing: end -->")


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ([0], "one seed of the networks."),
        ({"split": 0, "networks 0": 0, "networks 1": 1}, "2 seeds of the networks."),
        ({"split": 0, "networks 0": 0, "Transformer 1": 1}, "one seed of the networks, 2 of the Transformers."),
    ],
)
def test_a_table_says_how_often_networks_were_trained(seeds, said, tmp_path, monkeypatch):
    meta = {"command": "python -m x", "machine": "a machine", "date": "2026-01-01", "schedule": "short", "seeds": seeds}
    write_json(tmp_path / "one.json", {"meta": meta, "rows": []})
    monkeypatch.setattr(tables, "FOLDER", tmp_path)
    monkeypatch.setitem(tables.TABLES, "one", ("one", str))
    assert tables.table("one").endswith(said)


def test_a_table_says_how_good_the_classifier_is(tmp_path, monkeypatch):
    meta = {"command": "x", "machine": "a machine", "date": "2026-01-01", "schedule": "short", "seeds": [0]}
    write_json(tmp_path / "one.json", {"meta": meta, "rows": [{"classifier_accuracy": 0.93}]})
    monkeypatch.setattr(tables, "FOLDER", tmp_path)
    monkeypatch.setitem(tables.TABLES, "one", ("one", str))
    assert tables.table("one").endswith("networks. The classifier is right on 93.00% of the test images.")


def anchors(page):
    """What a link can name within a page, as GitHub names headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere():
    links = [
        (page, *found) for page in tables.PAGES for found in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text())
    ]
    assert len(links) > 5
    for page, path, anchor in links:
        if path.startswith("https://"):
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), (page, path)
        assert not anchor or anchor in anchors(target), (page, path, anchor)


def test_every_page_is_named_in_the_readme():
    text = (ROOT / "README.md").read_text()
    assert all(f"({name})" in text for name in NAMES[1:])


def outside_tables(page):
    """A page without its tables, whose captions name commands as they were when they ran."""
    return re.sub(r"<!-- (\w+): begin -->.*?<!-- \1: end -->", "", page.read_text(), flags=re.DOTALL)


def found(pattern):
    """What all pages say outside their tables: page and match."""
    return [(page.name, match) for page in tables.PAGES for match in re.findall(pattern, outside_tables(page))]


def test_the_readme_is_a_front_door():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_names_and_files_of_the_code_are_there():
    names = found(r"`((?:geovq|train|benchmarks)(?:\.\w+)+)`")
    assert len(names) > 20
    assert [(page, name) for page, name in names if not is_there(name)] == []
    files = found(r"`((?:geovq|train|benchmarks|tests)/[\w/.]*)`")
    assert [(page, name) for page, name in files if not (ROOT / name).exists()] == []


def is_there(name):
    """Whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            value: object = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            value = getattr(value, part, None)
        return value is not None
    return False


def test_commands_name_programs_and_options_that_there_are():
    programs = found(r"python -m ((?:train|benchmarks)(?:\.\w+)+)")
    assert len(programs) > 10
    assert [(page, name) for page, name in programs if importlib.util.find_spec(name) is None] == []
    flags = found(r"--(\w+)\.([\w-]+)")
    config = Config()
    assert [
        (page, flag)
        for page, flag in flags
        if not hasattr(getattr(config, flag[0].replace("-", "_"), None), flag[1].replace("-", "_"))
    ] == []
