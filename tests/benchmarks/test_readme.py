"""The README and the pages in docs: their examples run, their tables are those of the results, their links lead somewhere."""

import ast
import pathlib
import re

import pytest

from benchmarks import tables
from geovq.storage import write_json
from geovq.validation import InputError

ROOT = pathlib.Path(__file__).parents[2]
NAMES = [str(page.relative_to(ROOT)) for page in tables.PAGES]


@pytest.mark.parametrize("name", ["README.md", "docs/medoids.md", "docs/metrics.md", "docs/transformer.md"])
def test_python_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), flags=re.DOTALL)
    assert blocks
    names: dict = {}
    for block in blocks:
        exec(compile(block, name, "exec"), names)
    if name == "README.md":
        assert names["tokens"].shape == (200, 4, 4)
        assert (tmp_path / "tokenizer.npz").exists()


@pytest.mark.parametrize("name", NAMES)
def test_tables_are_those_of_the_results_files(name):
    text = (ROOT / name).read_text()
    assert "begin -->" in text
    assert tables.rendered(text) == text


def test_every_table_stands_on_one_page_and_every_results_file_has_one():
    markers = [name for page in tables.PAGES for name in re.findall(r"<!-- (\w+): begin -->", page.read_text())]
    assert sorted(markers) == sorted(tables.TABLES)
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
    write_json(tmp_path / "resume.json", {"meta": meta, "rows": [{"output": "a", "value": 1.0}]})
    monkeypatch.setattr(tables, "FOLDER", tmp_path)
    assert tables.table("resume").endswith(said)


def test_a_table_says_how_good_the_classifier_is(tmp_path, monkeypatch):
    meta = {"command": "x", "machine": "a machine", "date": "2026-01-01", "schedule": "short", "seeds": [0]}
    rows = [{"output": "a", "value": 1.0, "classifier_accuracy": 0.93}]
    write_json(tmp_path / "resume.json", {"meta": meta, "rows": rows})
    monkeypatch.setattr(tables, "FOLDER", tmp_path)
    assert tables.table("resume").endswith("networks. The classifier is right on 93.00% of the test images.")


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
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), (page, path)
        assert not anchor or anchor in anchors(target), (page, path, anchor)


def test_every_page_is_named_in_the_readme():
    text = (ROOT / "README.md").read_text()
    assert all(f"({name})" in text for name in NAMES[1:])


def mapped():
    """Modules in the order of the map, such as geovq.validation."""
    text = (ROOT / "README.md").read_text().split("## Map")[1].split("```")[1]
    names: list[str] = []
    for line in text.splitlines():
        for number, word in enumerate(line.split()):
            if not word.endswith(".py"):
                break
            folder = word.split("/")[0] if number == 0 else names[-1].split(".")[0]
            names.append(f"{folder}.{word.split('/')[-1].removesuffix('.py')}")
    return names


def modules():
    return {
        f"{folder}.{path.stem}": path
        for folder in ("geovq", "train", "benchmarks")
        for path in (ROOT / folder).glob("*.py")
        if path.name != "__init__.py"
    }


def test_the_map_names_every_module_once():
    assert sorted(mapped()) == sorted(modules())


def test_a_module_imports_only_what_stands_above_it():
    order = {name: place for place, name in enumerate(mapped())}
    wrong = []
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                wrong += [(name, other) for other in imported if order.get(other, -1) >= order[name]]
    assert wrong == []
