"""The help of every program: its commands, at once."""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]

ASK_ALL = """
import contextlib, io, json, runpy, sys
found = {}
for name in sys.argv[1:]:
    sys.argv, printed = ['x', '--help'], io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        runpy.run_module(name, run_name='__main__', alter_sys=True)
    found[name] = printed.getvalue(), sorted({'jax', 'numba', 'scipy', 'sklearn'} & set(sys.modules))
print(json.dumps(found))
"""


def programs() -> list[str]:
    """Every module that can be run with python -m."""
    found = []
    for folder in ("train", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if '\nif __name__ == "__main__"' in path.read_text():
                found.append(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__"))
    return found


def test_help_shows_the_commands_and_loads_no_jax():
    names = programs()
    stages = {f"train.{path.stem}" for path in (ROOT / "train").glob("*.py")} - {"train.__init__"}
    assert len(stages) == 10
    assert {name for name in names if name.startswith("train.")} == stages
    asked = subprocess.run([sys.executable, "-c", ASK_ALL, *names], capture_output=True, text=True, timeout=300)
    assert asked.returncode == 0, asked.stderr
    found = json.loads(asked.stdout)
    assert [*found] == names
    for name, (printed, loaded) in found.items():
        assert f"python -m {name}" in printed, name
        assert "__main__" not in printed, name
        assert not loaded, name


def test_a_program_without_its_extra_says_what_to_install():
    code = "import runpy, sys; sys.modules['tyro'] = None; runpy.run_module('train.vae', run_name='__main__')"
    found = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, timeout=60)
    assert found.returncode == 1
    assert found.stderr == "error: this program needs more than the library alone: pip install 'geovq[train]'\n"
