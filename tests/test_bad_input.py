"""Whatever comes in, the message names the setting or the evidence, the exit code is the documented one, no secret
shows, and what was loaded before stays as it was."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.installation import API_VERSION, CARRIER, SECRET, Done, Installation, as_rows, first_load, nothing_is_sent_to

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PAIR = b64encode(f"sandbox-public-key:{SECRET}".encode()).decode()


def twenty() -> World:
    world = World(clock=NOW)
    for _ in range(20):
        world.book(created_at=NOW)
    return world


@pytest.fixture
def world() -> World:
    return twenty()


@pytest.fixture
def api(world: World) -> Iterator[Sandbox]:
    """Twenty pickups, opened by a secret that is easy to find wherever it doesn't belong."""
    with serve(world, secret_key=SECRET) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def loaded_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return first_load(tmp_path_factory.mktemp("loaded"), twenty())


@pytest.fixture
def loaded(installation: Installation, loaded_once: Path) -> Installation:
    """An installation that has loaded the twenty."""
    return installation.as_in(loaded_once)


def outcome(done: Done) -> tuple[int, str]:
    """Exit code and last line of stderr; no traceback and no secret anywhere."""
    both = done.stdout + done.stderr
    assert "Traceback" not in both
    assert SECRET not in both
    assert PAIR not in both
    lines = [line for line in done.stderr.splitlines() if line.startswith("pickups: ")]
    return done.returncode, "\n".join(lines)


def as_before(installation: Installation, api: Sandbox) -> bool:
    return installation.pickups() == as_rows(api.world.records())[:20]


def test_wrong_keys(loaded: Installation, api: Sandbox) -> None:
    wrong = {"SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY": "not the right one"}
    code, message = outcome(loaded.process("run", api=api, **wrong))

    assert code == 3
    assert "401 and said 'Invalid username/password.'" in message
    assert "[sources.sendcloud.credentials] of .dlt/secrets.toml" in message
    assert as_before(loaded, api)
    assert loaded.rows(
        "select outcome, pages, coalesce(error, '') like 'Refused:%' as told from sendcloud.pickup_runs order by 1"
    ) == [
        {"outcome": "failed", "pages": 0, "told": True},
        {"outcome": "succeeded", "pages": 1, "told": False},
    ]


def test_no_keys(installation: Installation) -> None:
    code, message = outcome(installation.process("run"))

    assert code == 3
    assert "public_key, secret_key" in message
    assert f"{installation.folder}/.dlt/secrets.toml" in message
    assert "SOURCES__SENDCLOUD__CREDENTIALS__PUBLIC_KEY" in message


@pytest.mark.parametrize(("key", "problem"), [("", "is empty"), ("“quoted”", "has characters that no key has")])
def test_a_key_that_can_be_none(installation: Installation, api: Sandbox, key: str, problem: str) -> None:
    wrong = {"SOURCES__SENDCLOUD__CREDENTIALS__PUBLIC_KEY": key}
    with nothing_is_sent_to(api):
        code, message = outcome(installation.command("run", api=api, **wrong))

    assert code == 3
    assert (
        f".credentials] public_key (SOURCES__SENDCLOUD__CREDENTIALS__PUBLIC_KEY in the environment) {problem}"
        in message
    )


def test_one_key_of_the_two(installation: Installation) -> None:
    code, message = outcome(installation.command("run", SOURCES__SENDCLOUD__CREDENTIALS__PUBLIC_KEY="public"))

    assert code == 3
    assert "Settings are missing: secret_key." in message


@pytest.mark.parametrize(
    ("setting", "value", "evidence"),
    [
        ("PAGE_SIZE", "many", "page_size"),
        ("PAGE_SIZE", "0", "page_size"),
        ("SETTLE_DAYS", "-1", "settle_days"),
        ("OVERLAP_HOURS", "nan", "overlap_hours"),
        ("MAX_LOOKBACK_DAYS", "1e12", "max_lookback_days"),
        ("ACCOUNT", "../../etc", "is '../../etc'. Use 1 to 40"),
        ("ACCOUNT", "a b", "is 'a b'. Use 1 to 40"),
    ],
)
def test_a_setting_that_cannot_work(
    installation: Installation, api: Sandbox, setting: str, value: str, evidence: str
) -> None:
    with nothing_is_sent_to(api):
        code, message = outcome(installation.command("run", api=api, **{f"SOURCES__SENDCLOUD__{setting}": value}))

    assert code == 3
    assert evidence in message


