"""A message when an account begins to fail, one when it is well again, a ping when all is well; and nothing else."""

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

from pipelines import alerts, pickups
from pipelines.incidents import EVERY, Incident, after
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
    """Where messages go; its address is in secrets.toml."""
    with listening() as chat:
        hooked(installation, chat.address)
        yield chat


@pytest.fixture
def watchdog(installation: Installation) -> Iterator[Listening]:
    """Where pings go."""
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


def hooked(installation: Installation, address: str) -> None:
    add(installation, "secrets.toml", "[runtime]", f"slack_incoming_hook = '{address}'")


def incidents_file(installation: Installation) -> list[str]:
    return [path.name for path in installation.folder.rglob("*incidents*")]


# incidents


def test_an_incident_is_told_once_when_it_begins_and_once_when_it_is_over(
    installation: Installation, api: Sandbox, chat: Listening
) -> None:
    """Another error meanwhile is the same incident."""
    assert installation.command("run", api=api).returncode == 0
    assert chat.messages == []
    codes = []
    for fault in (faults.status(401), faults.status(401), faults.status(503)):
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
    assert ".dlt/secrets.toml" in line  # what to do
    assert "pickups status" in foot
    assert re.fullmatch(
        r"default: well again after 0:00:\d\d \(3 runs failed since 20\d\d-.* UTC\)", over.splitlines()[1]
    )
    assert chat.asked == [("POST", chat.asked[0][1])] * 2
    assert [body["mrkdwn"] for body in chat.bodies] == [False, False]


@pytest.mark.slow
def test_one_message_tells_of_every_account_that_begins_or_ends_with_the_run(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis)
    with listening() as chat:
        hooked(installation, chat.address)
        apis["south"].fault(faults.status(401), times=None)
        apis["east"].fault(faults.status(401), times=None)
        installation.command("run")
        apis["south"].heal()
        apis["north"].fault(faults.status(503), times=None)
        installation.command("run")

    first, second = (message.splitlines()[1:] for message in chat.messages)
    assert [line.split(": ")[0] for line in first[:-1]] == ["south", "east"]
    assert [line.split(": ")[0] for line in second if "Next message" not in line] == ["north", "south"]


@pytest.mark.slow
def test_a_run_of_one_account_says_nothing_of_the_others(installation: Installation, apis: dict[str, Sandbox]) -> None:
    configure(installation, apis)
    with listening() as chat:
        hooked(installation, chat.address)
        apis["south"].fault(faults.status(401), times=None)
        installation.command("run")
        installation.command("run", "--account", "north")
        assert len(chat.messages) == 1
        apis["south"].heal()
        installation.command("run", "--account", "south")

    assert [line.split(": ")[0] for line in chat.messages[1].splitlines()[1:]] == ["south"]


@pytest.mark.slow
def test_a_first_run_without_keys_and_a_warehouse_that_cannot_be_opened_are_incidents(
    installation: Installation, api: Sandbox, chat: Listening
) -> None:
    assert [installation.command("run").returncode for _ in range(2)] == [3, 3]
    assert "Settings are missing: public_key, secret_key" in chat.messages[0]
    assert installation.command("run", api=api).returncode == 0
    installation.warehouse.write_bytes(b"no warehouse" * 1_000)
    assert [installation.command("run", api=api).returncode for _ in range(2)] == [6, 6]
    installation.warehouse.unlink()
    assert installation.command("run", api=api).returncode == 0

    assert [" well again " in message for message in chat.messages] == [False, True, False, True]


@pytest.mark.slow
def test_where_it_cannot_be_noted_beside_the_warehouse_it_is_told_once_too(
    installation: Installation, api: Sandbox, chat: Listening
) -> None:
    in_the_way = installation.folder / "data"
    in_the_way.write_text("a file where a folder should be")
    assert [installation.command("run", api=api).returncode for _ in range(3)] == [6, 6, 6]
    in_the_way.unlink()
    assert installation.command("run", api=api).returncode == 0

    assert [" well again " in message for message in chat.messages] == [False, True]
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


