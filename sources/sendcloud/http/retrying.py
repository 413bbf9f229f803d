"""Sends requests with retries, and raises a specific error if no attempt returns a usable response."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.configuration.specs import RuntimeConfiguration
from dlt.sources.helpers.requests import Client as RetryingClient
from dlt.sources.helpers.requests.retry import DEFAULT_RETRY_EXCEPTIONS
from requests.auth import AuthBase
from requests.exceptions import ContentDecodingError

from ..errors import BadResponse, Unavailable
from .network_variables import check_certificates, check_proxies
from .origins import LOOPBACK, origin_of
from .redaction import SecretMask
from .responses import ENCODINGS, UnusableResponse, retry_after_seconds
from .statuses import describe_stranger, is_from_api, is_retried
from .transport import PacedAdapter

HEADERS = {"Accept": "application/json", "Accept-Encoding": ENCODINGS}


class RetryingSession:
    """Sends requests to one address and the addresses below it, and retries transient failures.

    `setting` is the name of the setting that contains the address. For any response, even a 200, `message_of` returns
    the part that may be shown in a message.
    """

    def __init__(
        self,
        setting: str,
        address: str,
        keys: SecretMask,
        wire: PacedAdapter,
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
            retry_condition=self._should_retry,
        )
        self._session = retrying.session
        if urlsplit(address).hostname in LOOPBACK:
            self._session.trust_env = False  # requests to the local machine must not use a proxy
        else:
            check_certificates()
            check_proxies(address)
        self._session.mount("http://", wire)
        self._session.mount("https://", wire)

    def request(
        self, method: str, url: str, path: str, auth: AuthBase | tuple[str, str], **how: Any
    ) -> requests.Response:
        """Returns an API response that a retry would not change (see statuses.py). Redirects are not followed.

        The body of a 200 is a JSON object that does not repeat the credentials. Error messages show `path` as the
        address, together with the host and port if no attempt returned a response.

        Raises:
            Unavailable: no attempt returned a usable response.
            BadResponse: the response can't be used, and a retry would not help.
        """
        response = self._send(method, url, path, auth, **how)
        if is_retried(response.status_code):
            evidence = f"{response.status_code} {self.error_message(response)}".strip() + self.asks_to_wait(response)
            raise Unavailable(path, evidence, self._wire.tries, method)
        if not is_from_api(response):
            kind = self._keys.mask(response.headers.get("Content-Type", "no content type"))
            what = f"200, but not a JSON object ({kind})"
            what = what if response.status_code == 200 else describe_stranger(response, self._setting)
            evidence = f"{what}: {self.error_message(response)}".removesuffix(": ")
            raise Unavailable(path, evidence, self._wire.tries, method)
        link = response.headers.get("Link", "").encode("latin-1", "replace")
        if response.status_code == 200 and (self._keys.appear_in(response.content) or self._keys.appear_in(link)):
            evidence = "200, but the response repeats the secret key or an access token, which must not be loaded"
            raise self.unusable(method, path, evidence)
        return response

    def error_message(self, response: requests.Response) -> str:
        """Returns the error message of a response, with keys and tokens masked."""
        return self._keys.mask(self._message_of(response))

    def asks_to_wait(self, response: requests.Response) -> str:
        """Returns a phrase about the wait that the server asks for, or an empty string if the wait is short enough."""
        wait = retry_after_seconds(response.headers)
        return f", and the server asks for a wait of {wait:,.0f} s" if wait > self._longest_wait else ""

    def unusable(self, method: str, path: str, evidence: str) -> BadResponse:
        """Returns the error for a response that contradicts the API's documentation."""
        return BadResponse(path, evidence, method, self._setting)

    def _send(
        self, method: str, url: str, path: str, auth: AuthBase | tuple[str, str], **how: Any
    ) -> requests.Response:
        self._wire.tries = 0
        try:
            # requests would resend the keys if a redirect stayed on the same host, so redirects are disabled here
            return self._session.request(method, url, headers=HEADERS, auth=auth, allow_redirects=False, **how)
        except UnusableResponse as error:
            raise self.unusable(method, path, self._keys.mask(str(error))) from None
        except requests.RequestException as error:
            address = self._keys.mask(urljoin(origin_of(url), path))
            unavailable = Unavailable(address, self._keys.mask(_innermost(error)), self._wire.tries, method)
            unavailable.is_unreachable = isinstance(error, requests.ConnectionError | requests.Timeout)
            raise unavailable from None

    def _should_retry(self, response: requests.Response | None, _: BaseException | None) -> bool:
        """Returns whether to retry the request, for example after a 429, a 5xx, or a 200 without a JSON object.

        If the API asks for a wait that exceeds the maximum delay between attempts, the request is not retried.
        """
        longest_wait = min(self._longest_wait, self._wire.budget.remaining_seconds())
        if response is None or retry_after_seconds(response.headers) > longest_wait:
            return False
        return is_retried(response.status_code) or not is_from_api(response)


def _innermost(error: BaseException) -> str:
    """Returns the innermost cause of a requests error, such as 'Connection refused', instead of nested reprs."""
    while inner := error.__cause__ or error.__context__ or getattr(error, "reason", None):
        if not isinstance(inner, BaseException):
            break
        error = inner
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
