"""How a page came about."""

import datetime
import importlib.metadata
import os
import platform

_PACKAGES = ("geovq", "jax", "jaxlib", "numpy", "pillow", "matplotlib")


def origin_facts() -> list[tuple[str, str]]:
    """Versions, machine and date, by name."""
    import jax

    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    return [
        ("Versions", f"python {platform.python_version()}, {versions}"),
        (
            "Machine",
            f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores; {jax.devices()[0].device_kind}",
        ),
        ("Date", datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")),
    ]