def test_a_secret_key_of_something_else_in_the_environment_is_not_taken(installation: Installation) -> None:
    code, message = outcome(installation.command("run", SECRET_KEY=SECRET, PUBLIC_KEY="other"))

    assert code == 3
    assert "Settings are missing" in message


@pytest.mark.parametrize(
    ("base_url", "evidence"),
    [
        ("http://panel.sendcloud.example/api/v2", "http on the foreign host panel.sendcloud.example"),
        ("panel.sendcloud.example/api/v2", "not a web address"),
        (f"https://key:{SECRET}@panel.sendcloud.example/api/v2", "not a web address"),
        ("https://h:abc/api/v2", "not a web address"),
        ("http://[::1", "not a web address"),
    ],
)
def test_a_base_url_that_cannot_be_asked_safely(
    loaded: Installation, api: Sandbox, base_url: str, evidence: str
) -> None:
    with nothing_is_sent_to(api):
        code, message = outcome(loaded.command("run", api=api, SOURCES__SENDCLOUD__BASE_URL=base_url))

    assert code == 3
    assert "[sources.sendcloud] base_url" in message
    assert evidence in message
    assert as_before(loaded, api)


def test_a_base_url_without_pickups_behind_it(loaded: Installation, api: Sandbox) -> None:
    elsewhere = api.base_url.replace("/api/v2", "/api/v1")
    code, message = outcome(loaded.command("run", api=api, SOURCES__SENDCLOUD__BASE_URL=elsewhere))

    assert code == 3
    assert "base_url (SOURCES__SENDCLOUD__BASE_URL in the environment) has no pickups: GET /api/v1/pickups" in message


def test_an_api_that_is_down(loaded: Installation, api: Sandbox) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nobody = f"http://127.0.0.1:{port}/api/v2"
    code, message = outcome(loaded.command("run", api=api, SOURCES__SENDCLOUD__BASE_URL=nobody))

    assert code == 4
    assert f"GET /api/{API_VERSION}/pickups" in message
    assert "Connection refused" in message
    assert "after 7 tries" in message
    assert as_before(loaded, api)


@pytest.mark.parametrize(
    ("fault", "evidence"),
    [
        (faults.status(503), "503"),
        (faults.too_many(), "429"),
        (faults.html(), "200, but no JSON page (text/html"),
        (faults.truncated(), "200, but no JSON page (application/json)"),
        (faults.reset(), "Connection reset"),
        (faults.cut(), "IncompleteRead"),
    ],
    ids=["503", "429", "html", "truncated", "reset", "cut"],
)
def test_an_api_that_never_gives_a_usable_answer(
    loaded: Installation, api: Sandbox, fault: faults.Fault, evidence: str
) -> None:
    api.fault(fault, times=None)
    before = len(api.requests)

    code, message = outcome(loaded.command("run", api=api))

    assert code == 4
    assert evidence in message
    assert "after 7 tries" in message
    assert len(api.requests) - before == 7
    assert as_before(loaded, api)


def test_a_passing_fault_of_any_kind_is_tried_again_and_told_in_the_receipt(
    installation: Installation, api: Sandbox
) -> None:
    api.fault(faults.status(502))
    api.fault(faults.too_many(retry_after=0))
    api.fault(faults.html())
    api.fault(faults.truncated())
    api.fault(faults.reset())
    api.fault(faults.cut())

    receipt = installation.run(api)

    assert (receipt.outcome, receipt.retries, receipt.requests, receipt.pages) == ("succeeded", 6, 7, 1)
    assert installation.pickups() == as_rows(api.world.records())


def test_a_next_link_on_another_host_is_not_followed_and_no_request_goes_there(
    loaded: Installation, api: Sandbox, world: World
) -> None:
    world.book()
    with serve(World(clock=NOW)) as another:
        api.fault(faults.stray_link(f"{another.base_url}/pickups/?cursor=x"), times=None)
        with nothing_is_sent_to(another):
            code, message = outcome(loaded.command("run", api=api, SOURCES__SENDCLOUD__PAGE_SIZE="5"))

    assert code == 4
    assert another.base_url.removesuffix("/api/v2") in message
    assert "the credentials are for" in message
    assert as_before(loaded, api)


