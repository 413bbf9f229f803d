"""Sends alerts after `pickups run`: a message when an account begins to fail, a message when it recovers, and a ping.

The ping is sent after a run in which every configured account succeeded. Alerts never make a run fail, and they delay
it by at most twice TIMEOUT_SECONDS. change_alerts.py sends messages about changed rates.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests

from pipelines.config.accounts import UnknownAccount
from pipelines.config.project import warehouse_path
from pipelines.config.secret_files import readable_secret
from pipelines.config.settings import get_setting, readable_value
from pipelines.errors import Interrupted, RunInProgress, one_line
from pipelines.json_logs import log_event, print_or_log
from pipelines.operations import incidents
from pipelines.operations.incidents import ALL_ACCOUNTS, LOCKED_OUT, UNKNOWN_HOLDER, Incidents, is_due
from pipelines.output import visible
from pipelines.receipt import Receipt
from sources.sendcloud.errors import SettingsError
from sources.sendcloud.http.network_variables import check_certificates, check_proxies
from sources.sendcloud.http.origins import LOOPBACK, normalize_url

HOOK_SETTING, PING_SETTING = "runtime.slack_incoming_hook", "alerts.ping_url"
CHANGE_SETTING = "alerts.on_change"
TIMEOUT_SECONDS = 5.0
MAX_CHARACTERS = 600  # Longer error texts are truncated, because a chat is not a log.
# These errors need no alert: you pressed Ctrl-C, or the account's name has a typo.
IGNORED_ERRORS = (Interrupted, UnknownAccount)


class AlertSettings(NamedTuple):
    """The addresses to which alerts are sent, and the files that store incidents.

    Attributes:
        project: the project folder.
        incident_files: the files that can store incidents, in order of preference.
        hook: the address for messages, or None.
        ping_url: the address for pings, or None.
        locked_out_hours: the number of hours after which a lock that is still held is reported.
        on_change: whether to send a message when a carrier's cancellation rate has changed.
    """

    project: Path
    incident_files: list[Path]
    hook: str | None = None
    ping_url: str | None = None
    locked_out_hours: float = 2.0
    on_change: bool = False


def fallback_settings(project: Path) -> AlertSettings:
    """Returns the settings that are known before the project's configuration is read: no addresses and one file."""
    return AlertSettings(project, [incidents.fallback_path(project)])


def read_settings(project: Path) -> AlertSettings:
    """Returns the project's alert settings. Requires an active project.

    Raises:
        SettingsError: an address is invalid.
    """
    hook, ping_url, limit = (get_setting(key) for key in (HOOK_SETTING, PING_SETTING, "status.max_age_hours"))
    beside_warehouse = warehouse_path(project).with_suffix(".incidents.json")
    files = [beside_warehouse, incidents.fallback_path(project)]
    return AlertSettings(project, files, hook, ping_url, limit, get_setting(CHANGE_SETTING))


def notify_run(settings: AlertSettings, receipts: Sequence[Receipt], configured: Sequence[str]) -> None:
    """Reports the accounts that began to fail or recovered in this run. Sends a ping if all configured accounts
    succeeded.

    Args:
        settings: the project's alert settings.
        receipts: the receipts of the run. An account has failed if its receipt's exit code is not 0.
        configured: the names of all configured accounts.
    """
    if settings.hook and (restored := next((r.warehouse_restored for r in receipts if r.warehouse_restored), None)):
        post_message(
            settings.hook, [heading(settings), restored], "[runtime] slack_incoming_hook: {}. See the receipt."
        )
    failing = {receipt.account: _describe_failure(receipt) for receipt in receipts if receipt.exit_code}
    well = [receipt.account for receipt in receipts if not receipt.exit_code]
    _notify(settings, failing, [*well, LOCKED_OUT], configured)
    if settings.ping_url and {*well} >= {*configured}:  # a run of some accounts doesn't prove that all accounts work
        send_ping(settings.ping_url)


def send_ping(url: str) -> None:
    """Requests the address. If it is not accepted, prints the reason as one line."""
    if _is_accepted(url, "GET", "ping_failed", "[alerts] ping_url: {}. The run itself succeeded."):
        log_event("pinged")


def notify_failure(
    settings: AlertSettings, error: Exception, accounts: Sequence[str] = (), configured: Sequence[str] = ()
) -> None:
    """Reports an error that stopped the whole run.

    Args:
        settings: the project's alert settings, or `fallback_settings`.
        error: the error. Errors in IGNORED_ERRORS are not reported. A held lock is reported after `locked_out_hours`
            or, if the holder is unknown, when a second run finds the lock held.
        accounts: the names of the run's accounts; empty if the error occurred before they were known.
        configured: the names of all configured accounts; empty if they are unknown.
    """
    if isinstance(error, RunInProgress):
        accounts = [LOCKED_OUT if error.is_holder_known else UNKNOWN_HOLDER]
    elif isinstance(error, IGNORED_ERRORS):
        return
    if isinstance(error, SettingsError) and not settings.hook:  # another setting was rejected before the hook was read
        hook = readable_secret(HOOK_SETTING, settings.project) or readable_value(HOOK_SETTING, settings.project)
        settings = settings._replace(hook=hook)
    _notify(settings, dict.fromkeys(accounts or [ALL_ACCOUNTS], one_line(error)), [], configured)


