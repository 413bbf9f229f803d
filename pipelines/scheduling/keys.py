"""Renders the lines of a schedule that pass the keys of the configured accounts to a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipelines.config.secret_files import SUFFIX
from pipelines.config.settings import ACCOUNTS_SECTION, SOURCE_SECTION, env_variable
from sources.sendcloud.errors import SettingsError

KEY_NAMES = ("public_key", "secret_key")


def key_lines(kind: str, accounts: Sequence[str], api_version: str) -> dict[str, str]:
    """Returns the texts of the placeholders that depend on the accounts.

    A container has no config.toml of its own, so it also needs the API version of the only account. Named accounts need
    a mounted config.toml, which contains their versions.

    Args:
        kind: the scheduler.
        accounts: the names of the configured accounts; empty if no account is configured by name.
        api_version: the version of the API that the only account reads.

    Raises:
        SettingsError: two accounts would share a secret. GitHub's names may contain only letters, digits and _, and
            file names and the keys of a Kubernetes secret are in lower case.
    """
    secrets = _secret_names(accounts)
    files = {name: name.lower().replace("__", "-").replace("_", "-") for name in secrets.values()}
    plain = {} if accounts else {env_variable(f"{SOURCE_SECTION}.api_version"): api_version}
    if kind == "docker":
        paths = {f"{key}{SUFFIX}": f"/run/secrets/{files[name]}" for key, name in secrets.items()}
        return {
            "KEYS": _indent(6, (f"{name}: {value}" for name, value in (plain | paths).items())),
            "NAMES": _indent(6, (f"- {file}" for file in files.values())),
            "FILES": _indent(2, (f"{file}:\n    file: ./secrets/{file}" for file in files.values())),
        }
    if kind == "kubernetes":
        paths = {f"{key}{SUFFIX}": f"/run/secrets/sendcloud-pickups/{files[name]}" for key, name in secrets.items()}
        lines = (f"- name: {name}\n                  value: {value}" for name, value in (plain | paths).items())
        literals = "".join(f" \\\n#     --from-file={file}=secrets/{file}" for file in files.values())
        return {"KEYS": _indent(16, lines), "LITERALS": literals}
    return {"KEYS": _indent(10, (f"{key}: ${{{{ secrets.{name} }}}}" for key, name in secrets.items()))}


def _secret_names(accounts: Sequence[str]) -> dict[str, str]:
    """Returns the name of the secret for each environment variable."""
    names: dict[str, str] = {}
    for place in [f"{ACCOUNTS_SECTION}.{account}" for account in accounts] or [SOURCE_SECTION]:
        for key in KEY_NAMES:
            variable = env_variable(f"{place}.credentials.{key}")
            names[variable] = variable.removeprefix("SOURCES__").replace("-", "_")
    if len({*names.values()}) < len(names):
        raise SettingsError(
            "Two account names differ only in '-' and '_', so they would share a secret. Rename one account."
        )
    return names


def _indent(columns: int, lines: Iterator[str]) -> str:
    return f"\n{' ' * columns}".join(lines)
