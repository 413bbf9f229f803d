"""Tests the alerts: a message when an account begins to fail, and another when it recovers.

A run that reads every account sends a ping. Nothing else is sent.
"""

from __future__ import annotations

import json
import re
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from filelock import FileLock

from pipelines.operations import alerts
from pipelines.operations.incidents import ALL_ACCOUNTS, Incident, update_incidents
from sources.sendcloud.sandbox import Sandbox, World, faults
from tests.support.accounts import add, configure, serving
from tests.support.alert_receiver import Listening, listening
from tests.support.cases import quick
from tests.support.installation import Installation, nothing_is_sent_to
from tests.support.leaks import leaks
from tests.support.worlds import NOW

EVERYTHING = {"PICKUPS_DEBUG": "1", "RUNTIME__LOG_LEVEL": "DEBUG"}
NINE = datetime(2026, 11, 20, 9, tzinfo=UTC)
LATER = NINE + timedelta(hours=1)


@pytest.fixture(autouse=True)
def _temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


@pytest.fixture
def chat(installation: Installation) -> Iterator[Listening]:
    """Serves the receiver of messages. Its address is in secrets.toml."""
    with listening() as chat:
        add_hook(installation, chat.address)
        yield chat


@pytest.fixture
def watchdog(installation: Installation) -> Iterator[Listening]:
    """Serves the receiver of pings. Its address is in secrets.toml."""
    with listening() as watchdog:
        add(installation, "secrets.toml", "[alerts]", f"ping_url = '{watchdog.address}'")
        yield watchdog


@pytest.fixture
def apis() -> Iterator[dict[str, Sandbox]]:
    worlds = {name: World(clock=NOW) for name in ("north", "south", "east")}
    for world in worlds.values():
        world.book(created_at=NOW)
    with serving(worlds) as apis:
        yield apis


def add_hook(installation: Installation, address: str) -> None:
    add(installation, "secrets.toml", "[runtime]", f"slack_incoming_hook = '{address}'")


def incidents_file(installation: Installation) -> list[str]:
    return [path.name for path in installation.folder.rglob("*incidents*")]


# incidents


def test_an_incident_sends_one_message_when_it_begins_and_one_when_it_ends(
    installation: Installation, api: Sandbox, chat: Listening
) -> None:
    """A different error before the end belongs to the open incident."""
    assert installation.command("run", api=api).returncode == 0
    assert chat.messages == []
    codes = []
    for fault in (faults.refusal(401), faults.refusal(401), faults.status(503)):
        api.fault(fault, times=None)
        codes.append(installation.command("run", api=api).returncode)
        api.heal()
    assert codes == [3, 3, 4]

    assert installation.command("run", api=api).returncode == 0
    assert incidents_file(installation) == []
    assert installation.command("run", api=api).returncode == 0

    began, over = chat.messages
    head, line, foot = began.splitlines()
    assert str(installation.folder) in head
    assert re.match(r"default: failing since 20\d\d-\d\d-\d\d \d\d:\d\d UTC\. Sendcloud refused the keys: ", line)
    assert "SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY in the environment" in line  # the remedy
    assert "pickups status" in foot
    assert re.fullmatch(
        r"default: recovered after 0:00:\d\d \(3 runs failed since 20\d\d-.* UTC\)", over.splitlines()[1]
    )
    assert chat.asked == [("POST", chat.asked[0][1])] * 2
    assert [body["mrkdwn"] for body in chat.bodies] == [False, False]


@pytest.mark.slow
def test_one_message_names_every_account_whose_incident_begins_or_ends_in_a_run(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis)
    with listening() as chat:
        add_hook(installation, chat.address)
        apis["south"].fault(faults.refusal(401), times=None)
        apis["east"].fault(faults.refusal(401), times=None)
        installation.command("run")
        apis["south"].heal()
        apis["north"].fault(faults.status(503), times=None)
        installation.command("run")

    first, second = (message.splitlines()[1:] for message in chat.messages)
    assert [line.split(": ")[0] for line in first[:-1]] == ["south", "east"]
    assert [line.split(": ")[0] for line in second if "next message" not in line] == ["north", "south"]


