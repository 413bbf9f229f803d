"""Tells people how `pickups run` ended: a message when an account begins to fail, one when it is well again, a ping
when all is well. Nothing here fails a run or holds it for longer than two times SECONDS.
"""

from __future__ import annotations

import html
import platform
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from pipelines import incidents
from pipelines.accounts import account_names, one_of
from pipelines.errors import AnotherRun, Interrupted, NotConfigured, sentence_of
from pipelines.incidents import EVERY, Incident, Incidents
from pipelines.log_lines import note, say
from pipelines.project import find_project, inside, warehouse_path
from pipelines.receipt import Receipt
from pipelines.settings import readable, setting
from sources.sendcloud.origin import LOOPBACK, as_sent

HOOK, PING = "runtime.slack_incoming_hook", "alerts.ping_url"
SECONDS = 5.0
LONGEST = 600  # characters of a sentence; a chat is no log
NO_INCIDENT = (AnotherRun, Interrupted)  # the other run does the work; somebody wanted it to end


@dataclass
class Watched:
    """A run that people are told of. `accounts` are those that it reads, `known` all that are configured."""

    project: Path = Path()
    hook: str | None = None
    ping_url: str | None = None
    places: list[Path] = field(default_factory=list)  # where incidents are noted
    known: list[str] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)
    receipts: Sequence[Receipt] = ()


@contextmanager
def watched(account: str | None) -> Iterator[Watched]:
    """A run over all accounts or one, inside its project, whose end is told; what it left goes into `receipts`.

    Raises what the block raises, and NotConfigured for addresses that can't be, before anything is done.
    """
    run = Watched(find_project())
    run.places = [incidents.elsewhere(run.project)]
    try:
        try:
            with inside() as run.project:
                run.hook, run.ping_url = setting(HOOK), setting(PING)
                run.places = [warehouse_path(run.project).with_suffix(".incidents.json"), *run.places]
                run.known = account_names()
                run.accounts = [one_of(account)] if account else run.known
                yield run
        except NotConfigured:
            run.hook = run.hook or readable(HOOK, run.project)  # the settings were refused before this one was read
            raise
    except NO_INCIDENT:
        raise
    except Exception as error:
        if not (account and account not in run.known and run.known):  # a slip of the keyboard is nobody's incident
            _tell(run, dict.fromkeys(run.accounts or [EVERY], sentence_of(error)), [])
        raise
    failing = {receipt.account: _what_happened(receipt) for receipt in run.receipts if receipt.exit_code}
    well = [receipt.account for receipt in run.receipts if not receipt.exit_code]
    _tell(run, failing, well)
    if run.ping_url and {*well} >= {*run.known}:  # one account among several is no proof that all run
        _ping(run.ping_url)


def _what_happened(receipt: Receipt) -> str:
    if receipt.failure:
        return sentence_of(receipt.failure)
    checks = ", ".join(receipt.checks_failed)
    return f"A check that must pass did not, among {checks}; the pickups are loaded and published. See: pickups status"


def _tell(run: Watched, failing: Mapping[str, str], well: Sequence[str]) -> None:
    if not run.hook:
        incidents.write(run.places, {})  # or an old one would silence a hook that is put in later
        return
    known = [] if EVERY in failing else run.known
    now = datetime.now(UTC)

    def so_far() -> Incidents:
        return incidents.after(incidents.read(run.places), failing, well, known, now)

    told = _is_told(run, so_far(), failing)
    left = so_far()  # read anew: while a slow hook was waited for, a run of another account may have ended
    for name in told & left.keys():
        left[name].is_told = True
    incidents.write(run.places, {n: one for n, one in left.items() if not (one.well_at and n in told)})


def _is_told(run: Watched, current: Incidents, failing: Mapping[str, str]) -> set[str]:
    """Sends one message for all that begins or ends with this run; the accounts that it told of, none if not taken."""
    began = {name: one for name, one in current.items() if name in failing and not one.is_told}
    over = {name: one for name, one in current.items() if one.well_at}
    if not run.hook or not (began or over):
        return set()
    lines = [f"Sendcloud pickups on {platform.node()}, {run.project}", *_begun(began, failing), *_ended(over)]
    text = "\n".join(html.escape(line, quote=False) for line in lines)  # Slack's own three: & < >
    # dlt's send_slack_message waits for ever, follows redirects and raises with the address in it (dlt 1.31, 2026-11)
    content = {"text": text, "mrkdwn": False}
    problem = "[runtime] slack_incoming_hook: {}. The next run tells it again."
    if not _is_taken(run.hook, "POST", "alert_failed", problem, json=content):
        return set()
    note("alerted", failing=sorted(began), well=sorted(over))
    return began.keys() | over.keys()


def _begun(began: Incidents, failing: Mapping[str, str]) -> Iterator[str]:
    for sentence in dict.fromkeys(failing[name] for name in began):
        names = [name for name in began if failing[name] == sentence]
        since = min(began[name].since for name in names)
        short = sentence if len(sentence) <= LONGEST else f"{sentence[:LONGEST]} …"
        yield f"{_named(names)}: failing since {since:%Y-%m-%d %H:%M} UTC. {short}"
    if began:
        yield "Next message when it is well again; until then: pickups status"


def _ended(over: Incidents) -> Iterator[str]:
    for name, one in over.items():
        runs = {0: "failing", 1: "1 run failed"}.get(one.failed_runs, f"{one.failed_runs:,} runs failed")
        yield f"{_named([name])}: well again after {_lasted(one)} ({runs} since {one.since:%Y-%m-%d %H:%M} UTC)"


def _lasted(one: Incident) -> timedelta:
    return timedelta(seconds=round(((one.well_at or one.since) - one.since).total_seconds()))


def _named(names: Sequence[str]) -> str:
    return ", ".join("all accounts" if name == EVERY else name for name in names)


def _ping(address: str) -> None:
    if _is_taken(address, "GET", "ping_failed", "[alerts] ping_url: {}. The run itself is done."):
        note("pinged")


def _is_taken(address: str, method: str, event: str, problem: str, **content: Any) -> bool:
    """Whether it was answered with 2xx within SECONDS, names looked up and all; else says why not, in one line.

    The address is part of whatever requests says: of an error only the kind is told.
    """
    answers: list[int | str] = []

    def ask() -> None:
        try:
            with requests.Session() as session:
                # a proxy has no business between this machine and itself
                session.trust_env = urlsplit(as_sent(address)).hostname not in LOOPBACK
                how = {"allow_redirects": False, "stream": True, "timeout": SECONDS, **content}
                answers.append(session.request(method, address, **how).status_code)
        except Exception as error:  # whatever it is, the run is over and done
            answers.append(_innermost(error))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(SECONDS)  # requests' own limit is for each read, and none for looking up a name
    answer = answers[0] if answers else f"no answer within {SECONDS:g} s"
    if isinstance(answer, int) and 200 <= answer < 300:
        return True
    say(event, problem.format(f"answered {answer}" if isinstance(answer, int) else answer))
    return False


def _innermost(error: BaseException) -> str:
    while inner := error.__cause__ or error.__context__:
        error = inner
    return type(error).__name__
