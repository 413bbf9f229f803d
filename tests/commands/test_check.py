"""Tests that `pickups check` finds common problems, says how to fix them, and writes nothing."""

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

from pipelines.destinations.duckdb import diagnose
from pipelines.destinations.duckdb.recovery import FileRecovery
from pipelines.destinations.file_lock import exclusive_lock
from pipelines.operations import preflight
from sources.sendcloud.errors import Unavailable
from sources.sendcloud.http.client import Client
from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.support.accounts import configure, keys_of, serving
from tests.support.installation import REPOSITORY, Done, Installation, environment


def findings_of(done: Done) -> dict[str, list[str]]:
    """Returns the findings by subject."""
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        outcome, what, said = line.split(maxsplit=2)
        found.setdefault(what, []).append(f"{outcome} {said}")
    return found


@pytest.fixture
def now(world: World) -> World:
    """Returns a world with the clock of this machine."""
    world.clock = datetime.now(UTC)
    return world


def everything_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_without_a_problem_check_reports_ok_sends_one_request_per_version_and_writes_nothing(
    installation: Installation, now: World, api: Sandbox
) -> None:
    now.book()
    before = everything_in(installation.folder)
    done = installation.command("check", api=api)

    assert done.returncode == 0
    assert {line.split()[0] for line in done.stdout.splitlines()} == {"ok"}
    assert list(findings_of(done)) == [
        "project", "versions", "settings", "keys", "api", "opens", "clock", "version", "warehouse", "published", "disk"
    ]  # fmt: skip
    assert f"newest pickup {now.clock:%Y-%m-%d %H:%M} UTC" in findings_of(done)["api"][0]
    assert [request.path for request in api.requests] == [
        "/api/v2/pickups?limit=500",
        "/api/v3/pickups?page_size=1",
    ]
    assert findings_of(done)["opens"] == ["ok default: v2 and v3 answer with these keys"]
    assert everything_in(installation.folder) == before


def test_after_a_run_check_opens_the_warehouse_and_changes_nothing(
    installation: Installation, now: World, api: Sandbox
) -> None:
    now.book()
    installation.run(api)
    before = installation.warehouse.read_bytes()
    done = installation.command("check", api=api)

    assert done.returncode == 0
    assert findings_of(done)["warehouse"][0].startswith(f"ok {installation.warehouse}, ")
    assert installation.warehouse.read_bytes() == before


def test_another_distribution_with_the_same_package_names_is_a_warning(
    installation: Installation, now: World, api: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now.book()
    about = tmp_path / "site" / "other_shop-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: other-shop\nVersion: 1.0\n")
    (about / "top_level.txt").write_text("pipelines\nshop\n")
    monkeypatch.syspath_prepend(tmp_path / "site")

    done = installation.command("check", api=api)

    assert done.returncode == 0
    (said,) = findings_of(done)["packages"]
    assert said.startswith("warning other distributions in this environment contain packages with the same names: ")
    assert "pipelines (other-shop). Files may" in said


def test_a_missing_dlt_folder_is_reported_with_the_remedy(installation: Installation, now: World, api: Sandbox) -> None:
    assert now
    (installation.folder / ".dlt").rmdir()
    (said,) = findings_of(installation.command("check", api=api))["project"]

    assert said.startswith(f"warning there is no .dlt in or above {installation.folder}")
    assert "pickups init DIR" in said


def test_missing_keys_are_reported_with_the_place_for_them(installation: Installation) -> None:
    done = installation.command("check")

    assert done.returncode == 3
    assert "[sources.sendcloud.credentials] in " in findings_of(done)["keys"][0]
    assert "api" not in findings_of(done)
    assert "disk" in findings_of(done)  # other problems are still reported


def test_swapped_keys_are_distinguished_from_wrong_keys(installation: Installation, now: World, api: Sandbox) -> None:
    assert now
    keys = environment(api)
    public, secret = "SOURCES__SENDCLOUD__CREDENTIALS__PUBLIC_KEY", "SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY"
    swapped = installation.command("check", **{**keys, public: keys[secret], secret: keys[public]})
    wrong = installation.command("check", **{**keys, secret: "not-the-secret-key"})

    assert (swapped.returncode, wrong.returncode) == (3, 3)
    assert "public_key and secret_key of account 'default' are swapped" in findings_of(swapped)["api"][0]
    assert "Sendcloud refused the keys: GET /api/v2/pickups returned 401" in findings_of(wrong)["api"][0]
    assert keys[secret] not in swapped.stdout + swapped.stderr + wrong.stdout + wrong.stderr


