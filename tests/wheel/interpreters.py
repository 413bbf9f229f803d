"""Finds the Pythons on this machine that the wheel supports. Nothing is downloaded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13", "3.14")


def find_python(version: str) -> str | None:
    """Returns an interpreter of this version, or None.

    A file on the path may be pyenv's shim, which fails unless pyenv has selected this version. Therefore, every
    candidate is executed.
    """
    installed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    named = [sys.executable, shutil.which(f"python{version}"), *sorted(installed.glob(f"{version}*/bin/python3"))]
    for path in filter(None, named):
        words = [str(path), "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2], sys.executable)"]
        done = subprocess.run(words, capture_output=True, text=True)
        found, _, executable = done.stdout.strip().partition(" ")
        if done.returncode == 0 and found == version:
            return executable
    return None
