"""The lines of docs/pipeline.md that load results and logs with pandas."""

import json
import pathlib
import re

import pytest

PAGE = pathlib.Path(__file__).parents[2] / "docs/pipeline.md"


def test_results_and_logs_load_in_one_line_each(whole):
    pytest.importorskip("pandas", reason="pandas is not installed; pip install 'geovq[dev]'")
    text = PAGE.read_text()
    (block,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    (pivot,) = re.findall(r"`(scores\.query[^`]*)`", text)
    names: dict = {}
    exec(block.replace("runs/demo", str(whole)), names)
    rows = json.loads((whole / "results.json").read_text())["rows"]
    assert names["scores"]["value"].tolist() == [row["value"] for row in rows]
    assert {"case", "codebook", "assign", "score", "low", "high", "n"} <= set(names["scores"])
    lines = (whole / "gpt/metrics.jsonl").read_text().splitlines()
    assert names["epochs"]["epoch"].tolist() == [json.loads(line)["epoch"] for line in lines]
    table = eval(pivot, names)
    psnr = next(
        row for row in rows if (row.get("codebook"), row.get("assign"), row["score"]) == ("kmeans", "local", "psnr")
    )
    assert table.loc[("kmeans", "local"), "psnr"] == psnr["value"]
