"""Answers a query in a process of its own: python ask.py FILE QUERY. Prints the rows as JSON.

Linux counts the memory that a process has when it starts another into the peak of the other one, so the process that
measures must stay small.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def rows(file: Path, query: str) -> list[Any]:
    asked = [sys.executable, __file__, str(file), query]
    answer: list[Any] = json.loads(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)
    return answer


if __name__ == "__main__":
    import duckdb

    with duckdb.connect(sys.argv[1], read_only=True) as connection:
        print(json.dumps(connection.execute(sys.argv[2]).fetchall()))
