"""Tests where client id, secret and token are sent, and how they are configured."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sources.sendcloud import SendcloudCredentials, sendcloud_source
from sources.sendcloud.errors import BadResponse, ForeignLink
from sources.sendcloud.http import oauth
from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.support.installation import SECRET, Installation, as_rows, nothing_is_sent_to
from tests.support.oauth import (
    CLIENT_ID,
    CLIENT_SECRET,
    PUBLIC_KEY,
    SECRET_KEY,
    TOKEN_URL,
    asked,
    client_of,
    get,
    outcome,
    run,
)
from tests.support.oauth import api as api

# Destinations of the secret and the token


@pytest.mark.parametrize(
    "token_url",
    ["http://account.sendcloud.example/oauth2/token", "http://10.0.0.1/t", "ftp://x/y", "nonsense", "http://["],
)
def test_an_unsafe_or_invalid_token_url_is_refused_before_any_request(
    installation: Installation, api: Sandbox, token_url: str
) -> None:
    with nothing_is_sent_to(api):
        code, message = outcome(run(installation, api, **{TOKEN_URL: token_url}))

    assert code == 3
    assert "[sources.sendcloud] token_url " in message


def test_a_token_url_that_contains_the_secret_is_refused_and_not_shown(
    installation: Installation, api: Sandbox
) -> None:
    code, message = outcome(run(installation, api, **{TOKEN_URL: f"https://id:{SECRET}@127.0.0.1/"}))

    assert code == 3
    assert "is '…@…', not a web address" in message


def test_the_default_token_url_is_the_documented_address() -> None:
    assert oauth.TOKEN_URL == "https://account.sendcloud.com/oauth2/token"


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_token_request_with_client_id_and_secret_follows_no_redirect(api: Sandbox, world: World, code: int) -> None:
    with serve(world, client_secret=SECRET) as elsewhere:
        for address in (elsewhere.token_url, f"{api.token_url}/"):
            api.heal()
            api.fault(faults.redirect(address, code), page="token", times=None)
            with pytest.raises(BadResponse, match=f"{code} redirect to http://127.0.0.1:"):
                get(api)
        assert elsewhere.requests == []
    assert asked(api) == [("POST", code)] * 2


def test_the_secret_goes_only_to_the_token_endpoint_and_the_token_only_to_the_api(world: World) -> None:
    with serve(world, client_secret=SECRET) as api, serve(world, client_secret=SECRET) as accounts:
        client_of(api).get(f"{api.base_url}/pickups")
        token = api.access_token
        api.requests.clear()
        accounts.fault(faults.token(access_token=token), page="token", times=None)
        client_of(api, token_url=accounts.token_url).get(f"{api.base_url}/pickups")

        assert [(r.path, str(r.authorization).split()[0]) for r in accounts.requests] == [("/oauth2/token", "Basic")]
        assert [(r.path, r.authorization) for r in api.requests] == [("/api/v2/pickups", f"Bearer {token}")]


@pytest.mark.parametrize("kind", ["next link", "redirect"])
def test_no_token_goes_to_another_origin(api: Sandbox, world: World, kind: str) -> None:
    with serve(world, client_secret=SECRET) as foreign:
        if kind == "redirect":
            api.fault(faults.redirect(f"{foreign.base_url}/pickups"), page=1, times=None)
        there = api.base_url if kind == "redirect" else foreign.base_url
        with pytest.raises(ForeignLink, match=f"its {kind} leads to"):
            client_of(api).get(f"{there}/pickups")
        assert foreign.requests == []


def test_netrc_and_proxy_settings_of_the_machine_are_ignored_with_oauth2(
    api: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    get(api)

    assert asked(api) == [("POST", 200), ("GET", 200)]


# Configuration

SETTINGS = {
    "no secret": ({CLIENT_SECRET: ""}, "Settings are missing: client_secret."),
    "no id": ({CLIENT_ID: ""}, "Settings are missing: client_id."),
    "neither pair": ({CLIENT_ID: "", CLIENT_SECRET: ""}, "Settings are missing: public_key, secret_key."),
    "both pairs": (
        {PUBLIC_KEY: "p", SECRET_KEY: "s"},
        "credentials contain public_key, secret_key, client_id, client_secret",
    ),
    "one pair and a half": ({PUBLIC_KEY: "p"}, "credentials contain public_key, client_id, client_secret"),
    "half of each pair": ({PUBLIC_KEY: "p", CLIENT_ID: ""}, "credentials contain public_key, client_secret"),
    "not allowed in a header": ({CLIENT_ID: "clé"}, "has invalid characters"),
    "with quotes": ({CLIENT_ID: "“quoted”"}, "has quotes around it"),
}


@pytest.mark.parametrize(("settings", "evidence"), SETTINGS.values(), ids=SETTINGS)
def test_exactly_one_complete_pair_of_credentials_is_required(
    installation: Installation, api: Sandbox, settings: dict[str, str], evidence: str
) -> None:
    with nothing_is_sent_to(api):
        code, message = outcome(run(installation, api, **settings))

    assert code == 3
    assert evidence in message
    assert "sources.sendcloud" in message
    if "missing" in evidence:
        assert "[sources.sendcloud.credentials]" in message
        assert f"{installation.folder}/.dlt/secrets.toml" in message


def test_an_empty_client_id_in_the_secrets_file_is_reported(installation: Installation, api: Sandbox) -> None:
    toml = f'[sources.sendcloud.credentials]\nclient_id = ""\nclient_secret = "{SECRET}"\n'
    (installation.folder / ".dlt" / "secrets.toml").write_text(toml)

    code, message = outcome(run(installation, api, **{CLIENT_ID: "", CLIENT_SECRET: ""}))

    assert code == 3
    assert ".credentials] client_id is empty" in message


@pytest.mark.slow
def test_client_id_and_secret_are_read_from_the_secrets_file(
    installation: Installation, api: Sandbox, world: World
) -> None:
    toml = f'[sources.sendcloud.credentials]\nclient_id = "{api.client_id}"\nclient_secret = "{SECRET}"\n'
    (installation.folder / ".dlt" / "secrets.toml").write_text(toml)

    assert outcome(run(installation, api, **{CLIENT_ID: "", CLIENT_SECRET: ""})) == (0, "")
    assert installation.pickups() == as_rows(world.records())


@pytest.mark.slow
def test_client_id_and_secret_may_be_given_as_one_json_string(installation: Installation, api: Sandbox) -> None:
    text = json.dumps({"client_id": api.client_id, "client_secret": SECRET})
    settings = {CLIENT_ID: "", CLIENT_SECRET: "", "SOURCES__SENDCLOUD__CREDENTIALS": text}

    assert outcome(run(installation, api, **settings)) == (0, "")


@pytest.mark.parametrize("names", [("client_id",), ("client_id", "client_secret", "public_key", "secret_key")])
def test_a_json_string_without_exactly_one_complete_pair_is_refused(
    installation: Installation, api: Sandbox, names: tuple[str, ...]
) -> None:
    text = json.dumps(dict.fromkeys(names, SECRET))
    settings = {CLIENT_ID: "", CLIENT_SECRET: "", "SOURCES__SENDCLOUD__CREDENTIALS": text}

    code, message = outcome(run(installation, api, **settings))

    assert code == 3
    assert '{"client_id": "…", "client_secret": "…"}' in message


def test_credentials_passed_as_an_argument_are_not_mixed_with_configured_credentials(
    api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PUBLIC_KEY, "of-another")
    monkeypatch.setenv(SECRET_KEY, "of-another")
    credentials = SendcloudCredentials(client_id=api.client_id, client_secret=SECRET)

    source = sendcloud_source(credentials, base_url=api.base_url, token_url=api.token_url)

    assert sum(len(table) for table in source.resources["pickups"]) == 20


def test_the_client_secret_is_masked_when_credentials_are_printed() -> None:
    credentials = SendcloudCredentials(client_id="an-id", client_secret="do-not-print")

    assert "do-not-print" not in f"{credentials} {credentials!r}"
