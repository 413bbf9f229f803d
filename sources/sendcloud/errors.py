"""Defines the errors of the source.

SendcloudError
├── SettingsError           a setting is invalid or missing
│   └── MissingCredentials  one or both keys of a pair are missing
├── AuthError               Sendcloud refused the credentials, usually with 401 or 403; a retry would not help
│   ├── ClientAuthError     the token endpoint refused the client id and secret
│   └── TokenAuthError      the API refused a fresh access token
├── Unavailable             no attempt returned a usable response; the next run catches up
│   └── OutOfTime           the account's time budget is used up; the next run resumes
└── BadResponse             a response contradicts the API's documentation; nothing from it was loaded
    ├── ExpiredLink         a link from the API returned 404; the next run starts from the newest page
    ├── ForeignLink         a link or redirect leads to another origin; no request was sent to it
    └── LoopingLink         a next link leads back to a page that this walk has already read

Each constructor builds its message from facts: what happened, what the evidence is, and what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence

CREDENTIALS_LOCATION = "[sources.sendcloud.credentials] in .dlt/secrets.toml"


class SendcloudError(Exception):
    """The base class of all errors of the source. Every message is a single line and never contains a secret."""


class SettingsError(SendcloudError):
    """Raised when a setting is invalid or missing.

    `setting` is the name of the affected setting, or None if the message already names the file, section and key.
    """

    setting: str | None = None

    @classmethod
    def of(cls, setting: str, problem: str, remedy: str) -> SettingsError:
        """Returns the error for a setting in `[sources.sendcloud]`."""
        error = SettingsError(f"[sources.sendcloud] {setting} {problem}. {remedy}")
        error.setting = setting
        return error


class MissingCredentials(SettingsError):
    """Raised when one or both keys of a pair are missing. `missing` lists the names of the missing keys."""

    def __init__(self, missing: Sequence[str]) -> None:
        self.missing, self.setting = missing, "credentials"
        super().__init__(
            f"[sources.sendcloud] credentials lack {' and '.join(missing)}. "
            f"Add the missing values to {CREDENTIALS_LOCATION}."
        )


class AuthError(SendcloudError):
    """Raised when the API refuses the keys with 401 or 403."""

    method, what = "GET", "the keys"
    remedy = (
        f"Check public_key and secret_key in {CREDENTIALS_LOCATION} "
        "(Sendcloud panel: Settings, Integrations, your API integration). "
        "If the integration uses OAuth2, set client_id and client_secret instead."
    )

    def __init__(self, status: int, path: str, message: str) -> None:
        response = f" with the message {message!r}" if message else ""
        super().__init__(
            f"Sendcloud refused {self.what}: {self.method} {path} returned {status}{response}. {self.remedy}"
        )


class ClientAuthError(AuthError):
    """Raised when the token endpoint refuses the client id and secret."""

    method, what = "POST", "client_id and client_secret"
    remedy = (
        f"Check client_id and client_secret in {CREDENTIALS_LOCATION} "
        "(Sendcloud panel: Settings, Integrations, your API integration with OAuth2). "
        "If the integration does not use OAuth2, set public_key and secret_key instead."
    )


class TokenAuthError(AuthError):
    """Raised when the API refuses a newly issued access token."""

    what = "a fresh access token"
    remedy = (
        f"The token was issued for client_id and client_secret in {CREDENTIALS_LOCATION}. Check that "
        "the integration may read pickups, and that base_url and token_url belong to the same Sendcloud service."
    )


class Unavailable(SendcloudError):
    """Raised when no attempt returned a usable response.

    `is_unreachable` is true if no attempt returned any response.
    """

    is_unreachable = False

    def __init__(self, path: str, evidence: str, attempts: int, method: str = "GET") -> None:
        tries = "1 try" if attempts == 1 else f"{attempts} tries"
        super().__init__(
            f"Sendcloud could not be read: {method} {path}: {evidence}, after {tries}. "
            "Previously loaded data is unchanged; the next run catches up."
        )


class OutOfTime(Unavailable):
    """Raised when reading an account takes longer than `account_timeout`."""

    def __init__(self, path: str, seconds: float) -> None:
        SendcloudError.__init__(
            self,
            f"Sendcloud was not read to the end: GET {path} was not sent, because the time limit of {seconds:g} s "
            "([sources.sendcloud] account_timeout) was reached. Loaded data is kept; the next run resumes.",
        )


class BadResponse(SendcloudError):
    """Raised when a response contradicts the API's documentation. Nothing from the response was loaded."""

    remedy = "The response was not loaded. If {setting} is correct and the next run fails too, please report it."

    def __init__(self, path: str, evidence: str, method: str = "GET", setting: str = "base_url") -> None:
        remedy = self.remedy.format(setting=setting)
        super().__init__(f"Sendcloud's response can't be used: {method} {path}: {evidence}. {remedy}")


class ExpiredLink(BadResponse):
    """Raised when a link from the API returns 404."""

    remedy = "The next run starts again from the newest page, which is safe because rows are merged."

    def __init__(self, path: str, message: str) -> None:
        super().__init__(path, f"404 {message}".strip())


class ForeignLink(BadResponse):
    """Raised when a link or redirect leads to another origin. No request was sent to that origin."""

    remedy = "No request was sent to that address. If the API has moved, set base_url in [sources.sendcloud]."

    def __init__(self, path: str, kind: str, there: str, here: str) -> None:
        super().__init__(path, f"its {kind} leads to {there}, but the credentials may be sent only to {here}")


class LoopingLink(BadResponse):
    """Raised when a next link leads back to a page that this walk has already read."""

    def __init__(self, path: str, page: int) -> None:
        super().__init__(path, f"the next link of page {page} leads back to a page that this walk has read")
