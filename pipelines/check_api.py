"""Whether Sendcloud answers an account's keys: one page of one pickup, and what it says of this machine's clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from pipelines.account_settings import Settings, settings_of, source_of, where_to_look
from pipelines.errors import NotConfigured
from pipelines.finding import Finding, wrong
from pipelines.told import told
from sources.sendcloud import Reading, SendcloudCredentials, SendcloudError, address_of, version_of
from sources.sendcloud.client import Client, Reply
from sources.sendcloud.credentials import BASIC, OAUTH2
from sources.sendcloud.errors import BadReply, KeysMissing, Misconfigured, Refused
from sources.sendcloud.records import read_page

CLOCK_MAY_DIFFER = timedelta(seconds=60)
OF_A_CLOCK = ("not yet valid", "has expired")  # what TLS says of a good certificate where the clock is wrong


def api(account: str, where: str) -> Iterator[Finding]:
    """What there is to say about the account's keys, the API, and the clock."""
    try:
        settings = settings_of(account)
        source_of(settings, "head", Reading())  # what can't be is refused there
    except Exception as error:
        yield wrong(
            "settings" if isinstance(error, Misconfigured) and not isinstance(error, KeysMissing) else "keys",
            where_to_look(told(error, where), account),
            account,
        )
        return
    yield Finding("keys", "ok", " and ".join(settings["credentials"].pair()), account)
    try:
        reply = _first_page(settings)
        page = read_page(reply.body, account, version_of(settings["api_version"]), reply.link)
    except (SendcloudError, ValueError) as error:  # the second is msgspec's
        yield wrong("api", _explained(error, settings, account), account)
        return
    newest = max(page.rows["created_at"].to_pylist(), default=None)
    listed = f"newest pickup {newest:%Y-%m-%d %H:%M} UTC" if newest else "and lists nothing that can be read"
    yield Finding("api", "ok", f"{_address(settings)} answers, {listed}", account)
    yield _clock(reply.served_at, account)


def _explained(error: Exception, settings: Settings, account: str) -> Exception:
    """The error with what else is known of its cause."""
    if isinstance(error, Refused) and (swapped := _swapped(settings, account)):
        return swapped
    if isinstance(error, ValueError):
        return BadReply("pickups", f"200, but not a page of pickups: {error}")
    error = where_to_look(error, account)
    if any(words in str(error) for words in OF_A_CLOCK):
        error.args = (f"{error} This machine's clock says {_now():%Y-%m-%d %H:%M} UTC: is that right?",)
    return error


def _first_page(settings: Settings) -> Reply:
    """One try, for whoever asks waits for the answer."""
    version, token_url = version_of(settings["api_version"]), settings["token_url"]
    client = Client(_address(settings), settings["credentials"], 1, token_url=token_url, version=version)
    return client.get(client.first_page(1))


def _address(settings: Settings) -> str:
    """What is asked, which of the versions it is included."""
    return address_of(settings["base_url"], version_of(settings["api_version"]))


def _swapped(settings: Settings, account: str) -> NotConfigured | None:
    """The error where the two keys work the other way round; both go to the same origin as before."""
    pair: dict[str, str] = settings["credentials"].pair()
    public, secret = BASIC if tuple(pair) == BASIC else OAUTH2
    other_way_round = SendcloudCredentials(**{public: pair[secret], secret: pair[public]})
    try:
        _first_page({**settings, "credentials": other_way_round})
    except SendcloudError:
        return None
    return NotConfigured(
        f"{public} and {secret} of account {account!r} are swapped: Sendcloud takes them the other way."
    )


def _clock(served_at: datetime, account: str) -> Finding:
    ahead = _now() - served_at
    if abs(ahead) <= CLOCK_MAY_DIFFER:
        return Finding("clock", "ok", "as Sendcloud's", account)
    differs = f"{abs(ahead).total_seconds():,.0f} s {'ahead of' if ahead > timedelta(0) else 'behind'} Sendcloud's"
    said = f"this machine's clock is {differs} ({served_at:%Y-%m-%d %H:%M} UTC). What is loaded does not mind; TLS,"
    return Finding("clock", "look", f"{said} schedules and the age in pickups status do. Let NTP set it", account)


def _now() -> datetime:
    return datetime.now(UTC)