@pytest.mark.slow
def test_a_run_of_one_account_sends_no_message_about_other_accounts(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis)
    with listening() as chat:
        add_hook(installation, chat.address)
        apis["south"].fault(faults.refusal(401), times=None)
        installation.command("run")
        installation.command("run", "--account", "north")
        assert len(chat.messages) == 1
        apis["south"].heal()
        installation.command("run", "--account", "south")

    assert [line.split(": ")[0] for line in chat.messages[1].splitlines()[1:]] == ["south"]


@pytest.mark.slow
def test_a_first_run_without_keys_and_an_unreadable_warehouse_are_incidents(
    installation: Installation, api: Sandbox, chat: Listening
) -> None:
    assert [installation.command("run").returncode for _ in range(2)] == [3, 3]
    assert "Settings are missing: public_key, secret_key" in chat.messages[0]
    assert installation.command("run", api=api).returncode == 0
    both = (installation.warehouse, installation.published)  # from the published file, a run would restore the other
    for path in both:
        path.write_bytes(b"no warehouse" * 1_000)
    assert [installation.command("run", api=api).returncode for _ in range(2)] == [6, 6]
    for path in both:
        path.unlink()
    assert installation.command("run", api=api).returncode == 0

    assert [" recovered " in message for message in chat.messages] == [False, True, False, True]


@pytest.mark.slow
def test_an_incident_that_cannot_be_stored_beside_the_warehouse_is_still_reported_once(
    installation: Installation, api: Sandbox, chat: Listening
) -> None:
    in_the_way = installation.folder / "data"
    in_the_way.write_text("a file where a folder should be")
    assert [installation.command("run", api=api).returncode for _ in range(3)] == [6, 6, 6]
    in_the_way.unlink()
    assert installation.command("run", api=api).returncode == 0

    assert [" recovered " in message for message in chat.messages] == [False, True]
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


def test_an_incident_that_cannot_be_stored_anywhere_is_reported_by_every_run(
    installation: Installation, api: Sandbox, chat: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    (installation.folder / "data").write_text("a file where a folder should be")
    monkeypatch.setattr(tempfile, "tempdir", str(installation.folder / "data"))

    assert [installation.command("run", api=api).returncode for _ in range(2)] == [6, 6]

    assert len(chat.messages) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    [
        "[destination.duckdb]\ncredentials = 'md:mine'",
        "[runtime]\nrequest_timeout = 'abc'",
        "[runtime]\nlog_level = 'QUIET'",
        "[publish]\npath = 5",
    ],
)
def test_an_invalid_setting_is_reported_once_and_the_error_names_its_place(
    installation: Installation, api: Sandbox, chat: Listening, setting: str
) -> None:
    config = installation.folder / ".dlt" / "config.toml"
    config.write_text(setting)
    done = [installation.command("run", api=api) for _ in range(2)]
    config.write_text("")
    assert installation.command("run", api=api).returncode == 0

    assert [one.returncode for one in done] == [3, 3]
    assert f"{config}: {setting.splitlines()[0]} {setting.splitlines()[1].split()[0]} is " in done[0].stderr
    assert [" recovered " in message for message in chat.messages] == [False, True]


def test_a_typo_in_an_account_name_is_not_an_incident(
    installation: Installation, apis: dict[str, Sandbox], api: Sandbox
) -> None:
    with listening() as chat:
        add_hook(installation, chat.address)
        assert installation.command("run", "--account", "defualt", api=api).returncode == 3
        configure(installation, apis)
        add_hook(installation, chat.address)
        done = installation.command("run", "--account", "nroth")

    assert done.returncode == 3
    assert "(did you mean north?)" in done.stderr
    assert chat.messages == []
    assert not installation.warehouse.exists()


@pytest.mark.slow
def test_a_full_disk_is_reported_once(installation: Installation, api: Sandbox, chat: Listening) -> None:
    """When the run starts to read, every file is limited to one byte."""
    installation.command("run", api=api)
    for _ in range(2):
        api.world.book(created_at=NOW)
        full = installation.begin("full", "extract", "1", "run", api=api, module="tests.support.instants")
        full.communicate(timeout=60)
        assert full.returncode == 6
    assert installation.command("run", api=api).returncode == 0

    began, over = (message.splitlines()[1] for message in chat.messages)
    assert "default: failing since" in began
    assert re.fullmatch(r"default: recovered after 0:00:\d\d \(failing since 20.* UTC\)", over)
    assert incidents_file(installation) == []


