"""Tests that DuckDB 1.4 and every later version opens each file that a run writes, whatever version wrote it."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import duckdb
import pytest

from pipelines.destinations.duckdb import backend
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.installation import REPOSITORY, Installation, as_rows

pytestmark = pytest.mark.duckdb2

NEWEST_OF_1_4 = 67  # the storage formats that DuckDB 1.4.0 reads are 64 to 67, as its error message says
IS_DUCKDB_1 = duckdb.__version__.startswith("1.")
DATA = REPOSITORY / "tests" / "data"
OLD = "duckdb==1.4.0"
UV = shutil.which("uv") or shutil.which("uv", path=REPOSITORY / ".venv" / "uv" / "bin")


def format_of(file: Path) -> int:
    """Returns the storage format, the number after the word DUCK in the file's header."""
    header = file.read_bytes()[:20]
    assert header[8:12] == b"DUCK"
    return int.from_bytes(header[12:], "little")


def block_bytes(file: Path) -> int:
    with duckdb.connect(str(file), read_only=True) as connection:
        ((size,),) = connection.execute("select block_size from pragma_database_size()").fetchall()
    return int(size)


def rewrite(file: Path, version: str) -> None:
    """Rewrites the file in the storage format of another DuckDB version."""
    fresh = file.with_suffix(".fresh")
    with duckdb.connect() as connection:
        connection.execute(f"attach '{file}' as old (read_only); attach '{fresh}' as new (storage_version '{version}')")
        connection.execute("copy from database old to new")
    fresh.replace(file)


def test_duckdb_1_4_opens_every_file_that_a_run_writes(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.book()
    installation.run(api)
    monkeypatch.setattr(backend, "needs_compaction", lambda *_: True)
    world.book()
    assert installation.run(api).outcome == "succeeded"  # compacts the warehouse
    assert installation.command("backup", "--to", str(installation.folder / "backup")).returncode == 0

    files = [installation.warehouse, installation.published, *installation.folder.glob("backup/*.duckdb")]
    assert [format_of(file) <= NEWEST_OF_1_4 for file in files] == [True] * 3


def test_new_and_rewritten_files_have_small_blocks(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of DuckDB's own has blocks of 256 KiB, at least one for each column."""
    world.book()
    installation.run(api)
    assert block_bytes(installation.published) == 65_536
    rewrite(installation.warehouse, "v1.0.0")
    assert block_bytes(installation.warehouse) == 262_144

    monkeypatch.setattr(backend, "needs_compaction", lambda *_: True)
    assert installation.run(api).outcome == "succeeded"

    assert block_bytes(installation.warehouse) == block_bytes(installation.published) == 65_536


def test_a_run_rewrites_a_warehouse_that_duckdb_1_4_does_not_open(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """With DuckDB 2, earlier versions of ours wrote files that no DuckDB 1.x opens."""
    world.book()
    installation.loaded(api)
    rewrite(installation.warehouse, "latest")
    assert format_of(installation.warehouse) > NEWEST_OF_1_4
    world.book()

    assert installation.run(api).outcome == "succeeded"

    assert installation.pickups() == as_rows(world.records())
    assert format_of(installation.warehouse) <= NEWEST_OF_1_4
    assert format_of(installation.published) <= NEWEST_OF_1_4


def test_another_duckdb_version_keeps_the_format_of_a_file_that_it_writes_to(tmp_path: Path) -> None:
    """DuckDB 1.5.5 wrote the file. In `make test-duckdb2`, DuckDB 2 writes to it."""
    file = tmp_path / "warehouse.duckdb"
    file.write_bytes(gzip.decompress((DATA / "warehouse-of-174e15f.duckdb.gz").read_bytes()))
    before = format_of(file)
    with duckdb.connect(str(file)) as connection:
        connection.execute("create table more as select range as id from range(100000)")

    assert format_of(file) == before == 64


@pytest.mark.skipif(not IS_DUCKDB_1, reason="DuckDB 2 opens a file of DuckDB 2")
@pytest.mark.parametrize("words", [["run"], ["check"], ["show", "carriers"]])
def test_a_file_of_duckdb_2_is_not_taken_for_damaged_and_the_error_names_both_versions(
    installation: Installation, world: World, api: Sandbox, words: list[str]
) -> None:
    """This is the way back from DuckDB 2 to 1, for files that an earlier version of ours wrote."""
    world.book()
    written = gzip.decompress((DATA / "file-of-duckdb-2.0.0.duckdb.gz").read_bytes())
    for file in (installation.warehouse, installation.published):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(written)

    done = installation.command(*words, api=api)

    assert done.returncode == 6
    told = done.stdout if words == ["check"] else done.stderr
    file = installation.published if words[0] == "show" else installation.warehouse
    problem = f"DuckDB 2.0.0 wrote it in a format that DuckDB {duckdb.__version__} can't read"
    assert f"{file}: {problem}. Install DuckDB 2.0.0 and run: pickups run." in " ".join(told.split())
    assert installation.warehouse.read_bytes() == installation.published.read_bytes() == written
    assert [path.name for path in installation.warehouse.parent.glob("*damaged*")] == []


@pytest.fixture(scope="module")
def old_duckdb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the Python of an environment with DuckDB 1.4.0."""
    if not UV:
        pytest.skip("uv, which installs DuckDB 1.4.0, is not installed")
    python = tmp_path_factory.mktemp("old") / "bin" / "python"
    subprocess.run([UV, "venv", "--quiet", python.parents[1]], check=True)
    install = [UV, "pip", "install", "--quiet", "--no-config", "--python", str(python), OLD, "pytz"]
    if (installed := subprocess.run(install, capture_output=True, text=True)).returncode:
        pytest.skip(f"the package index does not give {OLD}: {installed.stderr.splitlines()[-1]}")
    return python


@pytest.mark.engines
def test_a_real_duckdb_1_4_computes_every_view_of_the_published_file(
    installation: Installation, world: World, api: Sandbox, old_duckdb: Path
) -> None:
    """In `make test-engines` the locked DuckDB 1.5 has written the file, in `make test-duckdb2` DuckDB 2 has."""
    world.book()
    installation.run(api)
    script = f"""
import duckdb
connection = duckdb.connect({str(installation.published)!r}, read_only=True)
views = connection.execute("select view_name from duckdb_views() where schema_name = 'analytics'").fetchall()
for (view,) in views:
    connection.execute(f"select * from analytics.{{view}}").fetchall()
print(duckdb.__version__, len(views) > 5, connection.execute("select count(*) from analytics.pickups").fetchone()[0])
"""
    done = subprocess.run([old_duckdb, "-c", script], capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("1.4.0 True 1\n", "")
