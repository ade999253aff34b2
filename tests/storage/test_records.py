"""JSON files with checksums: changed or damaged ones are refused."""

import pytest

from geovq.storage.records import read_json, read_record, write_results
from geovq.validation import InputError


@pytest.mark.parametrize("content", ['{"epochs": 4}', '{"epochs": 4, "sha256": null}', "{}"])
def test_a_record_without_its_checksum_is_refused(content, tmp_path):
    path = tmp_path / "r.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"r\.json: expected content of its sha256, found that it was changed"):
        read_record(path)


@pytest.mark.parametrize("rows", [[], [{"value": 1.0}], [{"value": 1.0}, {"value": None, "name": "é"}]])
def test_results_have_a_row_to_a_line(tmp_path, rows):
    path = tmp_path / "x.json"
    write_results(path, {"seeds": {"split": 0}}, rows)
    assert read_record(path) == {"meta": {"seeds": {"split": 0}}, "rows": rows}
    assert sum(line.startswith('{"value"') for line in path.read_text().splitlines()) == len(rows)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_results(path, {}, [{"value": float("nan")}])


def test_damaged_json_is_refused(tmp_path):
    (tmp_path / "x.json").write_text('{"a": ')
    with pytest.raises(InputError, match="restore it from a copy, or remove it"):
        read_json(tmp_path / "x.json")
