"""Runs the command line of the container image as another user on a read-only root, in namespaces of its own.

No daemon is needed: `unshare` creates the namespaces, and `setpriv` drops the rights as a container runtime does.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sources.sendcloud.sandbox import Sandbox, World, faults
from tests.support.installation import REPOSITORY, environment, rows_of

USER = 10001
KEYS = "SOURCES__SENDCLOUD__CREDENTIALS__"
PYTHONS = (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}")
RIGHTS = f"setpriv --reuid {USER} --regid {USER} --clear-groups --no-new-privs --bounding-set=-all"


def _python() -> str | None:
    """Returns an interpreter that the other user can start. One in /root, for example, is closed to other users."""
    for path in PYTHONS if shutil.which("setpriv") and os.geteuid() == 0 else ():
        words = [*RIGHTS.split(), path, "-c", ""]
        if Path(path).exists() and subprocess.run(words, capture_output=True).returncode == 0:
            return path
    return None


PYTHON = _python()
HAS_NAMESPACES = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True).returncode == 0

pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(not HAS_NAMESPACES, reason="this user may not create namespaces (unshare --mount --pid)"),
    pytest.mark.skipif(not PYTHON, reason="root, setpriv and a Python that other users can start are needed"),
]


class Box:
    """A container without a runtime: a data folder and a temporary one to write to, settings and keys to read."""

    def __init__(self, folder: Path, api: Sandbox) -> None:
        self.folder = folder
        for name in ("data", "project/.dlt", "secrets"):
            (folder / name).mkdir(parents=True)
        (folder / "project" / "data").symlink_to("/mnt/data")  # as in the image, where /data is the volume
        os.chown(folder / "data", USER, USER)
        for name, key in {"public": api.public_key, "secret": api.secret_key}.items():
            (folder / "secrets" / name).write_text(f"{key}\n")
            (folder / "secrets" / name).chmod(0o440)
            os.chown(folder / "secrets" / name, 0, USER)
        given = {name: value for name, value in environment(api).items() if not name.startswith(KEYS)}
        given |= {f"{KEYS}{name.upper()}_KEY_FILE": f"/mnt/secrets/{name}" for name in ("public", "secret")}
        path = os.pathsep.join([str(REPOSITORY), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
        given |= {"PATH": "/usr/bin:/bin", "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        self.environment = {**given, "DLT_PROJECT_DIR": "/mnt/project", "HOME": "/nonexistent", "TMPDIR": "/mnt/tmp"}

    def start(self, command: str) -> subprocess.Popen[str]:
        """Starts a command as process 1 of new namespaces."""
        names = ("data", "project", "secrets")
        binds = [f"mkdir /mnt/{name}; mount --bind {self.folder}/{name} /mnt/{name}" for name in names]
        steps = [
            "mount -t tmpfs tmpfs /mnt",
            *binds,
            "mkdir -m 1777 /mnt/tmp",
            "mount -t tmpfs -o mode=1777 tmpfs /mnt/tmp",
            "mount -t proc proc /proc",
            *(f"mount -o remount,bind,ro {place}" for place in ("/mnt/project", "/mnt/secrets", "/mnt", "/")),
            f"exec {RIGHTS} {command}",
        ]
        script = "set -e\n" + "\n".join(steps)
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(words, env=self.environment, cwd="/", text=True, **pipes)  # type: ignore[call-overload,no-any-return]

    def run(self, command: str) -> tuple[int, str, str]:
        process = self.start(command)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def pickups(self, words: str) -> tuple[int, str, str]:
        return self.run(f"{PYTHON} -S -m pipelines {words}")


@pytest.fixture
def box(api: Sandbox) -> Iterator[Box]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Box(Path(folder), api)


def test_only_the_data_and_temporary_files_can_be_written(box: Box) -> None:
    code, out, _ = box.run(
        "sh -c 'for at in / /tmp /var/tmp /mnt /mnt/project /mnt/project/.dlt /mnt/secrets /mnt/data /mnt/tmp; do "
        "touch $at/x 2>/dev/null && echo $at; done; id -u; grep CapEff /proc/self/status; true'"
    )

    assert (code, out.split()) == (0, ["/mnt/data", "/mnt/tmp", str(USER), "CapEff:", "0000000000000000"])


def test_runs_and_their_health_need_only_the_data_folder(box: Box, world: World) -> None:
    world.book(carrier="dhl")
    world.book(carrier="ups")

    unwell = box.pickups("status")
    first = box.pickups("run")
    second = box.pickups("run --sweep")
    status = box.pickups("status --max-age 1000000")

    assert unwell[0] == 1
    assert (first[0], first[1][:6]) == (0, "2 new,"), first[2]
    assert (second[0], second[1][:6]) == (0, "0 new,"), second[2]
    assert (status[0], status[2]) == (0, "")
    assert rows_of(box.folder / "data" / "pickups.duckdb", "select count(*) as n from sendcloud.pickups") == [{"n": 2}]
    assert {path.stat().st_uid for path in (box.folder / "data").rglob("*")} == {USER}


def test_sigterm_ends_a_run_that_is_process_1(box: Box, world: World, api: Sandbox) -> None:
    """The kernel ignores signals for process 1 unless the process handles them."""
    world.book()
    api.fault(faults.slow(30), times=None)
    process = box.start(f"{PYTHON} -S -m pipelines run")
    deadline = time.monotonic() + 60
    while not api.requests and time.monotonic() < deadline:
        time.sleep(0.05)
    (inside,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()

    os.kill(int(inside), signal.SIGTERM)
    _, err = process.communicate(timeout=15)

    assert process.returncode == 143
    assert "SIGTERM" in err