def test_a_swapped_client_id_and_secret_of_oauth2_are_reported(
    installation: Installation, now: World, api: Sandbox
) -> None:
    assert now
    common = "SOURCES__SENDCLOUD__"
    settings = {f"{common}BASE_URL": api.base_url, f"{common}TOKEN_URL": api.token_url}
    names = f"{common}CREDENTIALS__CLIENT_ID", f"{common}CREDENTIALS__CLIENT_SECRET"
    right = dict(zip(names, (api.client_id, api.client_secret), strict=True))
    swapped = dict(zip(names, (api.client_secret, api.client_id), strict=True))

    assert installation.command("check", **settings, **right).returncode == 0
    said = findings_of(installation.command("check", **settings, **swapped))["api"][0]
    assert "client_id and client_secret of account 'default' are swapped" in said


@pytest.mark.parametrize(("off", "which"), [(timedelta(hours=-3), "ahead of"), (timedelta(minutes=2), "behind")])
def test_a_wrong_clock_is_reported(
    installation: Installation, now: World, api: Sandbox, off: timedelta, which: str
) -> None:
    now.clock += off
    done = installation.command("check", api=api)

    assert done.returncode == 0
    assert f" s {which} Sendcloud's" in findings_of(done)["clock"][0]
    assert "NTP" in findings_of(done)["clock"][0]


@pytest.mark.parametrize(
    ("fields", "evidence"),
    [
        ({"carrier": None}, "the newest record can't be loaded (Expected `str`, got `null` - at `$.carrier`)"),
        (
            {"contract": "57", "cancelled_at": "soon"},
            "fields that can't be read: cancelled_at, contract. A run loads the record without them",
        ),
    ],
)
def test_a_record_that_a_run_would_refuse_or_load_in_part_is_reported(
    installation: Installation, now: World, api: Sandbox, fields: dict[str, object], evidence: str
) -> None:
    now.change(now.book(), **fields)
    done = installation.command("check", api=api)

    assert done.returncode == 0
    (found,) = findings_of(done)["records"]
    assert found.startswith("warning ")
    assert evidence in found