def test_where_it_can_be_noted_nowhere_every_run_tells_of_it(
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
def test_a_setting_that_stops_every_run_is_told_once_with_its_place(
    installation: Installation, api: Sandbox, chat: Listening, setting: str
) -> None:
    config = installation.folder / ".dlt" / "config.toml"
    config.write_text(setting)
    done = [installation.command("run", api=api) for _ in range(2)]
    config.write_text("")
    assert installation.command("run", api=api).returncode == 0

    assert [one.returncode for one in done] == [3, 3]
    assert f"{config}: {setting.splitlines()[0]} {setting.splitlines()[1].split()[0]} is " in done[0].stderr
    assert [" well again " in message for message in chat.messages] == [False, True]


def test_a_slip_of_the_keyboard_is_nobodys_incident(
    installation: Installation, apis: dict[str, Sandbox], api: Sandbox
) -> None:
    with listening() as chat:
        hooked(installation, chat.address)
        assert installation.command("run", "--account", "defualt", api=api).returncode == 3
        configure(installation, apis)
        hooked(installation, chat.address)
        done = installation.command("run", "--account", "nroth")

    assert done.returncode == 3
    assert "(did you mean north?)" in done.stderr
    assert chat.messages == []
    assert not installation.warehouse.exists()


@pytest.mark.slow
def test_on_a_full_disk_it_is_told_once_too(installation: Installation, api: Sandbox, chat: Listening) -> None:
    """From the moment that the run reads on, no file may grow beyond a byte."""
    installation.command("run", api=api)
    for _ in range(2):
        api.world.book(created_at=NOW)
        full = installation.begin("full", "extract", "1", "run", api=api, module="tests.support.instants")
        full.communicate(timeout=60)
        assert full.returncode == 6
    assert installation.command("run", api=api).returncode == 0

    began, over = (message.splitlines()[1] for message in chat.messages)
    assert "default: failing since" in began
    assert re.fullmatch(r"default: well again after 0:00:\d\d \(failing since 20.* UTC\)", over)
    assert incidents_file(installation) == []


def test_a_check_that_must_pass_is_an_incident(installation: Installation, api: Sandbox, chat: Listening) -> None:
    api.world.book(created_at=NOW)
    installation.command("run", api=api)
    with duckdb.connect(str(installation.warehouse)) as connection:
        connection.execute("insert into sendcloud.pickups from sendcloud.pickups")

    assert installation.command("run", api=api).returncode == 1

    assert "A check that must pass did not, among unique_key" in chat.messages[0]


@pytest.mark.slow
def test_another_run_and_ctrl_c_are_no_incident(
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
    assert (chat.asked, len(watchdog.asked), incidents_file(installation)) == ([], 1, [])


@pytest.mark.slow
def test_before_the_accounts_are_known_it_is_every_accounts_incident(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis)
    with listening() as chat:
        hooked(installation, chat.address)
        add(installation, "config.toml", '[sources.sendcloud.accounts."not a name"]')
        assert [installation.command("run").returncode for _ in range(2)] == [3, 3]
        configure(installation, {name: apis[name] for name in ("north", "south")})
        hooked(installation, chat.address)
        apis["south"].fault(faults.status(401), times=None)
        assert installation.command("run").returncode == 3

    began, over = (message.splitlines()[1] for message in chat.messages)
    assert began.startswith("all accounts: failing since ")
    assert "'not a name' can't be an account's name" in began
    assert over.startswith("north: well again after ")
    assert "(2 runs failed" in over


def test_what_was_every_accounts_incident_is_each_accounts_and_a_removed_one_has_none() -> None:
    before = {EVERY: Incident(NINE, 2, is_told=True), "north": Incident(NINE, 7), "gone": Incident(NINE, 1)}

    now = after(before, failing=["south"], well=["north"], known=["north", "south", "east"], now=LATER)

    assert now == {
        "north": Incident(NINE, 7, well_at=LATER),
        "south": Incident(NINE, 3, is_told=True),
        "east": Incident(NINE, 2, is_told=True),
    }
    assert after(now, ["north"], [], ["north"], LATER) == {"north": Incident(LATER, 1)}
    assert after(before, [EVERY], [], [], LATER)["gone"] == before["gone"]
    assert before[EVERY].failed_runs == 2


def test_a_hook_that_is_put_in_later_hears_of_what_still_fails(installation: Installation, api: Sandbox) -> None:
    api.fault(faults.status(401), times=None)
    with listening() as chat:
        at = {"RUNTIME__SLACK_INCOMING_HOOK": chat.address}
        installation.command("run", api=api, **at)
        installation.command("run", api=api)
        assert incidents_file(installation) == []
        installation.command("run", api=api, **at)

    assert len(chat.messages) == 2


# what can't be delivered


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
def test_a_message_that_is_not_taken_fails_no_run_shows_no_address_and_is_told_by_the_next(
    installation: Installation,
    api: Sandbox,
    chat: Listening,
    watchdog: Listening,
    monkeypatch: pytest.MonkeyPatch,
    answer: dict[str, object],
    why: str,
) -> None:
    monkeypatch.setattr(alerts, "SECONDS", 1.0)
    said = []
    for name, value in answer.items():
        setattr(chat, name, value)
        setattr(watchdog, name, value)
    began = time.monotonic()
    said.append(installation.command("run", api=api, **EVERYTHING))
    api.fault(faults.status(401), times=None)
    said.append(installation.command("run", api=api, **EVERYTHING))
    assert time.monotonic() - began < 20  # each drips for 30 s
    healed = Listening()
    chat.status, chat.location, chat.drips = healed.status, healed.location, healed.drips
    said.append(installation.command("run", api=api, **EVERYTHING))

    assert [done.returncode for done in said] == [0, 3, 3]
    assert f"pickups: [alerts] ping_url: {why}. The run itself is done.\n" in said[0].stderr
    assert f"pickups: [runtime] slack_incoming_hook: {why}. The next run tells it again.\n" in said[1].stderr
    assert [method for method, _ in chat.asked] == ["POST", "POST"]
    assert leaks(installation.folder, said) == []


@pytest.mark.slow
def test_a_host_that_is_not_there_fails_no_run(installation: Installation, api: Sandbox) -> None:
    with listening() as gone:
        pass
    where = {"RUNTIME__SLACK_INCOMING_HOOK": gone.address, "ALERTS__PING_URL": gone.address}

    good = installation.command("run", api=api, **where)
    api.fault(faults.status(401), times=None)
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
def test_an_address_that_would_give_it_away_is_refused_before_anything_is_done_and_is_not_shown(
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
def test_what_the_api_says_is_no_markup_in_a_message(installation: Installation, api: Sandbox, chat: Listening) -> None:
    said = json.dumps({"error": {"message": "<!channel> & <http://evil.example|*us*>"}}).encode()
    api.fault(lambda due: replace(due, status=401, body=said), times=None)

    installation.command("run", api=api, HTTP_PROXY="http://127.0.0.1:9")  # no proxy is asked on this machine

    (message,) = chat.messages
    assert "&lt;!channel&gt; &amp; &lt;http://evil.example|*us*&gt;" in message
    assert "<" not in message


@pytest.mark.slow
def test_an_error_that_nobody_foresaw_is_told_too_but_not_whole(
    installation: Installation, api: Sandbox, chat: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError("0123456789" * 1_000)

    monkeypatch.setattr(pickups, "run_accounts", fails)

    assert installation.command("run", api=api).returncode == 70

    line = chat.messages[0].splitlines()[1]
    assert "an error that nobody foresaw, ZeroDivisionError: 0123456789" in line
    assert len(line) < 700


# the ping


def test_a_ping_says_that_every_account_was_read(installation: Installation, apis: dict[str, Sandbox]) -> None:
    configure(installation, apis)
    with listening() as watchdog:
        add(installation, "secrets.toml", "[alerts]", f"ping_url = '{watchdog.address}'")
        installation.command("run")
        assert [method for method, _ in watchdog.asked] == ["GET"]
        installation.command("run", "--account", "north")
        apis["south"].fault(faults.status(401), times=None)
        installation.command("run")

    assert len(watchdog.asked) == 1
