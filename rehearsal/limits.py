"""Collects what each stand-in says that it does not check: `python -m rehearsal.limits` prints `docs/rehearsal.md`."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

MARK = "Not checked:"
_HEAD = """# What a rehearsal does not check

Each stand-in lists in its docstring what it does not check. This page is made from those lists by
`python -m rehearsal.limits`.
"""


def page(folder: Path) -> str:
    """The page, from every docstring below a folder that has such a list."""
    return "\n".join([_HEAD, *(f"## `{name}`\n\n{text}\n" for name, text in _lists(folder))])


def _lists(folder: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                _, mark, text = (ast.get_docstring(node) or "").partition(f"{MARK}\n")
                if mark:
                    yield file.relative_to(folder.parent).as_posix(), text.split("\n\n")[0].rstrip()


if __name__ == "__main__":
    sys.stdout.write(page(Path(__file__).parent))
