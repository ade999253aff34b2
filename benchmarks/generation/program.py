"""What benchmarks.generation, longer and study do alike: they measure systems, print their tables and write the results."""

import pathlib
from collections.abc import Callable, Collection, Mapping, Sequence

from benchmarks.common.means import Table
from benchmarks.common.record import file_name, save
from benchmarks.common.rows import Row
from benchmarks.generation.rows import Measured, measure, seeds_in
from benchmarks.generation.runs import Generation
from benchmarks.generation.schedules import SCHEDULES, Extent, Schedule, schedule_label
from benchmarks.generation.systems import System
from benchmarks.tokenizer.systems import images_of
from geovq.validation import check_whole
from train.evaluation.report import text_table
from train.run.folder import Run


def measured_into(
    results: str,
    field: str,
    known: Mapping[str, System],
    wanted: Collection[str],
    asked: Run,
    extent: Extent,
    tables: Mapping[str, Callable[[Sequence[Row]], Table]],
    schedules: Mapping[str, Schedule] = SCHEDULES,
) -> tuple[pathlib.Path, Measured]:
    """Measures systems, which are trained first where they are not yet, prints their tables and writes the results file.

    Args:
        results: Name of the file of all systems and seeds; others end as `file_name` says.
        field: Of its rows, for the system's name.
        known: All systems, by name.
        wanted: Names of those to measure; all if there is none.
        asked: The run folder, and where the images are.
        extent: How long, and where to.
        tables: Of rows, by caption.
        schedules: By the names that extents have.

    Returns:
        The results file's path without an ending, and what was measured.

    Raises:
        InputError: A negative seed, or seeds that a system does not have that is wanted by name.
    """
    for seed in extent.seeds:
        check_whole("seeds", seed, 0)
    schedule = schedules[extent.schedule]
    seeds = tuple(dict.fromkeys(extent.seeds)) or schedule.seeds
    generation = Generation(asked.folder, images_of(asked.config.data), schedule)
    systems = {name: system for name, system in known.items() if name in wanted or not wanted}
    if wanted:
        generation.check_seeds(systems, seeds)
    if none := [name for name, system in systems.items() if not any(generation.has(system, seed) for seed in seeds)]:
        print(f"{results}: left out, since they have none of these seeds: {', '.join(none)}", flush=True)
    systems = {name: system for name, system in systems.items() if name not in none}
    classifier = generation.classifier()
    found = measure(generation, classifier, systems, seeds, field)
    for caption, table in tables.items():
        print(f"\n{caption}\n{text_table(*table(found.rows))}", flush=True)
    whole = len(systems) == len(known) and {*schedule.seeds} <= {*seeds}
    name = file_name(results, extent.schedule, whole)
    label = schedule_label(extent.schedule, schedule, known.values())
    seeds_of_rows = seeds_in(found.rows, asked.config.data.split_seed, generation)
    save(name, found.rows, seeds_of_rows, label, extent.output, classifier=classifier.fingerprint("classifier"))
    return extent.output / name, found
