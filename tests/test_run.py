"""Run folders: what is skipped, what is refused, and what the message says."""

import dataclasses
import pathlib

import pytest

from geovq.checks import InputError
from geovq.store import read_json
from train.config import Config, DataOptions, GPTOptions, VAEOptions
from train.run import Run, stored_config

DEFAULT = Config()


def begin(folder: pathlib.Path, config: Config = DEFAULT, data: str = "sha of the images"):
    return Run(folder, config).begin("vae", ("data", "vae"), {"data": data})


def finish(folder: pathlib.Path, stage) -> None:
    (folder / "vae" / "out").write_text("parameters")
    stage.finish({"vae/out": "sha"})


def test_config_is_stored_whole_and_read_back(tmp_path):
    config = Config(data=DataOptions(dataset="digits"), vae=VAEOptions(grid=(2, 3), epochs=5))
    begin(tmp_path, config)
    assert stored_config(tmp_path) == config
    assert read_json(tmp_path / "config.json")["gpt"]["layers"] == GPTOptions().layers
    assert stored_config(tmp_path / "other") is None


def test_complete_stage_is_skipped(tmp_path, capsys):
    finish(tmp_path, begin(tmp_path))
    assert begin(tmp_path) is None
    assert "vae: complete, skipped" in capsys.readouterr().out


def test_interrupted_stage_is_opened_again(tmp_path):
    begin(tmp_path)
    assert begin(tmp_path) is not None


def test_stage_whose_output_was_removed_is_made_again(tmp_path):
    finish(tmp_path, begin(tmp_path))
    (tmp_path / "vae" / "out").unlink()
    assert begin(tmp_path) is not None


def test_other_options_are_refused_by_name(tmp_path):
    begin(tmp_path)
    other = Config(vae=VAEOptions(epochs=7, width=5))
    with pytest.raises(InputError, match=r"vae\.width \(24 there, 5 asked\), vae\.epochs \(30 there, 7 asked\)"):
        begin(tmp_path, other)
    assert stored_config(tmp_path) == Config()


def test_options_of_a_stage_that_has_not_begun_may_change(tmp_path):
    finish(tmp_path, begin(tmp_path))
    config = Config(gpt=GPTOptions(epochs=3))
    assert Run(tmp_path, config).begin("gpt", ("data", "vae", "gpt"), {}) is not None
    assert stored_config(tmp_path) == config


def test_images_may_move(tmp_path):
    begin(tmp_path, Config(data=DataOptions(data_dir="here")))
    assert begin(tmp_path, Config(data=DataOptions(data_dir="there"))) is not None
    with pytest.raises(InputError, match=r"data\.dataset"):
        begin(tmp_path, Config(data=DataOptions(dataset="digits")))


def test_other_inputs_are_refused(tmp_path):
    finish(tmp_path, begin(tmp_path))
    with pytest.raises(InputError, match="from the present data, found one made from another; move"):
        begin(tmp_path, data="other images")
    assert (tmp_path / "vae" / "out").exists()


def test_missing_stage_is_named(tmp_path):
    with pytest.raises(InputError, match=r"run `python -m train.vae --run .*` first"):
        Run(tmp_path, Config()).fingerprint("vae")


def test_seconds_add_up_over_interruptions(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("train.run.time.monotonic", lambda: clock[0])
    stage = begin(tmp_path)
    clock[0] = 5.0
    stage.pause()
    again = begin(tmp_path)
    clock[0] = 8.0
    finish(tmp_path, again)
    assert Run(tmp_path, Config()).seconds("vae") == 8.0


def test_damaged_config_is_refused(tmp_path):
    begin(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(path.read_text()[:50])
    with pytest.raises(InputError, match="expected a JSON file"):
        stored_config(tmp_path)


def test_config_of_another_version_is_refused(tmp_path):
    begin(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"epochs"', '"rounds"'))
    with pytest.raises(InputError, match="options of this version"):
        stored_config(tmp_path)


def test_every_option_is_documented():
    """The text below a field is its help."""
    import ast

    import train.config

    tree = ast.parse(pathlib.Path(train.config.__file__).read_text())
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name != "Config":
            for field, text in zip(node.body[1::2], node.body[2::2], strict=True):
                assert isinstance(field, ast.AnnAssign), node.name
                assert isinstance(text, ast.Expr), node.name
    assert dataclasses.is_dataclass(Config)