def test_a_redirect_to_another_host_is_not_followed_either(loaded: Installation, api: Sandbox) -> None:
    with serve(World(clock=NOW)) as another:
        api.fault(faults.redirect(f"{another.base_url}/pickups"), times=None)
        with nothing_is_sent_to(another):
            code, message = outcome(loaded.command("run", api=api))

    assert code == 4
    assert "its redirect leads to" in message


def test_a_next_link_that_is_no_address_ends_the_run(loaded: Installation, api: Sandbox, world: World) -> None:
    world.book()
    api.fault(faults.stray_link("http://[half/an/address"), times=None)

    code, message = outcome(loaded.command("run", api=api, SOURCES__SENDCLOUD__PAGE_SIZE="5"))

    assert code == 4
    assert "its next link leads to no readable address" in message


@pytest.mark.parametrize(
    ("place", "spelling"),
    [
        ("next link", "".join(f"%{ord(letter):x}" for letter in SECRET)),
        ("field nobody told us of", SECRET),
        ("record for quarantine", PAIR),
    ],
)
def test_an_api_that_repeats_the_secret_key_does_not_get_it_into_a_file(
    installation: Installation, api: Sandbox, world: World, place: str, spelling: str
) -> None:
    if place == "next link":
        api.fault(faults.stray_link(f"{api.base_url}/pickups/?key={spelling}"), times=None)
    elif place == "field nobody told us of":
        world.book(note=f"?key={spelling}")
    else:
        world.put({"note": f"?key={spelling}"})

    # with packages of one page, a next link is kept in the pipeline's state
    code, message = outcome(installation.command("run", api=api, SOURCES__SENDCLOUD__PAGES_PER_PACKAGE="1"))

    files = [path for path in installation.folder.rglob("*") if path.is_file()]
    assert code == 4
    assert "200, but it repeats the secret key" in message
    assert files
    assert [path for path in files if spelling.encode() in path.read_bytes()] == []


def test_a_page_of_the_wrong_size_or_encoding_ends_the_run_at_once(loaded: Installation, api: Sandbox) -> None:
    for fault, evidence in (
        (faults.gzipped(65 * 2**20), "its body is larger than 64 MiB"),
        (faults.encoded("utf-8", "application/json; charset=klingon"), "it can't be read as klingon"),
    ):
        before = len(api.requests)
        api.fault(fault, times=None)
        code, message = outcome(loaded.command("run", api=api))
        api.heal()

        assert code == 4
        assert evidence in message
        assert len(api.requests) == before + 1
        assert as_before(loaded, api)


def test_a_page_that_is_nested_without_end_ends_the_run(loaded: Installation, api: Sandbox, world: World) -> None:
    world.book()
    name = f'"{CARRIER}"'.encode()
    deep = b'"deep":' + b"[" * 5_000 + b"]" * 5_000 + b"," + name
    api.fault(lambda due: replace(due, body=due.body.replace(name, deep, 1)), times=None)

    code, message = outcome(loaded.command("run", api=api))

    assert code == 4
    assert "nested too deeply" in message
    assert as_before(loaded, api)


def test_links_that_go_in_circles_end_the_run(loaded: Installation, api: Sandbox, world: World) -> None:
    world.book()
    api.fault(faults.loop(), times=None)

    code, message = outcome(loaded.command("run", api=api, SOURCES__SENDCLOUD__PAGE_SIZE="5"))

    assert code == 4
    assert "leads back to a page that this walk has read" in message
    assert as_before(loaded, api)


def test_an_expired_cursor_is_not_an_empty_last_page(loaded: Installation, api: Sandbox, world: World) -> None:
    world.book()
    api.fault(faults.expired_cursor(), times=None)

    code, message = outcome(loaded.command("run", api=api, SOURCES__SENDCLOUD__PAGE_SIZE="5"))

    assert code == 4
    assert "404 Invalid cursor" in message
    assert as_before(loaded, api)


def test_an_empty_page_with_a_next_link_is_followed(installation: Installation, api: Sandbox) -> None:
    api.fault(faults.empty_page(), page=2)

    installation.run(api, page_size=5)

    assert installation.pickups() == as_rows(api.world.records())


