"""Finds out which versions of the API an account's keys open, with one request per version."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.config.account_settings import SourceSettings
from pipelines.finding import Finding
from sources.sendcloud import SendcloudError
from sources.sendcloud.api.version import Version
from sources.sendcloud.api.versions import VERSIONS
from sources.sendcloud.errors import AuthError
from sources.sendcloud.http.client import Client
from sources.sendcloud.settings import address_of, version_of

GUIDE = "See docs/how-to/api-v3.md"


def version_findings(settings: SourceSettings, account: str, *, is_open: bool) -> Iterator[Finding]:
    """Yields a finding about the version that the account does not use. Sends one request, for a single pickup.

    Sendcloud documents no way to ask which versions an integration may use, so an answer is the only evidence. Nothing
    is yielded if the address does not name a version, or if neither version accepts the keys.

    Args:
        settings: the account's settings.
        account: the name of the account.
        is_open: whether the API accepted the keys in the version that the account uses.
    """
    used = version_of(settings["api_version"])
    (other,) = (version for version in VERSIONS.values() if version is not used)
    if (address := _address_in(other, address_of(settings["base_url"], used), used)) is None:
        return
    try:
        _request_one(settings, address, other)
    except AuthError:
        if is_open:
            message = f"{used.name} answers with these keys; {other.name} refused them"
            yield Finding("opens", "ok", message, account)
    except SendcloudError as error:
        if is_open:
            message = (
                f"{used.name} answers with these keys; {other.name} gave no usable answer ({type(error).__name__})"
            )
            yield Finding("opens", "ok", message, account)
    else:
        if is_open:
            yield Finding("opens", "ok", f"{used.name} and {other.name} answer with these keys", account)
        else:
            problem = f"{other.name} answers with these keys, but the account uses {used.name}"
            yield Finding("opens", "warning", f'{problem}. Set api_version = "{other.name}". {GUIDE}', account)


def _address_in(other: Version, address: str, used: Version) -> str | None:
    root, _, last = address.rstrip("/").rpartition("/")
    return f"{root}/{other.name}" if last == used.name else None


def _request_one(settings: SourceSettings, address: str, version: Version) -> None:
    client = Client(address, settings["credentials"], 1, token_url=settings["token_url"], version=version)
    client.get(client.first_page(1))
