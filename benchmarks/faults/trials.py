"""What became of every fault that was tried, as rows of results."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from benchmarks.common.rows import Row, row

Outcome = Literal["same", "refused", "other content", "anything else"]
"""same: in the end the same bits as without the fault. refused: with one clear line. other content: a file without a checksum of
its own was read as the valid file that it now is. anything else must not be."""

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

_LONGEST = 2000
"""Characters of a message that are kept."""


class Trial(NamedTuple):
    """One fault."""

    kind: str
    """What was hit: a stage, a kind of file, a program."""
    what: str
    """The fault, so that it can be tried again."""
    outcome: Outcome
    said: str = ""
    """What the program said, or how its output differs."""


def count(case: str, trials: Sequence[Trial], **fields: object) -> list[Row]:
    """Makes rows of a class of fault: for each kind how many were tried and what became of them, and a row for each miss.

    Args:
        case: The class.
        trials: Each fault.
        **fields: Others that identify the rows.
    """
    rows = []
    for kind in dict.fromkeys(trial.kind for trial in trials):
        found = [trial for trial in trials if trial.kind == kind]
        identity = {"case": case, "kind": kind, **fields}
        rows.append(row(identity, "tried", len(found)))
        rows += [row(identity, name, sum(each.outcome == name for each in found)) for name in OUTCOMES]
        missed = [each for each in found if each.outcome == "anything else"]
        rows += [row({**identity, "what": each.what, "said": each.said[-_LONGEST:]}, "miss", 1) for each in missed]
    return rows
