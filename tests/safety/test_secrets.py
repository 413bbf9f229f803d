"""Tests that the keys go only to the configured origin.

They never appear in a log, an error, a trace, the receipt or the database.
"""

from __future__ import annotations

import io
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.support.cases import quick
from tests.support.installation import REPOSITORY, Done, Installation, made_once
from tests.support.leaks import KEYS_TOML, OAUTH_TOML, PAIR, PUBLIC, SECRET, TOKEN, leaks
from tests.support.worlds import NOW

EVERYTHING = {"PICKUPS_DEBUG": "1", "RUNTIME__LOG_LEVEL": "DEBUG"}  # tracebacks, and every log line of dlt
FIVE_A_PAGE = {"SOURCES__SENDCLOUD__PAGE_SIZE": "5", "SOURCES__SENDCLOUD__PAGES_PER_PACKAGE": "2"}
ELSEWHERE = "http://127.0.0.1:9/api/v2/pickups"
IN_A_LINK = f"{quote(PUBLIC, '')}:{quote(SECRET, '')}"


@pytest.fixture(scope="module")
def api() -> Iterator[Sandbox]:
    """Serves twenty pickups, which require PUBLIC and SECRET."""
    world = World(clock=NOW)
    for _ in range(20):
        world.book(created_at=NOW)
    keys = {"public_key": PUBLIC, "secret_key": SECRET, "client_id": PUBLIC, "client_secret": SECRET}
    with serve(world, **keys, token_seconds=2) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def heal_api_afterwards(api: Sandbox) -> Iterator[None]:
    yield
    api.heal()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Collects the log output of every library."""
    said = io.StringIO()
    handler, root, dlts = logging.StreamHandler(said), logging.getLogger(), logging.getLogger("dlt")
    before = dlts.handlers[:]
    root.addHandler(handler)
    dlts.addHandler(handler)  # dlt's logger does not propagate to the root logger
    yield said
    root.removeHandler(handler)
    dlts.handlers[:] = before


@pytest.fixture(scope="module")
def once_loaded(tmp_path_factory: pytest.TempPathFactory, api: Sandbox) -> Path:
    """Returns a project with its keys in secrets.toml, after one successful run."""
    with made_once(tmp_path_factory.mktemp("loaded")) as installation:
        (installation.folder / ".dlt" / "secrets.toml").write_text(KEYS_TOML)
        assert installation.command("run", **sandbox_settings(api)).returncode == 0
    return installation.folder


@pytest.fixture
def loaded(once_loaded: Path, installation: Installation) -> Installation:
    return installation.as_in(once_loaded)


def sandbox_settings(api: Sandbox) -> dict[str, str]:
    """Returns the sandbox's addresses and a page size that gives several pages. The keys are not included."""
    addresses = {"SOURCES__SENDCLOUD__BASE_URL": api.base_url, "SOURCES__SENDCLOUD__TOKEN_URL": api.token_url}
    return {**addresses, **FIVE_A_PAGE}


def find_leaks(loaded: Installation, said: list[Done], log: str = "") -> list[str]:
    """Returns every place where a key appears."""
    return leaks(loaded.folder, [*said, log])


def echo(status: int, text: str) -> faults.Fault:
    return lambda due: replace(due, status=status, body=text.encode(), content_type="text/html")


# in the last seven faults, the server repeats the keys that it received
FAULTS = {
    "500": faults.status(500),
    "401": faults.refusal(401),
    "403": faults.refusal(403),
    "404": faults.refusal(404),
    "too_many": faults.too_many(),
    "reset": faults.reset(),
    "cut": faults.cut(),
    "truncated": faults.truncated(),
    "html": faults.html(),
    "redirect": faults.redirect(ELSEWHERE),
    "stray_link": faults.stray_link(ELSEWHERE),
    "loop": faults.loop(),
    "expired_cursor": faults.expired_cursor(),
    "redirect with the keys": faults.redirect(ELSEWHERE.replace("//", f"//{IN_A_LINK}@")),
    "stray_link with the keys": faults.stray_link(f"{ELSEWHERE}/{SECRET}?user={PUBLIC}&auth={PAIR}"),
    "echo 401": echo(401, f"denied: Basic {PAIR}, which is {PUBLIC}:{SECRET}"),
    "echo 500": echo(500, f"Authorization: Basic {PAIR}; user {PUBLIC}, password {SECRET}"),
    "echo 200": echo(200, f"Please log in again, {PUBLIC}, not with {SECRET}"),
    "echo 400": echo(400, f'{{"error": {{"message": "{PUBLIC}:{SECRET} ({PAIR})"}}}}'),
    "echo path": faults.redirect(f"/{SECRET}"),
}