def test_empty_pages_without_end_end_the_run(loaded: Installation, api: Sandbox) -> None:
    api.fault(faults.empty_page(), times=None)
    asked = len(api.requests)

    code, message = outcome(loaded.command("run", api=api))

    assert code == 4
    assert "100 empty pages in a row, and a link to yet another" in message
    assert len(api.requests) - asked == 100
    assert as_before(loaded, api)


def test_keys_given_as_one_json_text_are_taken(installation: Installation, api: Sandbox) -> None:
    keys = json.dumps({"public_key": api.public_key, "secret_key": api.secret_key})
    settings = {"SOURCES__SENDCLOUD__BASE_URL": api.base_url, "SOURCES__SENDCLOUD__CREDENTIALS": keys}

    assert outcome(installation.command("run", **settings)) == (0, "")


def test_keys_given_in_a_form_that_none_is(installation: Installation, api: Sandbox) -> None:
    settings = {"SOURCES__SENDCLOUD__BASE_URL": api.base_url, "SOURCES__SENDCLOUD__CREDENTIALS": SECRET}

    code, message = outcome(installation.command("run", **settings))

    assert code == 3
    assert "public_key" in message


def test_a_record_that_cannot_be_loaded_is_kept_apart_and_the_rest_of_its_page_loads(
    loaded: Installation, api: Sandbox, world: World
) -> None:
    """Without an id, unreadable and without an offset in `created_at`, and without a carrier."""
    sound = {"carrier": "dpd", "pickup_status": "Created", "created_at": "2026-11-20T11:00:00Z"}
    broken = {
        "required field `id`": sound,
        "`$.created_at`": {**sound, "id": 6, "created_at": "yesterday"},
        "timezone": {**sound, "id": 7, "created_at": "2026-11-20T11:00:00"},
        f"required field `{CARRIER}`": {"id": 8, "pickup_status": "Created", "created_at": "2026-11-20T11:00:00Z"},
    }
    for record in broken.values():
        world.put(record)
    good = world.book()

    done = loaded.command("run", api=api)

    assert outcome(done) == (0, "")
    assert "4 records could not be loaded" in done.stdout
    assert any(reason in done.stdout for reason in broken)
    assert good in [row["id"] for row in loaded.pickups()]
    kept = loaded.rows("select account, reason, record, first_seen_at from sendcloud.pickups_quarantine")
    for reason, record in broken.items():
        (row,) = [row for row in kept if json_of(row).get("id") == record.get("id")]
        assert reason in row["reason"]
        assert '"created_at"' in row["record"]
    assert {(row["account"], row["first_seen_at"]) for row in kept} == {("default", NOW)}


def test_nothing_is_dropped_in_silence_and_the_receipt_counts_it(
    installation: Installation, api: Sandbox, world: World
) -> None:
    """Twenty and three that can be loaded, two of them with a field nobody told us of, and three that can't."""
    refused = [{"id": "seven", "carrier": "dpd"}, {"id": 8, "country": 7}, {"id": 9, "created_at": "2026-11-20"}]
    for record in refused:
        world.put(record)
    loaded = [world.book(), world.book(colour="green"), world.book(colour="red")]

    receipt = installation.run(api)

    assert [row["id"] for row in installation.pickups()[-3:]] == loaded
    kept = installation.rows("select record, reason from sendcloud.pickups_quarantine")
    sent = [{CARRIER if name == "carrier" else name: value for name, value in record.items()} for record in refused]
    by_id = [sorted(records, key=lambda record: str(record["id"])) for records in (sent, map(json_of, kept))]
    assert by_id[0] == by_id[1]
    assert all(row["reason"] for row in kept)
    coloured = installation.rows("select extra from sendcloud.pickups where extra is not null order by id")
    assert coloured == [{"extra": '{"colour":"green"}'}, {"extra": '{"colour":"red"}'}]
    assert (receipt.rows_read, receipt.rows_new, receipt.quarantined) == (26, 23, 3)
    (row,) = installation.rows("select quarantined, unknown_fields from sendcloud.pickup_runs")
    assert row == {"quarantined": 3, "unknown_fields": '{"colour": 2}'}


