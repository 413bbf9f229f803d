"""What a process of ours imports more cheaply than others behaves in the same way there."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

TYPES = """
import os, duckdb
began = len(os.listdir("/proc/self/task"))  # a database starts threads
kinds = ["DECIMAL", "DECIMAL(18,3)", "DECIMAL(10,2)", "BIGNUM", "INTEGER", "VARCHAR", "DATE"]
described = duckdb.connect().execute("select 1.5::decimal(18,3), 2.5::decimal(9,1), 'a', 1").description
found = {
    "is_number": {kind: duckdb.sqltypes.DuckDBPyType(kind) == duckdb.NUMBER for kind in kinds},
    "columns": [kind == duckdb.NUMBER for _, kind, *_ in described],
    "constructors": [repr(module.DuckDBPyType) for module in (duckdb.sqltypes, duckdb.value.constant)],
    "values": [str(duckdb.DecimalValue(5, 18, 3))],
}
"""
FUNCTIONS = """
import sys, inspect
import pyarrow as pa, pyarrow.compute as pc
began = "pydoc" in sys.modules  # the parser of docstrings imports it
functions = {name: one for name, one in vars(pc).items() if hasattr(one, "__arrow_compute_function__")}
found = {
    "signatures": {name: str(inspect.signature(one)) for name, one in functions.items()},
    "summaries": {name: one.__doc__.split(chr(10))[0] for name, one in functions.items()},
    "result": pc.sum(pa.array([1, None, 2]), skip_nulls=False).as_py(),
    "sorted": pc.sort_indices(pa.array([3, 1, 2]), sort_keys=[("", "descending")]).to_pylist(),
}
"""


def imported(program: str, *, is_lean: bool) -> tuple[Any, dict[str, Any]]:
    """Returns what the program found first, and what it found in the end, in a process of its own."""
    first = "from pipelines import lean_imports; lean_imports.block_unneeded()" if is_lean else ""
    last = "import json; print(json.dumps([began, found]))"
    process = subprocess.run(
        [sys.executable, "-c", "\n".join([first, program, last])], capture_output=True, text=True, check=True
    )
    began, found = json.loads(process.stdout)
    return began, found


@pytest.mark.duckdb2
@pytest.mark.skipif(sys.platform != "linux", reason="the threads of a process are counted in /proc")
def test_duckdb_is_imported_without_a_database_and_compares_types_as_before() -> None:
    threads, found = imported(TYPES, is_lean=True)

    assert threads == 1
    assert found == imported(TYPES, is_lean=False)[1]
    assert found["columns"] == [True, False, False, True]  # DECIMAL is DECIMAL(18,3)


@pytest.mark.versions
def test_arrows_functions_are_made_without_their_options_docstrings() -> None:
    has_parser, found = imported(FUNCTIONS, is_lean=True)

    assert not has_parser
    assert found == imported(FUNCTIONS, is_lean=False)[1]
    assert (found["result"], found["sorted"]) == (None, [0, 2, 1])