@pytest.mark.parametrize("fault", quick(FAULTS.values(), only=(13, 16, 18)), ids=FAULTS)
def test_no_fault_leaks_a_key_into_a_log_an_error_a_trace_the_receipt_or_the_database(
    loaded: Installation, api: Sandbox, log: io.StringIO, fault: faults.Fault
) -> None:
    """The run logs as much as possible, and prints its receipt and its one error line.

    The status commands then read the receipt back.
    """
    asked = len(api.requests)
    api.fault(fault, times=None)
    loud = loaded.command("run", "--json", **sandbox_settings(api), **EVERYTHING)
    status = [loaded.command("status"), loaded.command("status", "--json")]

    assert loud.returncode in (3, 4)
    assert "Traceback" in loud.stderr
    assert loud.stderr.splitlines()[-1].startswith("pickups: ")
    assert '"outcome": "failed"' in loud.stdout
    assert "Bind incremental on pickups" in log.getvalue()  # dlt's own log is captured
    assert api.requests[asked].authorization == f"Basic {PAIR}"
    assert find_leaks(loaded, [loud, *status], log.getvalue()) == []


def with_token(api: Sandbox, status: int) -> faults.Fault:
    """Repeats the token: the API may repeat one that it received, and the token endpoint one that it sends."""
    return lambda due: echo(status, f'{{"x": "{api.access_token} of Bearer {api.access_token}, {SECRET}"}}')(due)


TOKEN_FAULTS = {
    "page 401": lambda api: ("page", with_token(api, 401)),
    "page 500": lambda api: ("page", with_token(api, 500)),
    "page 200": lambda api: ("page", with_token(api, 200)),
    "page 404": lambda api: ("page", with_token(api, 404)),
    "page stray link": lambda api: ("page", lambda due: faults.stray_link(f"{ELSEWHERE}/{api.access_token}")(due)),
    "page redirect": lambda api: ("page", lambda due: faults.redirect(f"/{api.access_token}")(due)),
    "token 401": lambda api: ("token", with_token(api, 401)),
    "token 500": lambda api: ("token", with_token(api, 500)),
    "token 200": lambda api: ("token", with_token(api, 200)),
    "token cut": lambda _: ("token", faults.truncated(0.9)),
    "token html": lambda _: ("token", faults.html()),
    "token redirect": lambda _: ("token", faults.redirect(f"{ELSEWHERE}/{SECRET}")),
    "token is the secret": lambda _: ("token", faults.token(access_token=SECRET)),
    "token in another field": lambda _: ("token", faults.token(expires_in="ory_at_x", token_type="ory_at_y")),
}


@pytest.mark.parametrize("fault", quick(TOKEN_FAULTS.values(), only=(0, 4, 8)), ids=TOKEN_FAULTS)
def test_no_fault_leaks_a_token_or_its_client_id_and_secret(
    loaded: Installation, api: Sandbox, log: io.StringIO, fault: Callable[[Sandbox], tuple]
) -> None:
    (loaded.folder / ".dlt" / "secrets.toml").write_text(OAUTH_TOML)
    asked = len(api.requests)
    where, what = fault(api)
    api.fault(what, page=1 if where == "page" else "token", times=None)
    loud = loaded.command("run", "--json", **sandbox_settings(api), **EVERYTHING)
    status = loaded.command("status", "--json")

    assert loud.returncode in (3, 4)
    assert "Traceback" in loud.stderr
    assert api.requests[asked].method == "POST"
    assert (f"Bearer {TOKEN}" in str(api.requests[-1].authorization)) == (where == "page")
    assert find_leaks(loaded, [loud, status], log.getvalue()) == []


@pytest.mark.slow
@pytest.mark.parametrize("loudly", [{}, EVERYTHING], ids=["quietly", "loudly"])
def test_a_successful_run_with_several_tokens_leaves_no_token_in_any_file(
    installation: Installation, api: Sandbox, log: io.StringIO, loudly: dict[str, str]
) -> None:
    """The test searches the database, the trace, the state, the log and the working folder."""
    (installation.folder / ".dlt" / "secrets.toml").write_text(OAUTH_TOML)
    api.on_request = lambda sandbox, number: number % 3 == 0 and sandbox.revoke_tokens()
    asked = len(api.requests)
    said = [installation.command("run", "--json", **sandbox_settings(api), **loudly) for _ in range(2)]
    api.on_request = None

    assert [done.returncode for done in said] == [0, 0]
    assert len([request for request in api.requests[asked:] if request.method == "POST"]) > 2
    assert find_leaks(installation, said, log.getvalue()) == []


@pytest.mark.slow
@pytest.mark.parametrize("loudly", [{}, EVERYTHING], ids=["quietly", "loudly"])
def test_a_run_with_odd_records_and_every_reading_command_show_no_key(
    installation: Installation, api: Sandbox, log: io.StringIO, loudly: dict[str, str]
) -> None:
    """The keys come from the environment.

    The runs read an unknown field, a record for the quarantine and an empty page, and the second finds no changes.
    """
    world = World(clock=NOW)
    world.book(colour="green")
    world.put({"id": "seven", "carrier": "dpd"})
    with serve(world, public_key=PUBLIC, secret_key=SECRET) as odd:
        odd.fault(faults.empty_page())
        said = [installation.command(*words, api=odd, **loudly) for words in (["run"], ["run", "--json"])]
        assert odd.requests[-1].authorization == f"Basic {PAIR}"
    doors = (
        ["status"],
        ["status", "--json"],
        ["show", "carriers"],
        ["show", "windows"],
        ["show", "carriers", "--json"],
    )
    said += [installation.command(*words, api=api, **loudly) for words in doors]

    assert [done.returncode for done in said] == [1, 1, *[0] * 5]  # half of the records are refused
    assert find_leaks(installation, said, log.getvalue()) == []


