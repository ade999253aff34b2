"""The table of benchmarks.vq_models: one line for each model and assigner."""

from collections.abc import Sequence

from benchmarks.common.harness import captioned, markdown
from benchmarks.common.rows import Row, interval_of, names_of, select


def tables(rows: Sequence[Row]) -> str:
    """One table for each model."""
    return captioned(
        {_caption(select(rows, case=case)): _table(select(rows, case=case)) for case in names_of(rows, "case")}
    )


def _caption(rows: Sequence[Row]) -> str:
    first = rows[0]
    several = f" of {first['codes_per_token']} quantizers" if first["codes_per_token"] > 1 else ""
    return f"{first['case']}: grid {first['grid']}, {first['codes']} codes{several}, {first['bits_per_pixel']:.2f} bits a pixel"


def _table(rows: Sequence[Row]) -> str:
    cells: list[list[object]] = []
    for assign in names_of(rows, "assign"):
        won = interval_of(rows, assign=assign, score="psnr_won")
        psnr = interval_of(rows, assign=assign, score="psnr")
        lpips = interval_of(rows, assign=assign, score="lpips")
        timed = select(rows, assign=assign, score="images_per_second")
        cells.append(
            [
                assign,
                psnr and psnr.value,
                str(won) if won and assign != "own" else None,
                lpips and lpips.value,
                _mean(timed, "value"),
                _mean(timed, "load"),
            ]
        )
    return markdown(["tokens", "PSNR dB", "dB more than own tokens", "LPIPS", "images a second", "load"], cells)


def _mean(rows: Sequence[Row], field: str) -> float | None:
    return sum(row[field] for row in rows) / len(rows) if rows else None
