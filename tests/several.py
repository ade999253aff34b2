"""Several processes of one program on this machine, as a cluster would start them."""

import os
import socket
import subprocess
import sys

from tests.programs import Finished

_SECONDS = 300
"""Processes that take longer than this are a failure."""


def environments(count: int, devices: int = 2) -> list[dict[str, str]]:
    """What each of so many processes finds in its environment, with so many devices of its own."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    shared = os.environ | {
        "JAX_COORDINATOR_ADDRESS": f"localhost:{port}",
        "JAX_NUM_PROCESSES": str(count),
        "XLA_FLAGS": flags,
    }
    return [shared | {"JAX_PROCESS_ID": str(index)} for index in range(count)]


def start(environment: dict[str, str], module: str, *arguments: str) -> subprocess.Popen[str]:
    """Starts `python -m MODULE ARGUMENTS` as one of them."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def processes(count: int, module: str, *arguments: str) -> list[Finished]:
    """How `python -m MODULE ARGUMENTS` ended in each of so many processes with two devices each."""
    started = [start(environment, module, *arguments) for environment in environments(count)]
    try:
        spoken = [each.communicate(timeout=_SECONDS) for each in started]
    finally:
        for each in started:
            each.kill()
    return [
        Finished(each.returncode, _own_lines(printed), said)
        for each, (printed, said) in zip(started, spoken, strict=True)
    ]


def _own_lines(printed: str) -> str:
    """Without what the library says that connects CPUs."""
    return "".join(line for line in printed.splitlines(keepends=True) if not line.startswith("[Gloo]"))
