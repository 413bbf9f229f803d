"""Tests that options are read without pydantic, and that typer's own way would return the same values.

If typer no longer has `build_runtime_param`, remove pipelines.typer_workarounds.py.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
from typer import core, models

from pipelines.typer_workarounds import plain_value

TypeDescriptor = pytest.importorskip(
    "typer._coercion", reason="typer does not use pydantic in this version, so there is nothing to work around"
).TypeDescriptor
ROOT = Path(__file__).parents[2]
Word = Literal["text", "json"]


def converted(wanted: Any, value: Any, **options: Any) -> tuple[Any, Any]:
    """Returns the value as converted without and with pydantic."""
    descriptor = TypeDescriptor(wanted, models.OptionInfo(**options), None)
    param = core.TyperOption(param_decls=["--it"], type_descriptor=descriptor)
    ours = plain_value(descriptor, value)
    build: Any = core.build_runtime_param  # type: ignore[attr-defined]
    return ours, getattr(build, "_build", build)(descriptor).coerce(value, param=param, ctx=None)


@pytest.mark.parametrize(
    ("wanted", "value", "options"),
    [
        (str, "a", {}),
        (str, "", {}),
        (int, "900", {"min": 1}),
        (int, "007", {}),
        (float, "2", {"min": 0}),
        (float, 2.5, {}),
        (float, 0, {"min": 0}),
        (Word, "json", {}),
        (Path, ".", {"exists": True, "file_okay": False}),
    ],
)
def test_plain_values_are_those_that_typer_returns(wanted: Any, value: Any, options: dict[str, Any]) -> None:
    ours, theirs = converted(wanted, value, **options)

    assert (type(ours), ours) == (type(theirs), theirs)


@pytest.mark.parametrize(
    ("wanted", "value", "options"),
    [
        (int, "0", {"min": 1}),
        (int, "-1", {}),
        (int, "x", {}),
        (int, "٣", {}),
        (int, "9" * 20, {}),
        (int, "9", {"max": 8}),
        (int, "9", {"max": 8, "clamp": True}),
        (Word, "xml", {}),
        (str, "a", {"parser": str.upper}),
        (Path, "no such folder", {"exists": True, "file_okay": False}),
        (Path, ".", {"exists": True, "file_okay": False, "resolve_path": True}),
        (Path, ".", {}),
    ],
)
def test_every_other_value_goes_the_usual_way(wanted: Any, value: Any, options: dict[str, Any]) -> None:
    assert plain_value(TypeDescriptor(wanted, models.OptionInfo(**options), None), value) is None


@pytest.mark.parametrize("words", [["run", "--help"], ["run", "--timeout", "9"], ["show", "-h"]])
def test_no_command_needs_pydantic_to_read_its_options(words: list[str]) -> None:
    """Importing it takes 0.1 s of CPU."""
    script = f"""
import sys
sys.argv = ["pickups", "--project-dir", ".", *{words}]
from pipelines.cli.main import main
try:
    main()
except SystemExit:
    pass
print("HEAVY", sorted({{"pydantic"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout.endswith("HEAVY []\n"), done.stdout[-200:] + done.stderr
