"""Large arrays in huge pages, which the C library can only be asked for before a program starts."""

import os
import pathlib
import sys

_TUNABLES = "GLIBC_TUNABLES"
_WANTED = "glibc.malloc.hugetlb=1"
_SYSTEM = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")


def use_huge_pages() -> None:
    """Starts this program over with huge pages, where that is possible and has not been settled by GLIBC_TUNABLES.

    Call it before anything is imported that takes time. A training step of the Transformer on a CPU then takes about three
    quarters of the time (`benchmarks/results/gpt.json`): its matrices are larger than what ordinary pages let a CPU find quickly.
    GLIBC_TUNABLES= (empty) leaves memory as it is.
    """
    if _TUNABLES in os.environ or not (possible() and _is_the_program()):
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {_TUNABLES: _WANTED})


def possible() -> bool:
    """Whether this is Linux with huge pages on request, and a C library that can ask for them (glibc 2.35 or later)."""
    try:
        name, version = os.confstr("CS_GNU_LIBC_VERSION").split()  # type: ignore[union-attr]
        return (
            name == "glibc"
            and tuple(map(int, version.split(".")[:2])) >= (2, 35)
            and "[madvise]" in _SYSTEM.read_text()
        )
    except (AttributeError, ValueError, OSError):
        return False


def _is_the_program() -> bool:
    """Whether the process was started as `python -m MODULE` and runs that module, and is no notebook or caller of it."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    named = sys.orig_argv[sys.orig_argv.index("-m") + 1 :][:1] if "-m" in sys.orig_argv else []
    return spec is not None and named == [spec.name.removesuffix(".__main__")]
