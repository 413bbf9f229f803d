"""`pickups check` finds what goes wrong in practice, says how to mend it, and writes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections import namedtuple
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp

import pytest
from packaging.version import Version

from pipelines import check, check_files
from pipelines.lock import one_run_at_a_time
from sources.sendcloud.client import Client
from sources.sendcloud.errors import Unavailable
from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.support.accounts import configure, keys_of, serving
from tests.support.installation import REPOSITORY, Done, Installation, environment


def lines_of(done: Done) -> dict[str, list[str]]:
    """What was found, by what it is about."""
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        outcome, what, said = line.split(maxsplit=2)
        found.setdefault(what, []).append(f"{outcome} {said}")
    return found


@pytest.fixture
def now(world: World) -> World:
    """A world whose clock is this machine's."""
    world.clock = datetime.now(UTC)
    return world


def everything_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_where_all_is_well_it_says_so_asks_once_and_writes_nothing(
    installation: Installation, now: World, api: Sandbox
) -> None:
    now.book()
    before = everything_in(installation.folder)
    done = installation.command("check", api=api)

    assert done.returncode == 0
    assert {line.split()[0] for line in done.stdout.splitlines()} == {"ok"}
    assert list(lines_of(done)) == [
        "project", "versions", "settings", "keys", "api", "clock", "version", "warehouse", "published", "disk"
    ]  # fmt: skip
    assert f"newest pickup {now.clock:%Y-%m-%d %H:%M} UTC" in lines_of(done)["api"][0]
    assert [request.path for request in api.requests] == ["/api/v2/pickups?limit=1"]
    assert everything_in(installation.folder) == before


def test_after_a_run_it_opens_the_warehouse_and_changes_nothing(
    installation: Installation, now: World, api: Sandbox
) -> None:
    now.book()
    installation.run(api)
    before = installation.warehouse.read_bytes()
    done = installation.command("check", api=api)

    assert done.returncode == 0
    assert lines_of(done)["warehouse"][0].startswith(f"ok {installation.warehouse}, ")
    assert installation.warehouse.read_bytes() == before


def test_a_folder_without_dlt_is_told_with_what_to_do(installation: Installation, now: World, api: Sandbox) -> None:
    assert now
    (installation.folder / ".dlt").rmdir()
    (said,) = lines_of(installation.command("check", api=api))["project"]

    assert said.startswith(f"look there is no .dlt in {installation.folder} or above")
    assert "pickups init DIR" in said


def test_missing_keys_are_told_with_where_they_belong(installation: Installation) -> None:
    done = installation.command("check")

    assert done.returncode == 3
    assert "[sources.sendcloud.credentials] of " in lines_of(done)["keys"][0]
    assert "api" not in lines_of(done)
    assert "disk" in lines_of(done)  # what else there is to find is found too


def test_swapped_keys_are_told_apart_from_wrong_ones(installation: Installation, now: World, api: Sandbox) -> None:
    assert now
    keys = environment(api)
    public, secret = "SOURCES__SENDCLOUD__CREDENTIALS__PUBLIC_KEY", "SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY"
    swapped = installation.command("check", **{**keys, public: keys[secret], secret: keys[public]})
    wrong = installation.command("check", **{**keys, secret: "not-the-secret-key"})

    assert (swapped.returncode, wrong.returncode) == (3, 3)
    assert "public_key and secret_key of account 'default' are swapped" in lines_of(swapped)["api"][0]
    assert "Sendcloud refused the keys: GET /api/v2/pickups was answered 401" in lines_of(wrong)["api"][0]
    assert keys[secret] not in swapped.stdout + swapped.stderr + wrong.stdout + wrong.stderr


def test_a_swapped_client_of_oauth2_too(installation: Installation, now: World, api: Sandbox) -> None:
    assert now
    common = "SOURCES__SENDCLOUD__"
    settings = {f"{common}BASE_URL": api.base_url, f"{common}TOKEN_URL": api.token_url}
    names = f"{common}CREDENTIALS__CLIENT_ID", f"{common}CREDENTIALS__CLIENT_SECRET"
    right = dict(zip(names, (api.client_id, api.client_secret), strict=True))
    swapped = dict(zip(names, (api.client_secret, api.client_id), strict=True))

    assert installation.command("check", **settings, **right).returncode == 0
    said = lines_of(installation.command("check", **settings, **swapped))["api"][0]
    assert "client_id and client_secret of account 'default' are swapped" in said


@pytest.mark.parametrize(("off", "which"), [(timedelta(hours=-3), "ahead of"), (timedelta(minutes=2), "behind")])
def test_a_clock_that_is_off_is_told(
    installation: Installation, now: World, api: Sandbox, off: timedelta, which: str
) -> None:
    now.clock += off
    done = installation.command("check", api=api)

    assert done.returncode == 0
    assert f" s {which} Sendcloud's" in lines_of(done)["clock"][0]
    assert "NTP" in lines_of(done)["clock"][0]


