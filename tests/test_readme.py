"""The README's examples run as they stand."""

import pathlib
import re

from benchmarks import tables

README = pathlib.Path(__file__).parents[1] / "README.md"


def test_python_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert blocks
    names: dict = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert names["tokens"].shape == (200, 4, 4)
    assert (tmp_path / "tokenizer.npz").exists()


def test_tables_are_those_of_the_results_files():
    text = README.read_text()
    assert tables.rendered(text) == text
    assert "pipeline_quick: begin" in text


def test_the_map_names_every_module():
    text = README.read_text()
    for folder in ("geovq", "train", "benchmarks"):
        for path in (README.parent / folder).glob("*.py"):
            assert path.name == "__init__.py" or f"{path.name} " in text or f"`{path.name}`" in text, path
