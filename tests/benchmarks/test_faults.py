"""The benchmark of faults: a short schedule ends without a miss; what is a miss is counted as one."""

import errno
import os
import sys

import numpy as np
import pytest

from benchmarks.common.rows import select, value_of
from benchmarks.faults import commands, corruptions, disks, kills, processes, tables, wrong_lines
from benchmarks.faults.jobs import SMOKE, Place, difference, make_whole
from benchmarks.faults.measure import Workers, rows_of
from benchmarks.faults.programs import Finished, refusal
from benchmarks.faults.readers import READERS
from benchmarks.faults.schedules import SCHEDULES
from benchmarks.faults.states import Store
from benchmarks.faults.trials import OUTCOMES, Trial, count
from benchmarks.faults.watch import watching

pytest.importorskip("grain")


def test_a_short_schedule_ends_without_a_miss_and_is_kept(tmp_path):
    with Workers(0) as workers:
        rows = rows_of(SCHEDULES["smoke"], tmp_path, workers)
        assert rows_of(SCHEDULES["smoke"], tmp_path, workers) == rows
    assert select(rows, score="miss") == []
    heads, lines = tables.table(rows)
    assert len(heads) == len(lines[0])
    for line in lines:
        tried, *outcomes = (int(str(cell)) for cell in line[2:])
        assert tried == sum(outcomes) > 0
    assert lines[-1][-1] == 0
    assert tables.kinds(rows)[1]


def test_what_is_a_miss_is_counted_and_told():
    rows = count("kill", [Trial("vae", "SIGKILL", "same"), Trial("vae", "SIGTERM", "anything else", "x" * 9000)])
    assert [value_of(rows, kind="vae", score=score) for score in ("tried", *OUTCOMES)] == [2, 1, 0, 0, 1]
    assert [(row["what"], len(row["said"])) for row in select(rows, score="miss")] == [("SIGTERM", 2000)]


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("a warning\nerror: x: expected a, found b.\n", "error: x: expected a, found b."),
        ("error: a\nerror: b\n", None),
        ("error: a\nmore\n", None),
        ("Traceback (most recent call last)\nerror: a", None),
        ("", None),
    ],
)
def test_a_refusal_is_one_line_and_the_last(said, line):
    assert refusal(said) == line


def test_operations_are_seen_before_they_happen_and_fail_as_told(tmp_path):
    seen = []

    def note(event, path):
        seen.append((event, path.name, path.exists()))
        if path.name == "full":
            raise OSError(errno.ENOSPC, "full")

    (tmp_path / "folder").mkdir()
    with watching(tmp_path / "folder", note):
        (tmp_path / "folder/a").write_text("1")
        (tmp_path / "folder/a").rename(tmp_path / "folder/b")
        (tmp_path / "folder/b").read_text()
        (tmp_path / "outside").write_text("1")
        descriptor = os.open(tmp_path / "folder", os.O_RDONLY)
        os.remove("b", dir_fd=descriptor)
        os.close(descriptor)
        with pytest.raises(OSError, match="full"):
            (tmp_path / "folder/full").mkdir()
    (tmp_path / "folder/c").write_text("1")
    assert seen == [
        ("open", "a", False),
        ("os.rename", "a", True),
        ("os.remove", "b", True),
        ("os.mkdir", "full", False),
    ]


def test_a_folder_is_restored_and_its_last_file_torn(tmp_path):
    store, folder = Store(tmp_path / "store"), tmp_path / "folder"
    (folder / "empty").mkdir(parents=True)
    (folder / "log").write_text("first ")
    (folder / "old").write_text("of another name")
    before = store.take(folder)
    (folder / "log").write_text("first second")
    (folder / "new").write_text("abcd")
    (folder / "old").rename(folder / "renamed")
    now = store.take(folder)
    store.restore(now, tmp_path / "copy")
    assert store.take(tmp_path / "copy") == now
    torn = {name: store.content(str(state[name])) for name, state in store.torn(before, now)}
    assert torn == {"log": b"first sec", "new": b"ab"}


def test_contents_that_differ_are_named():
    assert difference({"a": "1", "b": "1", "d": "1"}, {"a": "1", "b": "2", "c": "3"}, ("d",)) == "b other, c missing"


