"""What can go wrong between here and Sendcloud, and what to do about it.

SendcloudError
├── Misconfigured   a setting that can't work: mend it before anything is sent
│   └── KeysMissing half of a pair of keys, or none
├── Refused         401 or 403: the keys. Retrying won't help
│   ├── ClientRefused  the token endpoint refused client id and secret
│   └── TokenRefused   the API refused an access token that is fresh
├── Unavailable     no usable answer after every retry. The next run catches up
└── BadReply        an answer that the documents don't allow. Nothing of it was loaded
    ├── ExpiredLink 404 for a link that the API itself gave: walk again from the top
    ├── StrayLink   a link or redirect to another origin: the credentials stay here
    └── LoopingLink a next link that this walk has followed before

Each takes facts and builds its own sentence: what happened, on what evidence, what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence

WHERE = "[sources.sendcloud.credentials] of .dlt/secrets.toml"


class SendcloudError(Exception):
    """The family. The text is fit for a terminal: one line, and never a secret in it."""


class Misconfigured(SendcloudError):
    def __init__(self, setting: str, problem: str, remedy: str) -> None:
        self.setting = setting
        super().__init__(f"[sources.sendcloud] {setting} {problem}. {remedy}")


class KeysMissing(Misconfigured):
    def __init__(self, missing: Sequence[str]) -> None:
        self.missing = missing
        super().__init__("credentials", f"lack {' and '.join(missing)}", f"Put what is missing into {WHERE}.")


class Refused(SendcloudError):
    def __init__(
        self, status: int, path: str, message: str, method: str = "GET", what: str = "the keys", remedy: str = ""
    ) -> None:
        said = f" and said {message!r}" if message else ""
        super().__init__(
            f"Sendcloud refused {what}: {method} {path} was answered {status}{said}. "
            + (
                remedy
                or f"Check public_key and secret_key in {WHERE} (Sendcloud panel: Settings, Integrations, your API "
                "integration). One that was made with OAuth2 takes client_id and client_secret in their place."
            )
        )


class ClientRefused(Refused):
    def __init__(self, status: int, address: str, message: str) -> None:
        remedy = (
            f"Check client_id and client_secret in {WHERE} (Sendcloud panel: Settings, Integrations, your API "
            "integration with OAuth2). One that was made without takes public_key and secret_key in their place."
        )
        super().__init__(status, address, message, "POST", "client_id and client_secret", remedy)


class TokenRefused(Refused):
    def __init__(self, status: int, path: str, message: str) -> None:
        remedy = (
            f"There was a token for client_id and client_secret in {WHERE}: check that their integration may read "
            "pickups, and that base_url and token_url are of one Sendcloud."
        )
        super().__init__(status, path, message, what="a fresh access token", remedy=remedy)


class Unavailable(SendcloudError):
    def __init__(self, path: str, evidence: str, attempts: int, method: str = "GET") -> None:
        tries = "1 try" if attempts == 1 else f"{attempts} tries"
        super().__init__(
            f"Sendcloud could not be read: {method} {path}: {evidence}, after {tries}. "
            "What was loaded before is as it was; the next run reads what this one missed."
        )


class BadReply(SendcloudError):
    def __init__(
        self, path: str, evidence: str, remedy: str = "", method: str = "GET", setting: str = "base_url"
    ) -> None:
        super().__init__(
            f"Sendcloud's answer can't be used: {method} {path}: {evidence}. "
            + (remedy or f"Nothing of it was loaded; if {setting} is right and the next run fails too, tell us.")
        )


class ExpiredLink(BadReply):
    def __init__(self, path: str, message: str) -> None:
        super().__init__(path, f"404 {message}".strip(), "The next run walks from the top; the merge makes that safe.")


class StrayLink(BadReply):
    def __init__(self, path: str, kind: str, there: str, here: str) -> None:
        super().__init__(
            path,
            f"its {kind} leads to {there}, and the credentials are for {here} only",
            "No request was sent there. If Sendcloud has moved, set base_url in [sources.sendcloud].",
        )


class LoopingLink(BadReply):
    def __init__(self, path: str, page: int) -> None:
        super().__init__(path, f"the next link of page {page} leads back to a page that this walk has read")