def test_a_certificate_that_seems_invalid_by_date_adds_a_hint_about_the_clock(
    installation: Installation, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test cannot use TLS on loopback, because a certificate would need an authority that this machine trusts."""

    def get(*_: object) -> None:
        raise Unavailable("/api/v2/pickups", "SSLCertVerificationError: certificate is not yet valid", 1)

    monkeypatch.setattr(Client, "get", get)
    done = installation.command("check", api=api)

    assert done.returncode == 4
    assert f"This machine's clock says {datetime.now(UTC):%Y-%m-%d}" in findings_of(done)["api"][0]


@pytest.mark.parametrize(
    ("fault", "evidence", "code"),
    [
        (faults.status(503), "503", 4),
        (faults.html(), "not a JSON object", 4),
        (faults.too_many(120), "429", 4),
    ],
    ids=["unavailable", "a proxy's page", "too many requests"],
)
def test_an_unavailable_api_is_reported_after_one_request(
    installation: Installation, now: World, api: Sandbox, fault: faults.Fault, evidence: str, code: int
) -> None:
    assert now
    api.fault(fault, times=None)
    done = installation.command("check", api=api)

    assert done.returncode == code
    assert evidence in findings_of(done)["api"][0]
    assert len(api.requests) == 1


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """Yields a folder that every user can enter, because only root can enter pytest's own folders."""
    folder = Path(mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


@pytest.mark.skipif(not hasattr(os, "seteuid") or os.geteuid() != 0, reason="only root can become another user")
def test_files_that_this_user_cannot_write_are_reported(shared_folder: Path) -> None:
    """The user `nobody` (65534) cannot write to root's folder.

    The test stays in this process, because `nobody` may not be allowed to start root's interpreter.
    """
    os.seteuid(65534)
    try:
        files = FileRecovery(shared_folder / "w.duckdb", shared_folder / "p.duckdb", [])
        warehouse, published, _ = diagnose.file_findings(files)
    finally:
        os.seteuid(0)

    assert [(f.outcome, f.exit_code) for f in (warehouse, published)] == [("error", 6), ("error", 6)]
    assert f"this user can't write to {shared_folder}" in warehouse.message


def test_a_file_in_the_place_of_the_data_folder_is_reported(
    installation: Installation, now: World, api: Sandbox
) -> None:
    assert now
    (installation.folder / "data").write_text("")
    done = installation.command("check", api=api)

    assert done.returncode == 6
    assert f"{installation.folder}/data is a file, but it must be a folder" in findings_of(done)["warehouse"][0]


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

    (said,) = findings_of(done)["warehouse"]
    assert done.returncode == 6
    assert said.startswith("error ")
    assert f"(PID {holder.pid})" in said
    assert f"Held by: {sys.executable} -c" in said
    assert "duckdb.connect" not in said  # further arguments may be long or secret


def test_a_run_in_progress_is_not_an_error(installation: Installation, now: World, api: Sandbox) -> None:
    now.book()
    installation.run(api)
    with exclusive_lock(installation.warehouse):
        done = installation.command("check", api=api)

    assert done.returncode == 0
    assert f"ok Another run is under way (process {os.getpid()}" in findings_of(done)["warehouse"][0]


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(("free_mb", "outcome", "code"), [(50, "error", 6), (500, "warning", 0), (5_000, "ok", 0)])
def test_a_nearly_full_disk_is_reported(
    installation: Installation, now: World, api: Sandbox, free_mb: int, outcome: str, code: int
) -> None:
    assert now
    with installation.monkeypatch.context() as patched:
        patched.setattr(diagnose, "disk_usage", lambda _: Usage(10**12, 0, free_mb * 10**6))
        done = installation.command("check", api=api)

    (said,) = findings_of(done)["disk"]
    assert said.startswith(f"{outcome} ")
    assert f"{free_mb:,} MB free at " in said
    assert done.returncode == code


def test_an_untested_version_is_reported(installation: Installation, now: World, api: Sandbox) -> None:
    assert now
    with installation.monkeypatch.context() as patched:
        patched.setattr(preflight, "version", lambda name: "2.1.0" if name == "duckdb" else "30.0")
        done = installation.command("check", api=api)

    (said,) = findings_of(done)["versions"]
    assert said.startswith("warning not tested with ")
    assert "duckdb 2.1.0 (tested: >=1.5, <2.1)" in said
    assert "sqlglot" not in said
    assert done.returncode == 0


def test_the_tested_ranges_include_the_locked_versions_and_the_versions_in_ci() -> None:
    locked = {
        part["name"]: part.get("version") for part in tomllib.loads((REPOSITORY / "uv.lock").read_text())["package"]
    }
    duckdb2 = (REPOSITORY / "Makefile").read_text().split("'duckdb==")[1].split("'")[0]
    ci = (REPOSITORY / ".github" / "workflows" / "ci.yml").read_text()
    pythons = json.loads(ci.split("        python: ")[1].splitlines()[0])
    for name, (first, below) in preflight.TESTED_VERSIONS.items():
        versions = pythons if name == "python" else [locked[name], *([duckdb2] if name == "duckdb" else [])]
        assert all(Version(first) <= Version(v) < Version(below) for v in versions), name


def test_a_secrets_file_that_other_users_can_read_is_reported(
    installation: Installation, now: World, api: Sandbox
) -> None:
    assert now
    secrets = installation.folder / ".dlt" / "secrets.toml"
    secrets.write_text("\n".join(["[sources.sendcloud.credentials]", *keys_of(api)]))
    secrets.chmod(0o644)
    done = installation.command("check", SOURCES__SENDCLOUD__BASE_URL=api.base_url)

    remedy = "chmod 640, and chgrp to the service's group" if os.geteuid() == 0 else "chmod 600"
    assert findings_of(done)["secrets"] == [f"warning other users can read {secrets}: {remedy}"]
    secrets.chmod(0o600)
    assert "secrets" not in findings_of(installation.command("check", SOURCES__SENDCLOUD__BASE_URL=api.base_url))


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="only root's secrets file may be readable by a group"
)
def test_a_secrets_file_owned_by_root_with_mode_0640_is_accepted(
    installation: Installation, now: World, api: Sandbox
) -> None:
    assert now
    secrets = installation.folder / ".dlt" / "secrets.toml"
    secrets.write_text("\n".join(["[sources.sendcloud.credentials]", *keys_of(api)]))
    secrets.chmod(0o640)

    assert "secrets" not in findings_of(installation.command("check", SOURCES__SENDCLOUD__BASE_URL=api.base_url))


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
def test_check_reports_every_setting_that_a_run_rejects(
    installation: Installation, now: World, api: Sandbox, setting: str, what: str
) -> None:
    assert now
    (installation.folder / ".dlt" / "config.toml").write_text(setting)
    text, machine = installation.command("check", api=api), installation.command("check", "--json", api=api)

    assert (text.returncode, machine.returncode, installation.command("run", api=api).returncode) == (3, 3, 3)
    assert any(line.startswith("error ") for line in findings_of(text)[what])
    assert {one["outcome"] for one in json.loads(machine.stdout) if one["subject"] == what} >= {"error"}


def test_every_account_is_checked_and_the_worst_finding_sets_the_exit_code(installation: Installation) -> None:
    with serving({name: World(clock=datetime.now(UTC)) for name in ("north", "south")}) as apis:
        configure(installation, apis, keys={"south": "north"}, own={"north": {"page_size": 7}})
        whole, north = installation.command("check"), installation.command("check", "--account", "north")

    assert (whole.returncode, north.returncode) == (3, 0)
    assert [line.split()[:2] for line in findings_of(whole)["api"]] == [["ok", "north:"], ["error", "south:"]]
    assert len(findings_of(north)["api"]) == 1


def test_one_finding_points_all_accounts_on_v2_to_v3(installation: Installation) -> None:
    worlds = {name: World(clock=datetime.now(UTC)) for name in ("north", "south", "west")}
    with serving(worlds) as apis:
        configure(installation, apis, own={"west": {"api_version": "v3"}})
        (said,) = findings_of(installation.command("check"))["version"]
        only = installation.command("check", "--account", "west")

    assert said.startswith('ok north, south: API v2, which works but gets no new features. With api_version = "v3"')
    assert "version" not in findings_of(only)
    assert apis["west"].requests[0].path == "/api/v3/pickups?page_size=100"
    assert findings_of(only)["api"][0].startswith(f"ok west: {apis['west'].base_url_v3} answers, ")


def accept_keys_in(api: Sandbox, numbers: set[int]) -> None:
    """Makes the sandbox accept its keys only in requests with these numbers, as if the others were another version."""
    right = api.secret_key

    def on_request(api: Sandbox, number: int) -> None:
        api.secret_key = right if number in numbers else "the-key-of-another-integration"

    api.on_request = on_request


def test_a_version_that_refuses_the_keys_is_named(installation: Installation, now: World, api: Sandbox) -> None:
    now.book()
    keys = environment(api, api_version="v3")
    accept_keys_in(api, {1})
    done = installation.command("check", **keys)

    assert done.returncode == 0
    assert findings_of(done)["opens"] == ["ok default: v3 answers with these keys; v2 refused them"]


def test_a_version_that_is_unavailable_is_not_called_closed(
    installation: Installation, now: World, api: Sandbox
) -> None:
    now.book()
    api.on_request = lambda api, number: api.fault(faults.status(503)) if number == 2 else None
    done = installation.command("check", api=api, SOURCES__SENDCLOUD__API_VERSION="v3")

    assert done.returncode == 0
    assert findings_of(done)["opens"] == [
        "ok default: v3 answers with these keys; v2 gave no usable answer (Unavailable)"
    ]


def test_keys_that_open_only_the_other_version_are_reported_with_the_remedy(
    installation: Installation, now: World, api: Sandbox
) -> None:
    """The keys of a new account open v3 only. The second request has the keys the other way round."""
    now.book()
    keys = environment(api)
    accept_keys_in(api, {3})
    done = installation.command("check", **keys)

    assert done.returncode == 3
    (said,) = findings_of(done)["opens"]
    assert said.startswith(
        'warning default: v3 answers with these keys, but the account uses v2. Set api_version = "v3".'
    )


def test_an_address_without_a_version_is_asked_once(installation: Installation, now: World, api: Sandbox) -> None:
    now.book()
    done = installation.command("check", api=api, SOURCES__SENDCLOUD__BASE_URL=f"{api.base_url}/")
    proxy = installation.command("check", api=api, SOURCES__SENDCLOUD__BASE_URL=api.origin)

    assert "opens" in findings_of(done)
    assert "opens" not in findings_of(proxy)


def test_check_with_json_prints_a_list_of_findings(installation: Installation) -> None:
    with serve(World(clock=datetime.now(UTC))) as api:
        done = installation.command("check", "--json", api=api)
        refused = installation.command("check", "--json", api=api, SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY="no")

    found = json.loads(done.stdout)
    assert [set(one) for one in found] == [{"subject", "outcome", "message", "account", "exit_code"}] * len(found)
    assert {one["outcome"] for one in found} == {"ok"}
    wrong = [one for one in json.loads(refused.stdout) if one["outcome"] == "error"]
    assert [(one["subject"], one["account"], one["exit_code"]) for one in wrong] == [("api", "default", 3)]


@pytest.mark.parametrize("setting", ["[status]\nmax_age = 3", "[sources.sendcloud]\npage_size = 'many'"])
def test_an_invalid_setting_ends_the_check_before_any_request(
    installation: Installation, api: Sandbox, setting: str
) -> None:
    (installation.folder / ".dlt" / "config.toml").write_text(setting)
    done = installation.command("check", api=api)

    assert done.returncode == 3
    assert f"{installation.folder}/.dlt/config.toml: [" in findings_of(done)["settings"][0]
    assert api.requests == []