def test_a_failed_must_pass_check_is_an_incident(installation: Installation, api: Sandbox, chat: Listening) -> None:
    """The check that made the run fail comes first. Two others, known_carriers and known_statuses, only warn."""
    api.world.book(created_at=NOW, carrier="nobody", pickup_status="Nothing")
    installation.command("run", api=api)
    with duckdb.connect(str(installation.warehouse)) as connection:
        connection.execute("insert into sendcloud.pickups from sendcloud.pickups")

    assert installation.command("run", api=api).returncode == 1

    assert "A must-pass check failed (failed checks: unique_key, known_carriers, " in chat.messages[0]


@pytest.mark.slow
def test_a_concurrent_run_and_ctrl_c_are_not_incidents(
    installation: Installation, api: Sandbox, chat: Listening, watchdog: Listening
) -> None:
    installation.command("run", api=api)
    with FileLock(installation.warehouse.with_suffix(".lock")):
        assert installation.command("run", api=api).returncode == 5
    api.fault(faults.slow(20), times=None)
    asked = threading.Event()
    api.on_request = lambda *_: asked.set()
    running = installation.begin("run", api=api)
    assert asked.wait(30)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=20)

    assert running.returncode == 130
    assert (chat.asked, len(watchdog.asked)) == ([], 1)  # a lock becomes an incident only if it is held for long


@pytest.mark.slow
def test_an_error_before_the_accounts_are_known_is_an_incident_of_all_accounts(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis)
    with listening() as chat:
        add_hook(installation, chat.address)
        add(installation, "config.toml", '[sources.sendcloud.accounts."not a name"]')
        assert [installation.command("run").returncode for _ in range(2)] == [3, 3]
        configure(installation, {name: apis[name] for name in ("north", "south")})
        add_hook(installation, chat.address)
        apis["south"].fault(faults.refusal(401), times=None)
        assert installation.command("run").returncode == 3

    began, over = (message.splitlines()[1] for message in chat.messages)
    assert began.startswith("all accounts: failing since ")
    assert "'not a name' is not a valid account name" in began
    assert over.startswith("north: recovered after ")
    assert "(2 runs failed" in over


def test_an_incident_of_all_accounts_passes_to_each_configured_account() -> None:
    before = {ALL_ACCOUNTS: Incident(NINE, 2, is_told=True), "north": Incident(NINE, 7), "gone": Incident(NINE, 1)}

    now = update_incidents(before, failing=["south"], well=["north"], known=["north", "south", "east"], now=LATER)

    assert now == {
        "north": Incident(NINE, 7, well_at=LATER),
        "south": Incident(NINE, 3, is_told=True),
        "east": Incident(NINE, 2, is_told=True),
    }
    assert update_incidents(now, ["north"], [], ["north"], LATER) == {"north": Incident(LATER, 1)}
    assert update_incidents(before, [ALL_ACCOUNTS], [], [], LATER)["gone"] == before["gone"]
    assert before[ALL_ACCOUNTS].failed_runs == 2


def test_a_hook_added_during_an_incident_receives_a_message(installation: Installation, api: Sandbox) -> None:
    api.fault(faults.refusal(401), times=None)
    with listening() as chat:
        at = {"RUNTIME__SLACK_INCOMING_HOOK": chat.address}
        installation.command("run", api=api, **at)
        installation.command("run", api=api)
        assert incidents_file(installation) == []
        installation.command("run", api=api, **at)

    assert len(chat.messages) == 2


# failed deliveries


