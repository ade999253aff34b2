"""The map of the code: every package and module, and the first sentence of its docstring."""

import ast
import pathlib

_HERE = pathlib.Path(__file__).parents[2]

FOLDERS = ("geovq", "train", "benchmarks")


def tree() -> str:
    """A Markdown block with a line for every package and every module, in the order of their names."""
    lines = []
    for folder in FOLDERS:
        for path in sorted(_HERE.joinpath(folder).rglob("*.py"), key=_place):
            package = path.name == "__init__.py"
            where = path.parent if package else path
            depth = len(where.relative_to(_HERE).parts) - 1
            name = f"{'    ' * depth}{where.name}{'/' if package else ''}"
            lines.append(f"{name:<34}{_sentence(path)}".rstrip())
    return "\n".join(["```", *lines, "```"])


def _place(path: pathlib.Path) -> tuple[tuple[bool, str], ...]:
    """A package's docstring stands first, then its modules, then the packages in it."""
    *folders, name = path.parts
    return (*((True, folder) for folder in folders), (False, "" if name == "__init__.py" else name))


def _sentence(path: pathlib.Path) -> str:
    """The first line of a module's docstring."""
    found = ast.get_docstring(ast.parse(path.read_text())) or ""
    return found.split("\n")[0]
