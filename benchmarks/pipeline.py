"""The scores and times of a whole run, as a results file.

    python -m benchmarks.pipeline --preset demo      a minute and a half on two CPU cores

Runs train.pipeline in the run folder, or takes the run that is complete there. Writes benchmarks/results/pipeline_PRESET.json:
the rows of the run's results.json, and the seconds of every stage.
"""

from benchmarks.common.harness import save
from benchmarks.common.rows import row
from geovq.storage.records import read_json
from train.pipeline import SECTIONS, STAGES, run
from train.run.command_line import NoExtra, parse, run_program


def main() -> None:
    """Runs the benchmark."""
    asked, _ = parse(__doc__, SECTIONS, NoExtra())
    run(asked)
    found = read_json(asked.folder / "results.json")
    rows = [*found["rows"], *(row({"case": stage}, "seconds", asked.seconds(stage), n=1) for stage in STAGES)]
    save(f"pipeline_{found['meta']['schedule']}", rows, found["meta"]["seeds"], found["meta"]["schedule"])


if __name__ == "__main__":
    run_program(main)
