"""What opens an integration: its two keys, or, if it was made with OAuth2, a client id and secret."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar

import msgspec
from dlt.common.configuration import configspec
from dlt.common.configuration.specs import CredentialsConfiguration
from dlt.common.typing import TSecretStrValue

from .errors import KeysMissing, Misconfigured

BASIC = ("public_key", "secret_key")
OAUTH2 = ("client_id", "client_secret")


@configspec
class SendcloudCredentials(CredentialsConfiguration):
    """One of two pairs: `public_key` and `secret_key`, or `client_id` and `client_secret`.

    A spec of their own, so that a stray SECRET_KEY in the environment can't stand in for them. One spec and not a
    union of two: of a union dlt takes the first that fits, and nobody hears that the other pair was there too.
    """

    __section__: ClassVar[str] = "credentials"
    public_key: TSecretStrValue = None  # type: ignore[assignment]  # required, so that `dlt init` asks for them
    secret_key: TSecretStrValue = None  # type: ignore[assignment]
    client_id: TSecretStrValue | None = None
    client_secret: TSecretStrValue | None = None

    def __post_init__(self) -> None:
        """A pair handed in whole is taken as it is: dlt would look for the other one in the configuration."""
        self.__is_resolved__ = self._given() in (BASIC, OAUTH2)

    def on_partial(self) -> None:
        self.resolve()  # without the keys: then it is the other pair, or one of the errors of `pair`

    def on_resolved(self) -> None:
        self.pair()

    def parse_native_representation(self, native_value: Any) -> None:
        """A pair from one text, as secret stores hand it out: a JSON object. ValueError for anything else."""
        with suppress(msgspec.DecodeError, TypeError):
            self.update(msgspec.json.decode(native_value, type=dict[str, str]))
        self.__post_init__()
        if not self.is_resolved():
            forms = " or ".join(f'{{"{public}": "…", "{secret}": "…"}}' for public, secret in (BASIC, OAUTH2))
            raise ValueError(f"It should be {forms}, or a table of these two.")

    def pair(self) -> dict[str, str]:
        """The pair that there is, by name. KeysMissing for half of one or none, Misconfigured for parts of both."""
        given = self._given()
        if not (set(given) <= set(BASIC) or set(given) <= set(OAUTH2)):
            problem = f"hold {', '.join(given)}, but one integration has one pair only"
            remedy = "Keep public_key and secret_key, or, if it was made with OAuth2, client_id and client_secret."
            raise Misconfigured("credentials", problem, remedy)
        names = OAUTH2 if set(given) & set(OAUTH2) else BASIC
        if given != names:
            raise KeysMissing([name for name in names if name not in given])
        return {name: str(self[name]) for name in names}

    def _given(self) -> tuple[str, ...]:
        return tuple(name for name in (*BASIC, *OAUTH2) if self[name] is not None)