@pytest.mark.slow
def test_the_demo_shows_only_its_own_keys(loaded: Installation, log: io.StringIO) -> None:
    done = loaded.command("demo", "--pickups", "300", **EVERYTHING)

    assert done.returncode == 0
    assert find_leaks(loaded, [done], log.getvalue()) == []


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--debug", "run"], ["--debug", "status"]])
def test_a_process_with_debug_shows_no_key(loaded: Installation, api: Sandbox, words: list[str]) -> None:
    api.fault(echo(401, f"denied: Basic {PAIR}, which is {PUBLIC}:{SECRET}"), times=None)

    done = loaded.process(*words, **sandbox_settings(api))

    assert done.returncode == (4 if "run" in words else 0)  # the body is not the API's, so the keys may be valid
    assert find_leaks(loaded, [done]) == []


# common mistakes of users who enter their keys
MISTAKES = {
    "no quotes": KEYS_TOML.replace('"', ""),
    "a quote forgotten": KEYS_TOML.removesuffix('"\n') + "\n",
    "a bare line": f"[sources.sendcloud.credentials]\n{SECRET}\n",
    "no equals sign": KEYS_TOML.replace(" = ", " "),
    "one for two": f'[sources.sendcloud]\ncredentials = "{PUBLIC}:{SECRET}"\n',
    "a list": KEYS_TOML.replace(f'"{SECRET}"', f'["{SECRET}"]'),
    "a table": f'[sources.sendcloud.credentials.secret_key]\nvalue = "{SECRET}"\n',
    "a line break": KEYS_TOML.replace('"\n', '\\n"\n'),
    "one of two": KEYS_TOML.replace("secret_key", "secret"),
    "half of the other": KEYS_TOML.replace("public_key", "client_id"),
    "both pairs": KEYS_TOML + OAUTH_TOML.split("\n", 1)[1],
    "half of OAuth": OAUTH_TOML.replace("client_id", "id"),
    "in the address": f'[sources.sendcloud]\nbase_url = "https://{IN_A_LINK}@127.0.0.1/"\n{KEYS_TOML}',
}


@pytest.mark.parametrize("toml", MISTAKES.values(), ids=MISTAKES)
def test_no_mistake_in_secrets_toml_leaks_a_key(
    installation: Installation, api: Sandbox, log: io.StringIO, toml: str
) -> None:
    (installation.folder / ".dlt" / "secrets.toml").write_text(toml)
    address = {} if "base_url" in toml else {"SOURCES__SENDCLOUD__BASE_URL": api.base_url}

    done = installation.command("run", **address, **EVERYTHING)

    assert done.returncode == 3
    assert find_leaks(installation, [done], log.getvalue()) == []


@pytest.mark.parametrize(
    ("instant", "toml"),
    quick(
        [
            ("dlt.Pipeline.normalize", KEYS_TOML),
            ("dlt.Pipeline.load", KEYS_TOML),
            ("dlt.Pipeline.load", OAUTH_TOML),
            ("backend.publish", OAUTH_TOML),
        ],
        only=(1,),
    ),
    ids=["before normalising", "before loading", "before loading, with a token", "before publishing, with a token"],
)
def test_files_left_by_a_killed_run_hold_no_key(loaded: Installation, api: Sandbox, instant: str, toml: str) -> None:
    """The files are the working folder with a load package, the log and the lock.

    The run is killed just before dlt's or the pipeline's next step.
    """
    (loaded.folder / ".dlt" / "secrets.toml").write_text(toml)
    shutil.rmtree(loaded.folder / "data")
    script = f"""
import os, dlt
from pipelines.cli.main import main
from pipelines.destinations.duckdb import backend
{instant} = lambda *_args, **_named: os._exit(9)
main()
"""
    settings = {
        **sandbox_settings(api),
        **EVERYTHING,
        "DLT_PROJECT_DIR": str(loaded.folder),
        "PYTHONPATH": str(REPOSITORY),
    }
    killed = subprocess.run(
        [sys.executable, "-c", script, "run"], env={**os.environ, **settings}, capture_output=True, text=True
    )

    assert killed.returncode == 9, killed.stderr
    assert (loaded.folder / "data" / "warehouse.holder").exists()
    assert list(loaded.folder.glob("data/.dlt-pipelines/*/*/*/*/*/*/*.parquet"))
    assert find_leaks(loaded, [Done(9, killed.stdout, killed.stderr)]) == []
