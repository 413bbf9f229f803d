"""Asks until there is an answer, and calls by its name why there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import requests
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.configuration.specs import RuntimeConfiguration
from dlt.sources.helpers.requests import Client as RetryingClient
from dlt.sources.helpers.requests.retry import DEFAULT_RETRY_EXCEPTIONS
from requests.auth import AuthBase
from requests.exceptions import ContentDecodingError

from .answer import Unusable, asked_to_wait, holds_object
from .errors import BadReply, Unavailable
from .keys import Keys
from .origin import LOOPBACK
from .wire import Wire


class Asking:
    """Asks for what lies at or below one address, which a setting names; again where that may help.

    `message_of` tells what an answer says that may be shown; of a 200, too.
    """

    def __init__(
        self,
        setting: str,
        address: str,
        keys: Keys,
        wire: Wire,
        max_attempts: int,
        message_of: Callable[[requests.Response], str],
    ) -> None:
        self._setting, self._keys, self._wire, self._message_of = setting, keys, wire, message_of
        runtime = resolve_configuration(RuntimeConfiguration())
        self._longest_wait = runtime.request_max_retry_delay
        retrying = RetryingClient(
            request_timeout=runtime.request_timeout,
            request_max_attempts=max_attempts,
            request_backoff_factor=runtime.request_backoff_factor,
            request_max_retry_delay=runtime.request_max_retry_delay,
            raise_for_status=False,
            status_codes=(),
            exceptions=(*DEFAULT_RETRY_EXCEPTIONS, ContentDecodingError),
            retry_condition=self._is_worth_another_try,
        )
        self._session = retrying.session
        if urlsplit(address).hostname in LOOPBACK:
            self._session.trust_env = False  # a proxy has no business between this machine and itself
        self._session.mount("http://", wire)
        self._session.mount("https://", wire)

    def ask(self, method: str, url: str, path: str, auth: AuthBase | tuple[str, str], **how: Any) -> requests.Response:
        """The answer: not a busy one, and a 200 only with a JSON object in which no key of ours stands.

        Redirects are not followed. Raises Unavailable, or BadReply for an answer that can't be used, see errors.py;
        `path` is what they call the address.
        """
        response = self._answer(method, url, path, auth, **how)
        if is_busy(response):
            wait = asked_to_wait(response.headers)
            asks = f", and it asks to wait {wait:,.0f} s" if wait > self._longest_wait else ""
            evidence = f"{response.status_code} {self.said(response)}".strip() + asks
            raise Unavailable(path, evidence, self._wire.tries, method)
        if response.status_code == 200 and not holds_object(response):
            kind = self._keys.masked(response.headers.get("Content-Type", "no content type"))
            evidence = f"200, but no JSON page ({kind}): {self.said(response)}".removesuffix(": ")
            raise Unavailable(path, evidence, self._wire.tries, method)
        link = response.headers.get("Link", "").encode("latin-1", "replace")
        if response.status_code == 200 and (self._keys.stand_in(response.content) or self._keys.stand_in(link)):
            evidence = "200, but it repeats the secret key or an access token, which have no place in the tables"
            raise self.unusable(method, path, evidence)
        return response

    def said(self, response: requests.Response) -> str:
        """What an answer says of an error, fit for a message."""
        return self._keys.masked(self._message_of(response))

    def unusable(self, method: str, path: str, evidence: str) -> BadReply:
        """The error for an answer that the documents don't allow."""
        return BadReply(path, evidence, "", method, self._setting)

    def _answer(
        self, method: str, url: str, path: str, auth: AuthBase | tuple[str, str], **how: Any
    ) -> requests.Response:
        self._wire.new_call()
        try:
            # no redirect is followed unseen: requests would carry the keys along within the host name
            return self._session.request(
                method, url, headers={"Accept": "application/json"}, auth=auth, allow_redirects=False, **how
            )
        except Unusable as error:
            raise self.unusable(method, path, self._keys.masked(str(error))) from None
        except requests.RequestException as error:
            raise Unavailable(path, self._keys.masked(_innermost(error)), self._wire.tries, method) from None

    def _is_worth_another_try(self, response: requests.Response | None, _: BaseException | None) -> bool:
        """Whether it is busy or broken, or holds no object, and doesn't ask for a wait longer than any of ours."""
        if response is None or asked_to_wait(response.headers) > self._longest_wait:
            return False
        return is_busy(response) or (response.status_code == 200 and not holds_object(response))


def is_busy(response: requests.Response) -> bool:
    return response.status_code == 429 or response.status_code >= 500


def _innermost(error: BaseException) -> str:
    """The plainest sentence at the bottom of a requests error: 'Connection refused', not a tower of reprs."""
    while inner := error.__cause__ or error.__context__ or getattr(error, "reason", None):
        if not isinstance(inner, BaseException):
            break
        error = inner
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
