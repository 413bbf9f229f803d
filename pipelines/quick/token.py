"""Requests an OAuth2 access token for a quick run. The token is kept in memory only.

What is requested, and which response is a token, is defined in sources/sendcloud/api/tokens.py.
"""

from __future__ import annotations

import time
from base64 import b64encode
from urllib.parse import urlencode

import msgspec

from pipelines.quick.connection import Connection
from pipelines.quick.record import AccountRecord
from sources.sendcloud.api.tokens import read_token, token_form
from sources.sendcloud.api.versions import VERSIONS
from sources.sendcloud.http.redaction import SecretMask

MAX_BYTES = 2**16


def basic_header(keys: SecretMask) -> str:
    """Returns the value of the Authorization header for the pair of keys."""
    return f"Basic {b64encode(':'.join(keys.pair).encode()).decode()}"


def bearer_header(record: AccountRecord, token_url: str, keys: SecretMask, ends_at: float) -> str:
    """Returns the value of the Authorization header with a new token, which `keys` detects from now on.

    Args:
        record: the account.
        token_url: the token endpoint, the only address to which the pair is sent.
        keys: the client id and secret.
        ends_at: the time (time.monotonic) at which to give up.

    Raises:
        OSError, HTTPException: the request failed.
        ValueError: the response is not a usable token.
    """
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Authorization": basic_header(keys),
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": "sendcloud-pickups",
    }
    form = urlencode(token_form(VERSIONS[record.api_version])).encode()
    with Connection(token_url, ends_at - time.monotonic()) as connection:
        reply = connection.request("POST", token_url, headers, form)
        body = reply.read(MAX_BYTES + 1)
    if reply.status != 200 or len(body) > MAX_BYTES or keys.appear_in(body):
        raise ValueError("an ordinary run judges this response")
    token = read_token(msgspec.json.decode(body, type=dict[str, object]))
    keys.add(token)
    return f"Bearer {token}"