def json_of(row: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(row["record"])
    return record


def test_a_record_in_quarantine_is_seen_again_without_a_second_row(
    installation: Installation, api: Sandbox, world: World
) -> None:
    world.put({"id": "seven", "carrier": "dpd"})
    installation.run(api)
    world.advance(hours=1)
    installation.run(api)

    rows = installation.rows("select first_seen_at, last_seen_at from sendcloud.pickups_quarantine")
    assert rows == [{"first_seen_at": NOW, "last_seen_at": NOW.replace(hour=13)}]


def test_a_field_nobody_told_us_of_is_kept_and_named(installation: Installation, api: Sandbox, world: World) -> None:
    world.book(colour="green", depot={"b": 1, "a": [None, "x"]})

    receipt = installation.run(api)

    assert receipt.unknown_fields == {"colour": 1, "depot": 1}
    assert installation.pickups() == as_rows(world.records())
    (row,) = installation.rows("select extra from sendcloud.pickups where extra is not null")
    assert row["extra"] == '{"colour":"green","depot":{"a":[null,"x"],"b":1}}'


def test_a_second_run_beside_the_first_ends_at_once_and_names_the_first(
    installation: Installation, api: Sandbox
) -> None:
    started, go_on = threading.Event(), threading.Event()

    def hold(_api: Sandbox, _number: int) -> None:
        started.set()
        go_on.wait(30)

    api.on_request = hold
    first = installation.begin("run", api=api)
    started.wait(30)
    code, message = outcome(installation.command("run", api=api))
    go_on.set()
    first.communicate(timeout=60)

    assert code == 5
    assert "Another run is under way (process " in message
    assert installation.pickups() == as_rows(api.world.records())


def test_a_warehouse_that_another_program_holds(loaded: Installation, api: Sandbox) -> None:
    holding = (
        f"import duckdb, time; c = duckdb.connect({str(loaded.warehouse)!r}); print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", holding], stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    try:
        code, message = outcome(loaded.command("run", api=api))
    finally:
        holder.kill()
        holder.wait()

    assert code == 6
    assert "The destination failed" in message
    assert str(holder.pid) in message
    assert as_before(loaded, api)


def test_a_warehouse_that_is_no_duckdb_file_is_left_alone(installation: Installation, api: Sandbox) -> None:
    installation.warehouse.parent.mkdir()
    installation.warehouse.write_text("my thesis" * 100)

    code, message = outcome(installation.command("run", api=api))

    assert code == 6
    assert str(installation.warehouse) in message
    assert installation.warehouse.read_text() == "my thesis" * 100


def test_a_published_file_that_cannot_be_replaced(loaded: Installation, api: Sandbox, tmp_path: Path) -> None:
    in_the_way = tmp_path / "taken"
    (in_the_way / "pickups.duckdb" / "full").mkdir(parents=True)

    code, message = outcome(loaded.command("run", api=api, PUBLISH__PATH=str(in_the_way / "pickups.duckdb")))

    assert code == 6
    assert "pickups.duckdb" in message
    assert [path.name for path in in_the_way.iterdir()] == ["pickups.duckdb"]


@pytest.mark.parametrize("words", [["fly"], ["show", "planes"], ["run", "--fast"], ["demo", "--pickups", "none"]])
def test_wrong_usage(installation: Installation, words: list[str]) -> None:
    done = installation.command(*words)

    assert done.returncode == 2
    assert "Usage: pickups" in done.stderr


def test_reading_before_anything_was_loaded(installation: Installation) -> None:
    code, message = outcome(installation.command("show", "carriers"))

    assert code == 3
    assert "There are no pickups yet" in message
    assert "pickups demo" in message


@pytest.mark.parametrize("folder", ["100% data", "today's data"])
def test_a_folder_that_dlt_can_not_work_in_is_told_as_such(
    installation: Installation, world: World, api: Sandbox, folder: str
) -> None:
    world.book()

    done = installation.command("run", api=api, DESTINATION__DUCKDB__CREDENTIALS=f"{folder}/warehouse.duckdb")

    assert (done.returncode, done.stdout) == (3, "")
    assert re.search(
        f"{folder}/.dlt-pipelines/warehouse: there is a [%'] in its path. Let .destination.duckdb", done.stderr
    )
