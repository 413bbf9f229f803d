"""Defines the credentials of an integration: its two keys or, with OAuth2, its client id and secret."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar, cast

import msgspec
from dlt.common.configuration import configspec
from dlt.common.configuration.specs import CredentialsConfiguration
from dlt.common.typing import TSecretStrValue

from ..errors import MissingCredentials, SettingsError

BASIC = ("public_key", "secret_key")
OAUTH2 = ("client_id", "client_secret")


@configspec
class SendcloudCredentials(CredentialsConfiguration):
    """Contains one of two pairs: `public_key` and `secret_key`, or `client_id` and `client_secret`.

    A separate spec prevents dlt from picking up an unrelated SECRET_KEY from the environment. A union of two specs
    would not work, because dlt takes the first spec that fits and does not report that the other pair is also set.
    """

    __section__: ClassVar[str] = "credentials"
    public_key: TSecretStrValue = cast(TSecretStrValue, None)  # `dlt init` asks for required keys
    secret_key: TSecretStrValue = cast(TSecretStrValue, None)
    client_id: TSecretStrValue | None = None
    client_secret: TSecretStrValue | None = None

    def __post_init__(self) -> None:
        """Marks a complete pair as resolved. Otherwise, dlt would look for the other pair in the configuration."""
        self.__is_resolved__ = self._given() in (BASIC, OAUTH2)

    def on_partial(self) -> None:
        self.resolve()  # the required keys are missing, so `pair` finds the OAuth2 pair or raises its own error

    def on_resolved(self) -> None:
        self.pair()

    def parse_native_representation(self, native_value: Any) -> None:
        """Sets the pair from a JSON object, the format in which secret stores return values.

        Raises:
            ValueError: the value is not a JSON object with exactly one complete pair.
        """
        with suppress(msgspec.DecodeError, TypeError):
            self.update(msgspec.json.decode(native_value, type=dict[str, str]))
        self.__post_init__()
        if not self.is_resolved():
            forms = " or ".join(f'{{"{public}": "…", "{secret}": "…"}}' for public, secret in (BASIC, OAUTH2))
            raise ValueError(f"The value must be {forms}, or a table with the same two keys.")

    def pair(self) -> dict[str, str]:
        """Returns the configured pair as a dict that maps setting names to values.

        Raises:
            MissingCredentials: one or both keys of the pair are missing.
            SettingsError: keys of both pairs are set.
        """
        given = self._given()
        if not (set(given) <= set(BASIC) or set(given) <= set(OAUTH2)):
            problem = f"contain {', '.join(given)}, but an integration has only one pair"
            remedy = "Keep public_key and secret_key or, if the integration uses OAuth2, client_id and client_secret."
            raise SettingsError.of("credentials", problem, remedy)
        names = OAUTH2 if set(given) & set(OAUTH2) else BASIC
        if given != names:
            raise MissingCredentials([name for name in names if name not in given])
        return {name: str(self[name]) for name in names}

    def _given(self) -> tuple[str, ...]:
        return tuple(name for name in (*BASIC, *OAUTH2) if self[name] is not None)