def test_a_reader_that_does_not_notice_is_a_miss(monkeypatch):
    careless = READERS["record"]._replace(read=lambda path: path.read_bytes())
    monkeypatch.setitem(corruptions.READERS, "record", careless)
    found = corruptions.corrupt_files("record", range(6))
    assert {trial.outcome for trial in found} == {"anything else", "other content"}


@pytest.mark.parametrize("way", corruptions.DAMAGES)
def test_damages_change_bytes(way):
    data, rng = bytes(range(256)), np.random.default_rng(0)
    found = {corruptions.DAMAGES[way](rng, data) for _ in range(50)}
    assert len(found) > 40
    assert all(len(each) <= 256 for each in found)


def test_wrong_command_lines_are_many_and_different():
    lines = wrong_lines.all_lines()
    assert len(set(lines)) == len(lines) >= 400
    assert len({line.program for line in wrong_lines.chosen(300)}) == len({line.program for line in lines})


def test_a_command_line_that_is_accepted_is_a_miss():
    line = wrong_lines.Line("train.vae", ("--vae.epochs", "x"), "epochs")
    assert commands._judge(line, "", Finished(0, "", "")).outcome == "anything else"
    assert commands._judge(line, "", Finished(2, "", "error: vae.width: expected 1")).outcome == "anything else"
    assert commands._judge(line, "", Finished(2, "", "error: vae.epochs: expected 1")).outcome == "refused"


def test_only_content_that_was_sealed_again_may_be_other_content(monkeypatch):
    careless = READERS["record"]._replace(read=lambda path: path.read_bytes(), spoil=lambda rng, path: _append(path))
    monkeypatch.setitem(corruptions.READERS, "record", careless)
    assert {trial.outcome for trial in corruptions.corrupt_files("record", range(5, 30, 6))} == {"anything else"}


def _append(path) -> bool:
    path.write_bytes(path.read_bytes() + b" ")
    return False


@pytest.mark.parametrize("name", ["results", "options", "stage", "record", "index of tokens", "names of tokens"])
def test_most_spoiled_records_carry_the_right_checksum(name, tmp_path):
    found = []
    for seed in range(20):
        (tmp_path / str(seed)).mkdir()
        path = READERS[name].write(tmp_path / str(seed))
        found.append(READERS[name].spoil(np.random.default_rng(seed), path))
    assert 10 < sum(found) < 20


def test_a_process_that_hangs_is_killed_and_a_miss():
    process = processes.start([sys.executable, "-c", "import time; time.sleep(600)"])
    found = processes.finish(process, 0.1)
    assert found.returncode == processes.HUNG
    assert process.returncode < 0
    line = wrong_lines.Line("train.vae", (), "epochs")
    assert commands._judge(line, "", found).outcome == "anything else"
    assert not kills.was_killed(found)


def test_a_refusal_after_something_was_written_is_a_miss(tmp_path, monkeypatch):
    def writes(program, *words):
        (tmp_path / "scratch/new").write_text("")
        return Finished(2, "", "error: epochs")

    place = Place(tmp_path)
    commands.make_scratch(place)
    line = wrong_lines.Line("train.vae", (), "epochs")
    monkeypatch.setattr(commands, "attempt", lambda *_: Finished(2, "", "error: epochs"))
    assert commands.try_line(place, line).outcome == "refused"
    monkeypatch.setattr(commands, "attempt", writes)
    assert "changed: new" in commands.try_line(place, line).said


def test_every_wrong_command_line_has_to_be_named():
    assert all(line.named for line in wrong_lines.all_lines())
    assert {"faults", "geometry", "photographs", "tables"} <= set(wrong_lines.benchmark_programs())


@pytest.mark.slow
def test_a_kill_and_a_limit_end_without_a_miss(tmp_path):
    place, job = Place(tmp_path), SMOKE[0]
    make_whole(SMOKE, place)
    found = [*kills.kill_often(job, SMOKE, place, 1, 0), disks.with_limit(job, SMOKE, place, 1000)]
    assert [trial for trial in found if trial.outcome == "anything else"] == []
    assert len(found) == 2
