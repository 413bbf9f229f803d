"""Decides which statuses cause a request to be sent again (RFC 9110, RFC 6585 and RFC 8470).

Every request of the source can be repeated safely, because it only reads pickups or requests a new access token.
"""

from __future__ import annotations

import requests

from .responses import is_html, is_json_object

# Each status maps to whether the request is sent again. A status that is not in the table is treated like the first
# status of its class, as RFC 9110, 15 requires.
IS_RETRIED = {
    200: False,  # the page is used if the API sent it
    300: False,  # a redirect to the same origin is followed, after a wait if the response requests one
    400: False,  # the request is invalid, and a retry would be invalid too
    408: True,  # the server closed a connection on which it waited too long for a request (RFC 9110, 15.5.9)
    421: True,  # the connection leads to the wrong server; the next attempt uses a new one (RFC 9110, 15.5.20)
    425: True,  # the server did not want to process a request that might be replayed (RFC 8470, 5.2)
    429: True,  # too many requests in a given time (RFC 6585, 4)
    500: True,  # a server error that may be temporary; also 502, 503 and 504
    501: False,  # the server does not support the method (RFC 9110, 15.6.2)
    505: False,  # the server does not support the HTTP version (RFC 9110, 15.6.6)
    506: False,  # the server is misconfigured (RFC 2295, 8.1)
    510: False,  # the request does not include a required extension (RFC 2774, 7)
}


def is_retried(status: int) -> bool:
    """Returns whether a request with this status is sent again."""
    return IS_RETRIED.get(status, IS_RETRIED.get(status // 100 * 100, IS_RETRIED[500]))


def is_from_api(response: requests.Response) -> bool:
    """Returns whether the response could have come from Sendcloud's API.

    A status has the meaning that Sendcloud documents only if the response is from the API. For example, a 403 with an
    HTML page may come from a firewall, and then says nothing about the keys.
    """
    says_what_the_api_says = response.status_code == 200 or 400 <= response.status_code < 500
    return is_json_object(response) or not says_what_the_api_says


def describe_stranger(response: requests.Response, setting: str) -> str:
    """Returns a description of a response that is not from the API. `setting` is the setting that contains the URL."""
    kind = "an HTML page" if is_html(response) else "a body that is not JSON" if response.content else "an empty body"
    cause = f"or {setting} is wrong" if response.status_code in (404, 405) else "for example"
    return f"{response.status_code} with {kind}, not a response from Sendcloud (a proxy or firewall sent it, {cause})"
