"""The README and the pages in docs: their examples run, their tables are those of the results, their links lead somewhere."""

import pathlib
import re

import pytest

from benchmarks import tables
from geovq.checks import InputError

ROOT = pathlib.Path(__file__).parents[1]
NAMES = [str(page.relative_to(ROOT)) for page in tables.PAGES]


@pytest.mark.parametrize("name", ["README.md", "docs/medoids.md", "docs/metrics.md"])
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


def test_an_unknown_marker_is_refused():
    with pytest.raises(InputError, match="found 'nothing'"):
        tables.rendered("<!-- nothing: begin -->\n<!-- nothing: end -->")


def test_links_lead_to_files():
    links = [
        (page, link.split("#")[0]) for page in tables.PAGES for link in re.findall(r"\]\(([^)]+)\)", page.read_text())
    ]
    assert len(links) > 5
    assert [link for page, link in links if not (page.parent / link).exists()] == []


def test_every_page_is_named_in_the_readme():
    text = (ROOT / "README.md").read_text()
    assert all(f"({name})" in text for name in NAMES[1:])


def test_the_map_names_every_module():
    text = (ROOT / "README.md").read_text()
    for folder in ("geovq", "train", "benchmarks"):
        for path in (ROOT / folder).glob("*.py"):
            assert path.name == "__init__.py" or f"{path.name} " in text or f"`{path.name}`" in text, path