@pytest.mark.parametrize(
    ("answer", "why"),
    quick(
        [
            ({"status": 500}, "answered 500"),
            ({"status": 307, "location": "/elsewhere"}, "answered 307"),
            ({"status": None}, "RemoteDisconnected"),
            ({"drips": True}, "no answer within 1 s"),
        ]
    ),
)
def test_a_failed_delivery_fails_no_run_shows_no_address_and_is_repeated_by_the_next_run(
    installation: Installation,
    api: Sandbox,
    chat: Listening,
    watchdog: Listening,
    monkeypatch: pytest.MonkeyPatch,
    answer: dict[str, object],
    why: str,
) -> None:
    monkeypatch.setattr(alerts, "TIMEOUT_SECONDS", 1.0)
    said = []
    for name, value in answer.items():
        setattr(chat, name, value)
        setattr(watchdog, name, value)
    began = time.monotonic()
    said.append(installation.command("run", api=api, **EVERYTHING))
    api.fault(faults.refusal(401), times=None)
    said.append(installation.command("run", api=api, **EVERYTHING))
    assert time.monotonic() - began < 20  # each response would take 30 s, byte by byte
    healed = Listening()
    chat.status, chat.location, chat.drips = healed.status, healed.location, healed.drips
    said.append(installation.command("run", api=api, **EVERYTHING))

    assert [done.returncode for done in said] == [0, 3, 3]
    assert f"pickups: [alerts] ping_url: {why}. The run itself succeeded.\n" in said[0].stderr
    assert f"pickups: [runtime] slack_incoming_hook: {why}. The next run sends the message again.\n" in said[1].stderr
    assert [method for method, _ in chat.asked] == ["POST", "POST"]
    assert leaks(installation.folder, said) == []


@pytest.mark.slow
def test_an_unreachable_alert_host_fails_no_run(installation: Installation, api: Sandbox) -> None:
    with listening() as gone:
        pass
    where = {"RUNTIME__SLACK_INCOMING_HOOK": gone.address, "ALERTS__PING_URL": gone.address}

    good = installation.command("run", api=api, **where)
    api.fault(faults.refusal(401), times=None)
    bad = installation.command("run", api=api, **where)

    assert (good.returncode, bad.returncode) == (0, 3)
    assert "ping_url: ConnectionRefusedError." in good.stderr
    assert "slack_incoming_hook: ConnectionRefusedError." in bad.stderr
    assert leaks(installation.folder, [good, bad]) == []


@pytest.mark.parametrize("name", ["RUNTIME__SLACK_INCOMING_HOOK", "ALERTS__PING_URL"])
@pytest.mark.parametrize(
    "address",
    [
        "http://example.com/s3cret-path",
        "example.com/s3cret-path",
        "ftp://localhost/s3cret",
        "https://u:s3cret-path@example.com/",
        "ü",
    ],
)
def test_an_unsafe_alert_address_is_rejected_before_any_request_and_is_not_shown(
    installation: Installation, api: Sandbox, name: str, address: str
) -> None:
    with nothing_is_sent_to(api):
        done = installation.command("run", api=api, **{name: address})

    assert done.returncode == 3
    assert f"({name} in the environment) can't be used; it must be " in done.stderr
    assert "https" in done.stderr
    assert "s3cret" not in done.stderr
    assert not installation.warehouse.exists()


@pytest.mark.slow
def test_markup_in_an_api_error_is_escaped_in_a_message(
    installation: Installation, api: Sandbox, chat: Listening
) -> None:
    said = json.dumps({"error": {"message": "<!channel> & <http://evil.example|*us*>"}}).encode()
    api.fault(lambda due: replace(due, status=401, body=said), times=None)

    installation.command("run", api=api, HTTP_PROXY="http://127.0.0.1:9")  # requests to this machine bypass the proxy

    (message,) = chat.messages
    assert "&lt;!channel&gt; &amp; &lt;http://evil.example|*us*&gt;" in message
    assert "<" not in message


@pytest.mark.slow
def test_an_unexpected_error_is_reported_but_shortened(
    installation: Installation, api: Sandbox, chat: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError("0123456789" * 1_000)

    monkeypatch.setattr("pipelines.cli.run.execute_plan", fails)

    assert installation.command("run", api=api).returncode == 70

    line = chat.messages[0].splitlines()[1]
    assert "unexpected error, ZeroDivisionError: 0123456789" in line
    assert len(line) < 700


# the ping


def test_only_a_run_that_reads_every_account_sends_a_ping(installation: Installation, apis: dict[str, Sandbox]) -> None:
    configure(installation, apis)
    with listening() as watchdog:
        add(installation, "secrets.toml", "[alerts]", f"ping_url = '{watchdog.address}'")
        installation.command("run")
        assert [method for method, _ in watchdog.asked] == ["GET"]
        installation.command("run", "--account", "north")
        apis["south"].fault(faults.refusal(401), times=None)
        installation.command("run")

    assert len(watchdog.asked) == 1
