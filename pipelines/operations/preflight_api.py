"""Checks an account's API access by requesting the first page, and compares this machine's clock with the API's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.config.account_settings import (
    SourceSettings,
    build_source,
    resolve_account_settings,
    with_setting_location,
)
from pipelines.finding import Finding, error_finding
from pipelines.loading.dlt_errors import translate_error
from pipelines.loading.plan import RunPlan
from pipelines.operations.preflight_versions import version_findings
from sources.sendcloud import ReadStats, SendcloudCredentials, SendcloudError
from sources.sendcloud.errors import AuthError, BadResponse, SettingsError
from sources.sendcloud.http.client import Client, PageResponse
from sources.sendcloud.http.credentials import BASIC, OAUTH2
from sources.sendcloud.reading.bookings import judge_by_bookings
from sources.sendcloud.reading.clocks import ClockReading
from sources.sendcloud.records.decode import Page, decode_page
from sources.sendcloud.settings import address_of, version_of

MAX_CLOCK_DIFFERENCE = timedelta(seconds=60)
CLOCK_ERRORS = ("not yet valid", "has expired")  # TLS errors that a wrong clock causes even with a valid certificate


def api_findings(account: str, plan: RunPlan, where: str) -> Iterator[Finding]:
    """Yields the findings about the account's credentials, the API and the clock. Requires an active project.

    If the settings are invalid or the request fails, later checks are skipped.

    Args:
        account: the name of the account.
        plan: a plan with all configured accounts.
        where: the destination, as described in messages.
    """
    try:
        settings = resolve_account_settings(account, plan.sections, plan.key_owners)
        build_source(settings, "head", ReadStats())  # raises SettingsError for an invalid setting
    except Exception as error:
        what = "settings" if getattr(error, "setting", None) not in (None, "credentials") else "keys"
        yield error_finding(what, with_setting_location(translate_error(error, where), account), account)
        return
    yield Finding("keys", "ok", " and ".join(settings["credentials"].pair()), account)
    try:
        reply = request_first_page(settings)
        page = decode_page(reply.body, account, version_of(settings["api_version"]), reply.link)
    except (SendcloudError, ValueError) as error:  # msgspec raises ValueError
        yield error_finding("api", _explain(error, settings, account), account)
        if isinstance(error, AuthError | SettingsError):
            yield from version_findings(settings, account, is_open=False)
        return
    newest = max(page.rows["created_at"].to_pylist(), default=None)
    listed = f"newest pickup {newest:%Y-%m-%d %H:%M} UTC" if newest else "but its first page has no readable pickup"
    yield Finding("api", "ok", f"{api_address(settings)} answers, {listed}", account)
    yield from version_findings(settings, account, is_open=True)
    yield from _record_findings(page, account)
    yield _clock_finding(reply.served_at, page.rows["created_at"], account)


def _explain(error: Exception, settings: SourceSettings, account: str) -> Exception:
    """Returns the error with more detail about its cause: swapped keys, a body that is not a page, or a wrong clock."""
    if isinstance(error, AuthError) and (swapped := _swapped_keys(settings, account)):
        return swapped
    if isinstance(error, ValueError):
        return BadResponse("pickups", f"200, but not a page of pickups: {error}")
    error = with_setting_location(error, account)
    if any(words in str(error) for words in CLOCK_ERRORS):
        error.args = (f"{error} This machine's clock says {_now():%Y-%m-%d %H:%M} UTC; check that it is correct.",)
    return error


def request_first_page(settings: SourceSettings) -> PageResponse:
    """Requests the first page as a run does, but makes only one attempt, because `pickups check` is interactive."""
    version, token_url = version_of(settings["api_version"]), settings["token_url"]
    client = Client(api_address(settings), settings["credentials"], 1, token_url=token_url, version=version)
    return client.get(client.first_page(settings["page_size"]))


def api_address(settings: SourceSettings) -> str:
    """Returns the address of the account's API, including its version."""
    return address_of(settings["base_url"], version_of(settings["api_version"]))


def _swapped_keys(settings: SourceSettings, account: str) -> SettingsError | None:
    """Returns the error to report if the API accepts the two keys the other way round, else None.

    The swapped keys are sent only to the origin that has already received them.
    """
    pair: dict[str, str] = settings["credentials"].pair()
    public, secret = BASIC if tuple(pair) == BASIC else OAUTH2
    other_way_round = SendcloudCredentials(**{public: pair[secret], secret: pair[public]})
    try:
        request_first_page({**settings, "credentials": other_way_round})
    except SendcloudError:
        return None
    swapped = f"{public} and {secret} of account {account!r} are swapped"
    return SettingsError(f"{swapped}: Sendcloud accepts them the other way round.")


def _record_findings(page: Page, account: str) -> Iterator[Finding]:
    """Yields a warning if the newest record can't be loaded, or can be loaded only without some of its fields."""
    if page.rejected:
        message = f"the newest record can't be loaded ({page.rejected[0].reason}); a run keeps it in quarantine"
        remedy = "If more than 1 % of a run's records are like this, the run exits with code 1: contact Sendcloud"
        yield Finding("records", "warning", f"{message}. {remedy}", account)
    if page.unreadable_fields:
        named = ", ".join(sorted(page.unreadable_fields))
        message = f"the newest record has fields that can't be read: {named}. A run loads the record without them"
        yield Finding("records", "warning", f"{message} and keeps their values in extra: contact Sendcloud", account)


def _clock_finding(served_at: datetime, bookings: Any, account: str) -> Finding:
    now = _now()
    ahead = now - served_at
    if abs(ahead) <= MAX_CLOCK_DIFFERENCE:
        return Finding("clock", "ok", "agrees with Sendcloud's clock", account)
    differs = f"{abs(ahead).total_seconds():,.0f} s {'ahead of' if ahead > timedelta(0) else 'behind'} Sendcloud's"
    as_of = judge_by_bookings([ClockReading(served_at, now)], bookings, None).as_of
    message = f"this machine's clock is {differs} ({served_at:%Y-%m-%d %H:%M} UTC)."
    message += f" A run would use {as_of:%Y-%m-%d %H:%M} UTC as the current time."
    message += " This affects TLS, schedules and the ages in pickups status. Synchronize the clock with NTP"
    return Finding("clock", "warning", message, account)


def _now() -> datetime:
    return datetime.now(UTC)
