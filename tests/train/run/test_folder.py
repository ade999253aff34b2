"""Run folders: what is skipped, what is refused, and what the message says."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from geovq.storage.records import read_json, read_record, write_record
from geovq.validation import InputError
from train.config.options import Config, DataOptions, GPTOptions, VAEOptions
from train.run.blocks import in_blocks
from train.run.folder import Run
from train.run.options_file import lost_config, save_config, stored_config

DEFAULT = Config()


def begin(folder: pathlib.Path, config: Config = DEFAULT, data: str = "sha of the images"):
    return Run(folder, config).begin("vae", ("data", "vae"), {"data": data})


def finish(folder: pathlib.Path, stage) -> None:
    (folder / "vae" / "out").write_text("parameters")
    stage.finish("vae/out")


def work(folder: pathlib.Path, config: Config = DEFAULT) -> None:
    """A stage that was interrupted with something on the disk."""
    begin(folder, config)
    (folder / "vae" / "half").write_text("work")


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
    work(tmp_path)
    assert begin(tmp_path) is not None


def test_stage_whose_output_was_removed_is_made_again(tmp_path):
    finish(tmp_path, begin(tmp_path))
    (tmp_path / "vae" / "out").unlink()
    assert begin(tmp_path) is not None


def test_options_may_be_corrected_before_anything_was_made(tmp_path):
    begin(tmp_path)
    config = Config(vae=VAEOptions(epochs=7))
    begin(tmp_path, config)
    work(tmp_path, config)
    with pytest.raises(InputError, match=r"vae\.epochs \(7 there, 30 asked\)"):
        begin(tmp_path)


def test_options_stay_with_the_stage_when_config_json_is_gone(tmp_path):
    work(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(InputError, match=r"vae\.seed \(0 there, 1 asked\)"):
        begin(tmp_path, Config(vae=VAEOptions(seed=1)))


def test_an_option_younger_than_the_record_had_its_default(tmp_path):
    work(tmp_path)
    path = tmp_path / "vae" / "stage.json"
    record = read_record(path)
    del record["options"]["vae"]["bits"]
    write_record(path, record)
    begin(tmp_path)
    with pytest.raises(InputError, match=r"vae\.bits \(9\.0 there, 5 asked\)"):
        begin(tmp_path, Config(vae=VAEOptions(bits=5)))


def test_other_options_are_refused_by_name(tmp_path):
    work(tmp_path)
    other = Config(vae=VAEOptions(epochs=7, width=5))
    with pytest.raises(InputError, match=r"vae\.epochs \(30 there, 7 asked\), vae\.width \(24 there, 5 asked\)"):
        begin(tmp_path, other)
    assert stored_config(tmp_path) == Config()


def test_the_way_out_of_other_options_works(tmp_path):
    work(tmp_path)
    other = Config(vae=VAEOptions(epochs=7))
    with pytest.raises(InputError, match=rf"move {tmp_path / 'vae'} away to make it anew"):
        begin(tmp_path, other)
    (tmp_path / "vae").rename(tmp_path / "vae-before")
    assert begin(tmp_path, other) is not None


def test_files_that_say_not_what_they_are_made_from_are_refused(tmp_path):
    work(tmp_path)
    path = tmp_path / "vae" / "stage.json"
    path.write_text("{")
    with pytest.raises(
        InputError, match=rf"found a damaged file; restore it from a copy, or move {tmp_path / 'vae'} away"
    ):
        begin(tmp_path)
    path.unlink()
    with pytest.raises(InputError, match=rf"expected a stage\.json .*, found none; move {tmp_path / 'vae'} away"):
        begin(tmp_path, Config(vae=VAEOptions(seed=7)))
    assert (tmp_path / "vae" / "half").read_text() == "work"


def test_a_damaged_block_is_computed_again(tmp_path, capsys):
    calls, done = [], []

    def compute(rows: slice) -> np.ndarray:
        calls.append(rows.start)
        done.append(len(np.arange(1500)[rows]))
        return np.arange(1500)[rows]

    wanted = np.arange(1500)
    for damage in (False, True):
        if damage:
            (tmp_path / "001000.npz").write_bytes(b"half")
        found = in_blocks(tmp_path, compute, 1500, done.append, lambda: None)
        np.testing.assert_array_equal(found, wanted)
    assert calls == [0, 1000, 1000]
    assert sum(done) == 3000
    assert "001000.npz: damaged, computed again" in capsys.readouterr().out


def test_options_of_a_stage_that_has_not_begun_may_change(tmp_path):
    finish(tmp_path, begin(tmp_path))
    config = Config(gpt=GPTOptions(epochs=3))
    assert Run(tmp_path, config).begin("gpt", ("data", "vae", "gpt"), {}) is not None
    assert stored_config(tmp_path) == config


def test_images_may_move(tmp_path):
    work(tmp_path, Config(data=DataOptions(data_dir="here")))
    assert begin(tmp_path, Config(data=DataOptions(data_dir="there"))) is not None
    with pytest.raises(InputError, match=r"data\.dataset"):
        begin(tmp_path, Config(data=DataOptions(dataset="digits")))


def test_damaged_output_is_set_aside_and_made_again(tmp_path, capsys):
    finish(tmp_path, begin(tmp_path))
    (tmp_path / "vae" / "out").write_text("other parameters")
    stage = begin(tmp_path)
    assert "vae: missing or damaged, made again: vae/out" in capsys.readouterr().out
    assert (tmp_path / "vae" / "out.damaged").read_text() == "other parameters"
    with pytest.raises(InputError, match="expected a complete stage"):
        Run(tmp_path, DEFAULT).fingerprint("vae")
    finish(tmp_path, stage)
    assert begin(tmp_path) is None


def test_file_of_another_run_is_not_read(tmp_path):
    from geovq.storage.arrays import save_arrays

    stage = begin(tmp_path)
    save_arrays(tmp_path / "vae/a.npz", {"x": np.zeros(2)}, {})
    stage.finish("vae/a.npz")
    assert Run(tmp_path, DEFAULT).read("vae", "vae/a.npz")[0]["x"].shape == (2,)
    save_arrays(tmp_path / "vae/a.npz", {"x": np.ones(2)}, {})
    with pytest.raises(InputError, match="expected the file that the stage wrote, found another"):
        Run(tmp_path, DEFAULT).read("vae", "vae/a.npz")


def test_two_processes_do_not_work_in_one_folder(tmp_path):
    first = Run(tmp_path, DEFAULT)
    first.begin("vae", ("data", "vae"), {})
    code = (
        "import pathlib, sys\nfrom train.config.options import Config\nfrom train.run.folder import Run\n"
        "Run(pathlib.Path(sys.argv[1]), Config()).begin('vae', ('data', 'vae'), {})"
    )
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert "expected to be alone, found another process at work" in found.stderr


def test_remains_of_killed_writes_are_removed(tmp_path):
    work(tmp_path)
    (tmp_path / "vae" / ".x.npz.1.tmp").write_text("half")
    begin(tmp_path)
    assert not list(tmp_path.glob("vae/.*.tmp"))


def test_other_inputs_are_refused(tmp_path):
    finish(tmp_path, begin(tmp_path))
    with pytest.raises(InputError, match="from the present data, found one made from another; move"):
        begin(tmp_path, data="other images")
    assert (tmp_path / "vae" / "out").exists()


def test_missing_stage_is_named(tmp_path):
    with pytest.raises(InputError, match="expected a run folder, found none"):
        Run(tmp_path, DEFAULT).fingerprint("vae")
    begin(tmp_path)
    with pytest.raises(InputError, match=r"run `python -m train.vae --run .*` first"):
        Run(tmp_path, Config()).fingerprint("vae")


def test_seconds_add_up_over_interruptions(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("train.run.stage_record.time.monotonic", lambda: clock[0])
    stage = begin(tmp_path)
    clock[0] = 5.0
    stage.pause()
    (tmp_path / "vae" / "half").write_text("work")
    again = begin(tmp_path)
    clock[0] = 8.0
    finish(tmp_path, again)
    assert Run(tmp_path, Config()).seconds("vae") == 8.0


def test_damaged_record_is_refused(tmp_path):
    work(tmp_path)
    path = tmp_path / "vae/stage.json"
    for content in (path.read_text()[:40], "[]"):
        path.write_text(content)
        with pytest.raises(InputError, match=r"stage\.json: expected"):
            begin(tmp_path)


@pytest.mark.parametrize("spoil", [lambda text: None, lambda text: text[:50], lambda text: text.replace("30", "70")])
def test_a_lost_or_damaged_config_is_made_again_from_the_stages(spoil, tmp_path):
    config = Config(data=DataOptions(dataset="digits"), vae=VAEOptions(epochs=30, width=5))
    work(tmp_path, config)
    path = tmp_path / "config.json"
    text = spoil(path.read_text())
    path.unlink() if text is None else path.write_text(text)
    assert lost_config(tmp_path)
    assert stored_config(tmp_path) == config
    assert begin(tmp_path, config) is not None
    assert lost_config(tmp_path) is None
    assert stored_config(tmp_path) == config


def test_no_flipped_bit_of_a_record_changes_an_option(tmp_path):
    work(tmp_path)
    path = tmp_path / "vae" / "stage.json"
    whole = path.read_bytes()
    for position in range(0, len(whole), 7):
        data = bytearray(whole)
        data[position] ^= 1 << position % 8
        path.write_bytes(data)
        try:
            Run(tmp_path, Config(vae=VAEOptions(epochs=31))).check_options(("vae",))
        except InputError as error:
            assert "vae.epochs (30 there" in str(error) or "stage.json: expected the record" in str(error)  # noqa: PT017
        else:
            raise AssertionError(position)


def test_a_kill_while_the_first_record_is_written_blocks_nothing(tmp_path):
    for folder in (tmp_path, tmp_path / "vae"):
        folder.mkdir(exist_ok=True)
        (folder / ".stage.json.1.tmp").write_text("half")
    assert begin(tmp_path) is not None
    assert not list(tmp_path.rglob(".*.tmp"))


def test_a_complete_stage_needs_no_lock_and_no_disk(tmp_path, monkeypatch, capsys):
    finish(tmp_path, begin(tmp_path))
    (tmp_path / ".config.json.1.tmp").write_text("half")

    def read_only(*_):
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr("train.run.folder._LOCKED", {})
        patch.setattr("train.run.folder.os.open", read_only)
        assert begin(tmp_path) is None
        assert "vae: complete, skipped" in capsys.readouterr().out
    begin(tmp_path)
    assert not list(tmp_path.rglob(".*.tmp"))


def test_damaged_config_is_refused(tmp_path):
    path = tmp_path / "config.json"
    save_config(tmp_path, DEFAULT)
    path.write_text(path.read_text()[:50])
    with pytest.raises(InputError, match="expected the options of the run, found a damaged file"):
        stored_config(tmp_path)


def test_config_of_another_version_is_refused(tmp_path):
    begin(tmp_path)
    path = tmp_path / "config.json"
    values = read_record(path)
    values["vae"]["rounds"] = values["vae"].pop("epochs")
    write_record(path, values)
    with pytest.raises(InputError, match="options of this version"):
        stored_config(tmp_path)
