"""Defines the request for an OAuth2 access token with client credentials (RFC 6749, 4.4), and its response."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .version import Version

HEADER_SAFE = re.compile(r"[A-Za-z0-9._~+/-]{1,4096}=*")  # See RFC 6750, 2.1.


def token_form(version: Version) -> dict[str, str]:
    """Returns the fields of the form that requests a token for this version of the API."""
    return {"grant_type": "client_credentials", "scope": version.scope}


def read_token(answer: Mapping[str, object]) -> str:
    """Returns the access token.

    Raises:
        ValueError: the response contains no usable token. The message is the reason, and repeats no value, because a
            value may be secret.
    """
    token, kind = answer.get("access_token"), answer.get("token_type", "bearer")
    if not isinstance(token, str) or not HEADER_SAFE.fullmatch(token):
        raise ValueError("200, but without an access_token that can be sent in a header")
    if str(kind).lower() != "bearer":
        raise ValueError("200, but its token_type is not bearer")
    return token