def test_a_certificate_that_seems_to_have_ended_makes_it_ask_about_the_clock(
    installation: Installation, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS can't be had on loopback here: a good certificate would need an authority that this machine trusts."""

    def get(*_: object) -> None:
        raise Unavailable("/api/v2/pickups", "SSLCertVerificationError: certificate is not yet valid", 1)

    monkeypatch.setattr(Client, "get", get)
    done = installation.command("check", api=api)

    assert done.returncode == 4
    assert f"This machine's clock says {datetime.now(UTC):%Y-%m-%d}" in lines_of(done)["api"][0]


@pytest.mark.parametrize(
    ("fault", "evidence", "code"),
    [
        (faults.status(503), "503", 4),
        (faults.html(), "no JSON page", 4),
        (faults.too_many(120), "429", 4),
    ],
    ids=["busy", "a proxy's page", "too many requests"],
)
def test_an_api_that_does_not_answer_is_asked_once_and_told(
    installation: Installation, now: World, api: Sandbox, fault: faults.Fault, evidence: str, code: int
) -> None:
    assert now
    api.fault(fault, times=None)
    done = installation.command("check", api=api)

    assert done.returncode == code
    assert evidence in lines_of(done)["api"][0]
    assert len(api.requests) == 1


@pytest.fixture
def anybodys_folder() -> Iterator[Path]:
    """A folder that every user gets to; pytest's own are root's."""
    folder = Path(mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


@pytest.mark.skipif(not hasattr(os, "seteuid") or os.geteuid() != 0, reason="becoming another user takes root")
def test_a_file_that_this_user_may_not_write_is_told(anybodys_folder: Path) -> None:
    """Nobody (65534) finds root's folder; in this process, for the interpreter may be root's own too."""
    os.seteuid(65534)
    try:
        warehouse, published, _ = check_files.files(anybodys_folder / "w.duckdb", anybodys_folder / "p.duckdb")
    finally:
        os.seteuid(0)

    assert [(f.outcome, f.exit_code) for f in (warehouse, published)] == [("wrong", 6), ("wrong", 6)]
    assert f"{anybodys_folder} can't be written to by this user" in warehouse.said


def test_a_folder_that_is_a_file_is_told(installation: Installation, now: World, api: Sandbox) -> None:
    assert now
    (installation.folder / "data").write_text("")
    done = installation.command("check", api=api)

    assert done.returncode == 6
    assert f"{installation.folder}/data is a file, and a folder is needed" in lines_of(done)["warehouse"][0]


def test_a_program_that_has_the_warehouse_open_is_named(installation: Installation, now: World, api: Sandbox) -> None:
    now.book()
    installation.run(api)
    script = f"import duckdb; c = duckdb.connect({str(installation.warehouse)!r}); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "1\n"
        done = installation.command("check", api=api)
        holder.communicate("\n", timeout=30)

    (said,) = lines_of(done)["warehouse"]
    assert done.returncode == 6
    assert said.startswith("wrong ")
    assert f"(PID {holder.pid})" in said
    assert f"Held by: {sys.executable} -c" in said
    assert "duckdb.connect" not in said  # what stands behind may be long, or a secret


def test_a_run_under_way_is_no_fault(installation: Installation, now: World, api: Sandbox) -> None:
    now.book()
    installation.run(api)
    with one_run_at_a_time(installation.warehouse):
        done = installation.command("check", api=api)

    assert done.returncode == 0
    assert f"ok Another run is under way (process {os.getpid()}" in lines_of(done)["warehouse"][0]


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(("free_mb", "outcome", "code"), [(50, "wrong", 6), (500, "look", 0), (5_000, "ok", 0)])
def test_a_disk_that_is_nearly_full_is_told(
    installation: Installation, now: World, api: Sandbox, free_mb: int, outcome: str, code: int
) -> None:
    assert now
    with installation.monkeypatch.context() as patched:
        patched.setattr(check_files, "disk_usage", lambda _: Usage(10**12, 0, free_mb * 10**6))
        done = installation.command("check", api=api)

    (said,) = lines_of(done)["disk"]
    assert said.startswith(f"{outcome} ")
    assert f"{free_mb:,} MB free at " in said
    assert done.returncode == code


def test_a_version_that_nobody_tested_is_told(installation: Installation, now: World, api: Sandbox) -> None:
    assert now
    with installation.monkeypatch.context() as patched:
        patched.setattr(check, "version", lambda name: "2.1.0" if name == "duckdb" else "30.0")
        done = installation.command("check", api=api)

    (said,) = lines_of(done)["versions"]
    assert said.startswith("look outside what was tested: ")
    assert "duckdb 2.1.0 (tested: 1.5 up to 2.1)" in said
    assert "sqlglot" not in said
    assert done.returncode == 0


def test_what_was_tested_holds_the_locked_versions_and_both_that_ci_runs() -> None:
    locked = {
        part["name"]: part.get("version") for part in tomllib.loads((REPOSITORY / "uv.lock").read_text())["package"]
    }
    duckdb2 = (REPOSITORY / "Makefile").read_text().split("'duckdb==")[1].split("'")[0]
    ci = (REPOSITORY / ".github" / "workflows" / "ci.yml").read_text()
    pythons = json.loads(ci.split("        python: ")[1].splitlines()[0])
    for name, (first, below) in check.TESTED.items():
        versions = pythons if name == "python" else [locked[name], *([duckdb2] if name == "duckdb" else [])]
        assert all(Version(first) <= Version(v) < Version(below) for v in versions), name


def test_secrets_that_others_may_read_are_told(installation: Installation, now: World, api: Sandbox) -> None:
    assert now
    secrets = installation.folder / ".dlt" / "secrets.toml"
    secrets.write_text("\n".join(["[sources.sendcloud.credentials]", *keys_of(api)]))
    secrets.chmod(0o644)
    done = installation.command("check", SOURCES__SENDCLOUD__BASE_URL=api.base_url)

    remedy = "chmod 640, and chgrp it to the service" if os.geteuid() == 0 else "chmod 600"
    assert lines_of(done)["secrets"] == [f"look others may read {secrets}: {remedy}"]
    secrets.chmod(0o600)
    assert "secrets" not in lines_of(installation.command("check", SOURCES__SENDCLOUD__BASE_URL=api.base_url))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root's own file is for a group to read")
def test_the_way_the_readme_installs_them_is_in_order(installation: Installation, now: World, api: Sandbox) -> None:
    assert now
    secrets = installation.folder / ".dlt" / "secrets.toml"
    secrets.write_text("\n".join(["[sources.sendcloud.credentials]", *keys_of(api)]))
    secrets.chmod(0o640)

    assert "secrets" not in lines_of(installation.command("check", SOURCES__SENDCLOUD__BASE_URL=api.base_url))


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ("[sources.sendcloud]\nsettle_days = nan", "settings"),
        ("[sources.sendcloud]\npage_size = -1", "settings"),
        ("[sources.sendcloud]\naccount = 'a b'", "settings"),
        ("[destination.duckdb]\ncredentials = 'md:mine'", "settings"),
        ("[publish]\npath = 'data/warehouse.duckdb'", "settings"),
    ],
)
def test_whatever_a_run_would_refuse_is_found_by_it_too(
    installation: Installation, now: World, api: Sandbox, setting: str, what: str
) -> None:
    assert now
    (installation.folder / ".dlt" / "config.toml").write_text(setting)
    text, machine = installation.command("check", api=api), installation.command("check", "--json", api=api)

    assert (text.returncode, machine.returncode, installation.command("run", api=api).returncode) == (3, 3, 3)
    assert any(line.startswith("wrong ") for line in lines_of(text)[what])
    assert {one["outcome"] for one in json.loads(machine.stdout) if one["what"] == what} >= {"wrong"}