def _describe_failure(receipt: Receipt) -> str:
    if receipt.failure:
        return one_line(receipt.failure)
    failed = f"A must-pass check failed (failed checks: {', '.join(receipt.checks_failed)})"
    return f"{failed}; the pickups are loaded and published. See: pickups status"


def _notify(
    settings: AlertSettings, failing: Mapping[str, str], well: Sequence[str], configured: Sequence[str]
) -> None:
    if not settings.hook:
        # otherwise, an old incident would suppress the first message after a hook is configured
        incidents.write_incidents(settings.incident_files, {})
        return
    known = [] if ALL_ACCOUNTS in failing else configured
    now = datetime.now(UTC)

    def so_far() -> Incidents:
        return incidents.update_incidents(incidents.read_incidents(settings.incident_files), failing, well, known, now)

    reported = _send_message(settings, so_far(), failing, now)
    left = so_far()  # the file is read again, because a run of another account may have ended during a slow request
    for name in reported & left.keys():
        left[name].is_told = True
        if left[name].well_at:
            del left[name]
    incidents.write_incidents(settings.incident_files, left)


def _send_message(settings: AlertSettings, current: Incidents, failing: Mapping[str, str], now: datetime) -> set[str]:
    """Sends one message about all incidents that begin or end with this run.

    Returns the accounts reported in the message. The set is empty if there is nothing to report or if the hook did not
    accept the message.
    """
    due = {name for name, one in current.items() if is_due(name, one, settings.locked_out_hours, now)}
    began = {name: current[name] for name in current if name in due and name in failing}
    over = {name: one for name, one in current.items() if one.well_at}
    if not settings.hook or not (began or over):
        return set()
    lines = [heading(settings), *_failing_lines(began, failing), *_recovered_lines(over)]
    problem = "[runtime] slack_incoming_hook: {}. The next run sends the message again."
    if not post_message(settings.hook, lines, problem):
        return set()
    log_event("alerted", failing=sorted(began), well=sorted(over))
    return began.keys() | over.keys()


def heading(settings: AlertSettings) -> str:
    return f"Sendcloud pickups on {platform.node()}, {settings.project}"


def post_message(hook: str, lines: Sequence[str], problem: str) -> bool:
    """Sends one message and returns whether the hook accepted it. `problem` is the line to print on failure."""
    import html  # its table of entities takes 1 ms to build

    text = "\n".join(html.escape(visible(line), quote=False) for line in lines)  # Slack requires &<> to be escaped.
    # The function `send_slack_message` in dlt has no timeout, follows redirects and includes the address in errors (dlt
    # 1.31, 2026-11).
    return _is_accepted(hook, "POST", "alert_failed", problem, json={"text": text, "mrkdwn": False})


def _failing_lines(began: Incidents, failing: Mapping[str, str]) -> Iterator[str]:
    for sentence in dict.fromkeys(failing[name] for name in began):
        names = [name for name in began if failing[name] == sentence]
        since = min(began[name].since for name in names)
        short = sentence if len(sentence) <= MAX_CHARACTERS else f"{sentence[:MAX_CHARACTERS]} …"
        yield f"{_format_accounts(names)}: failing since {since:%Y-%m-%d %H:%M} UTC. {short}"
    if began:
        yield "The next message is sent when the account recovers. Until then, see: pickups status"


def _recovered_lines(over: Incidents) -> Iterator[str]:
    for name, one in over.items():
        runs = {0: "failing", 1: "1 run failed"}.get(one.failed_runs, f"{one.failed_runs:,} runs failed")
        lasted = timedelta(seconds=round(((one.well_at or one.since) - one.since).total_seconds()))
        yield f"{_format_accounts([name])}: recovered after {lasted} ({runs} since {one.since:%Y-%m-%d %H:%M} UTC)"


def _format_accounts(names: Sequence[str]) -> str:
    return ", ".join("all accounts" if name in (ALL_ACCOUNTS, LOCKED_OUT, UNKNOWN_HOLDER) else name for name in names)


def _is_accepted(address: str, method: str, event: str, problem: str, **content: Any) -> bool:
    """Returns whether the address responds with 2xx within TIMEOUT_SECONDS, including the DNS lookup.

    If the request fails, the reason is printed or logged as one line. Error messages from the requests library contain
    the address, which is secret, so only the error's class name is reported.
    """
    answers: list[int | str] = []

    def ask() -> None:
        try:
            with requests.Session() as session:
                # a request to this machine must not go through a proxy
                session.trust_env = urlsplit(normalize_url(address)).hostname not in LOOPBACK
                if session.trust_env:
                    check_certificates()
                    check_proxies(address)
                how = {"allow_redirects": False, "stream": True, "timeout": TIMEOUT_SECONDS, **content}
                how["auth"] = lambda request: request  # otherwise requests would send the host's password in ~/.netrc
                answers.append(session.request(method, address, **how).status_code)
        except SettingsError as error:  # the message names a variable, not the address
            answers.append(str(error).removesuffix("."))
        except Exception as error:  # an alert must never make the run fail
            answers.append(_innermost(error))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(TIMEOUT_SECONDS)  # the `requests` timeout applies to each read but not to the DNS lookup
    answer = answers[0] if answers else f"no answer within {TIMEOUT_SECONDS:g} s"
    if isinstance(answer, int) and 200 <= answer < 300:
        return True
    print_or_log(event, problem.format(f"answered {answer}" if isinstance(answer, int) else answer))
    return False


def _innermost(error: BaseException) -> str:
    while inner := error.__cause__ or error.__context__:
        error = inner
    return type(error).__name__