def test_every_account_is_looked_at_and_the_worst_is_the_exit_code(installation: Installation) -> None:
    with serving({name: World(clock=datetime.now(UTC)) for name in ("north", "south")}) as apis:
        configure(installation, apis, keys={"south": "north"}, own={"north": {"page_size": 7}})
        whole, north = installation.command("check"), installation.command("check", "--account", "north")

    assert (whole.returncode, north.returncode) == (3, 0)
    assert [line.split()[:2] for line in lines_of(whole)["api"]] == [["ok", "north:"], ["wrong", "south:"]]
    assert len(lines_of(north)["api"]) == 1


def test_who_reads_v2_is_told_once_of_v3(installation: Installation) -> None:
    worlds = {name: World(clock=datetime.now(UTC)) for name in ("north", "south", "west")}
    with serving(worlds) as apis:
        configure(installation, apis, own={"west": {"api_version": "v3"}})
        (said,) = lines_of(installation.command("check"))["version"]
        only = installation.command("check", "--account", "west")

    assert said.startswith('ok north, south: v2, which works on but gets nothing new. With api_version = "v3"')
    assert "version" not in lines_of(only)
    assert apis["west"].requests[0].path == "/api/v3/pickups?page_size=1"
    assert lines_of(only)["api"][0].startswith(f"ok west: {apis['west'].base_url_v3} answers, ")


def test_as_json_it_is_a_list_of_what_was_found(installation: Installation) -> None:
    with serve(World(clock=datetime.now(UTC))) as api:
        done = installation.command("check", "--json", api=api)
        refused = installation.command("check", "--json", api=api, SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY="no")

    found = json.loads(done.stdout)
    assert [set(one) for one in found] == [{"what", "outcome", "said", "account", "exit_code"}] * len(found)
    assert {one["outcome"] for one in found} == {"ok"}
    wrong = [one for one in json.loads(refused.stdout) if one["outcome"] == "wrong"]
    assert [(one["what"], one["account"], one["exit_code"]) for one in wrong] == [("api", "default", 3)]


@pytest.mark.parametrize("setting", ["[status]\nmax_age = 3", "[sources.sendcloud]\npage_size = 'many'"])
def test_a_wrong_setting_ends_it_there(installation: Installation, api: Sandbox, setting: str) -> None:
    (installation.folder / ".dlt" / "config.toml").write_text(setting)
    done = installation.command("check", api=api)

    assert done.returncode == 3
    assert f"{installation.folder}/.dlt/config.toml: [" in lines_of(done)["settings"][0]
    assert api.requests == []
