"""Access tokens: one is asked for, kept while it lasts, renewed in time, and shown to nobody."""

from __future__ import annotations

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest

from sources.sendcloud import SendcloudCredentials, oauth, sendcloud_source
from sources.sendcloud.client import Client
from sources.sendcloud.errors import BadReply, ClientRefused, Misconfigured, StrayLink, TokenRefused, Unavailable
from sources.sendcloud.oauth import Tokens
from sources.sendcloud.sandbox import ABSENT, Sandbox, World, faults, serve
from tests.clock import Clock
from tests.installation import SECRET, Done, Installation, as_rows, nothing_is_sent_to

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TOKEN_URL = "SOURCES__SENDCLOUD__TOKEN_URL"
CLIENT_ID = "SOURCES__SENDCLOUD__CREDENTIALS__CLIENT_ID"
CLIENT_SECRET = "SOURCES__SENDCLOUD__CREDENTIALS__CLIENT_SECRET"
PUBLIC_KEY = "SOURCES__SENDCLOUD__CREDENTIALS__PUBLIC_KEY"
SECRET_KEY = "SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY"


@pytest.fixture
def api(world: World) -> Iterator[Sandbox]:
    """Twenty pickups, opened by a secret that is easy to find wherever it doesn't belong."""
    for _ in range(20):
        world.book(created_at=NOW)
    with serve(world, client_secret=SECRET) as sandbox:
        yield sandbox


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The only clock that a token's end is read from: it can tell nothing but monotonic time."""
    made = Clock()
    monkeypatch.setattr(oauth, "time", made)
    return made


def client_of(
    api: Sandbox, tries: int = 3, tokens: Tokens | None = None, token_url: str = "", secret: str = SECRET
) -> Client:
    credentials = SendcloudCredentials(client_id=api.client_id, client_secret=secret)
    return Client(api.base_url, credentials, tries, None, token_url or api.token_url, tokens)


def get(api: Sandbox, tries: int = 3) -> None:
    client_of(api, tries).get(f"{api.base_url}/pickups")


def asked(api: Sandbox) -> list[tuple[str, int]]:
    return [(request.method, request.status) for request in api.requests]


def tokens_asked_for(api: Sandbox) -> int:
    return Counter(request.method for request in api.requests)["POST"]


def run(installation: Installation, api: Sandbox, *words: str, **settings: str) -> Done:
    """`pickups run` with client id and secret, five pickups a page and two pages a package."""
    named = {
        "SOURCES__SENDCLOUD__BASE_URL": api.base_url,
        "SOURCES__SENDCLOUD__PAGE_SIZE": "5",
        "SOURCES__SENDCLOUD__PAGES_PER_PACKAGE": "2",
        TOKEN_URL: api.token_url,
        CLIENT_ID: api.client_id,
        CLIENT_SECRET: SECRET,
        **settings,
    }
    return installation.command("run", *words, **{name: value for name, value in named.items() if value})


def outcome(done: Done) -> tuple[int, str]:
    """Exit code and the error's line; no traceback and no secret anywhere."""
    both = done.stdout + done.stderr
    assert "Traceback" not in both
    assert SECRET not in both
    assert "ory_at_" not in both
    return done.returncode, "\n".join(line for line in done.stderr.splitlines() if line.startswith("pickups: "))


# Asked for, kept, renewed


def test_id_and_secret_go_to_the_token_endpoint_and_the_token_to_the_api(api: Sandbox) -> None:
    get(api)

    basic = b64encode(f"sandbox-client-id:{SECRET}".encode()).decode()
    assert [tuple(request) for request in api.requests] == [
        ("POST", "/oauth2/token", 200, f"Basic {basic}"),
        ("GET", "/api/v2/pickups", 200, f"Bearer {api.access_token}"),
    ]


def test_one_token_does_for_twelve_pages_and_all_their_packages(
    installation: Installation, world: World, api: Sandbox
) -> None:
    for _ in range(40):
        world.book(created_at=NOW)

    done = run(installation, api, "--json")

    receipt = json.loads(done.stdout)
    assert (done.returncode, receipt["rows_new"], receipt["pages"]) == (0, 60, 12)
    assert receipt["requests"] == 13
    assert tokens_asked_for(api) == 1
    assert {request.authorization for request in api.requests[1:]} == {f"Bearer {api.access_token}"}
    assert installation.pickups() == as_rows(world.records())


def test_one_token_does_for_the_head_and_for_the_history_that_a_run_which_died_had_left(
    installation: Installation,
) -> None:
    """Two packages that are not read in one go: each asks on its own."""
    settled = World(clock=NOW)
    for days in range(100, 60, -1):
        settled.book(created_at=NOW - timedelta(days=days), pickup_status="Failed")
    with serve(settled, client_secret=SECRET) as api:
        api.fault(faults.status(503), page=5, times=None)
        assert run(installation, api).returncode == 4
        api.heal()
        api.requests.clear()

        receipt = json.loads(run(installation, api, "--json").stdout)

        assert (receipt["rows_new"], receipt["history_complete"]) == (20, True)
        assert tokens_asked_for(api) == 1
    assert installation.pickups() == as_rows(settled.records())


def test_the_next_run_asks_for_a_token_of_its_own(installation: Installation, api: Sandbox) -> None:
    run(installation, api)
    run(installation, api)

    assert tokens_asked_for(api) == 2


@pytest.mark.parametrize(("lifetime_seconds", "renewed_after"), [(2, 1.8), (60, 54), (3600, 3540)])
def test_a_token_is_renewed_shortly_before_it_ends(
    clock: Clock, world: World, lifetime_seconds: float, renewed_after: float
) -> None:
    with serve(world, client_secret=SECRET, token_seconds=lifetime_seconds) as api:
        client = client_of(api)
        for seconds, tokens in ((0, 1), (renewed_after - 0.01, 1), (renewed_after, 2), (renewed_after + 1, 2)):
            clock.now = 1_000 + seconds
            client.get(f"{api.base_url}/pickups")
            assert tokens_asked_for(api) == tokens, seconds
    assert 401 not in {request.status for request in api.requests}


@pytest.mark.parametrize("expires_in", [ABSENT, None, 0, -1, "soon", "", 10**12, 10**400, [], 86_401])
def test_a_lifetime_that_none_is_counts_as_the_documented_hour(clock: Clock, api: Sandbox, expires_in: Any) -> None:
    api.fault(faults.token(expires_in=expires_in), times=None)
    client = client_of(api)

    for seconds, tokens in ((0, 1), (3539, 1), (3540, 2)):
        clock.now = 1_000 + seconds
        client.get(f"{api.base_url}/pickups")
        assert tokens_asked_for(api) == tokens, seconds


def test_a_lifetime_in_digits_is_one(clock: Clock, api: Sandbox) -> None:
    api.fault(faults.token(expires_in="20"), times=None)
    client = client_of(api)
    for clock.now in (1_000, 1_017, 1_018):
        client.get(f"{api.base_url}/pickups")

    assert tokens_asked_for(api) == 2


def test_a_token_that_is_refused_in_the_middle_of_a_walk_is_renewed_once(
    installation: Installation, api: Sandbox, world: World
) -> None:
    api.on_request = lambda sandbox, number: number == 4 and sandbox.revoke_tokens()

    done = run(installation, api)

    assert done.returncode == 0, done.stderr
    assert asked(api)[:6] == [("POST", 200), ("GET", 200), ("GET", 200), ("GET", 401), ("POST", 200), ("GET", 200)]
    assert tokens_asked_for(api) == 2
    assert installation.pickups() == as_rows(world.records())


def test_a_token_that_ended_while_this_machine_slept_is_renewed(clock: Clock, world: World) -> None:
    """Monotonic time stands still in a suspended machine; the server's doesn't."""
    with serve(world, client_secret=SECRET, token_seconds=2) as api:
        client = client_of(api)
        client.get(f"{api.base_url}/pickups")
        world.clock += timedelta(hours=9)
        client.get(f"{api.base_url}/pickups")

    assert clock.now == 1_000
    assert asked(api) == [("POST", 200), ("GET", 200), ("GET", 401), ("POST", 200), ("GET", 200)]


@pytest.mark.parametrize("status", [401, 403])
def test_a_fresh_token_that_is_refused_is_the_end(installation: Installation, api: Sandbox, status: int) -> None:
    api.fault(faults.status(status), page=1, times=None)

    code, message = outcome(run(installation, api))

    assert code == 3
    assert f"Sendcloud refused a fresh access token: GET /api/v2/pickups was answered {status}" in message
    assert "client_id and client_secret in [sources.sendcloud.credentials] of .dlt/secrets.toml" in message
    once = [("POST", 200), ("GET", status)]
    assert asked(api) == (once * 2 if status == 401 else once)


def test_two_threads_that_ask_at_once_share_one_token(api: Sandbox) -> None:
    api.fault(faults.slow(0.2), page="token", times=None)
    tokens: Tokens = {}
    together = Barrier(2)

    def read(_: int) -> None:
        client = client_of(api, tokens=tokens)
        together.wait()
        client.get(f"{api.base_url}/pickups")

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(read, range(2)))
        assert tokens_asked_for(api) == 1

        api.revoke_tokens()
        list(threads.map(read, range(2)))
        assert tokens_asked_for(api) == 2


def test_a_token_is_for_one_client_and_one_api(api: Sandbox, world: World) -> None:
    """Whoever hands in the same memory of tokens for two accounts."""
    tokens: Tokens = {}
    with serve(world, client_secret="another-client-secret") as other:
        client_of(api, tokens=tokens).get(f"{api.base_url}/pickups")
        client_of(other, tokens=tokens, secret="another-client-secret").get(f"{other.base_url}/pickups")

        assert (tokens_asked_for(api), tokens_asked_for(other)) == (1, 1)
        assert api.access_token not in {str(request.authorization)[7:] for request in other.requests}
    assert api.access_token not in repr(tokens.values())


@pytest.mark.parametrize("secret", ["a+b/c=d%e&f-a-secret", "a secret:with a colon"])
def test_a_secret_of_odd_characters_is_spelled_as_in_a_form(world: World, secret: str) -> None:
    with serve(world, client_secret=secret) as api:
        client_of(api, secret=secret).get(f"{api.base_url}/pickups")

    assert asked(api) == [("POST", 200), ("GET", 200)]


# What a token endpoint may do


@pytest.mark.parametrize(
    ("status", "error", "evidence"),
    [
        (401, "invalid_client", "401 and said 'invalid_client: Client authentication failed.'"),
        (400, "invalid_scope", "400 and said 'invalid_scope: Client authentication failed.'"),
        (403, "", "403. Check"),
    ],
)
def test_an_id_and_secret_that_are_refused_are_told_at_once(
    installation: Installation, api: Sandbox, status: int, error: str, evidence: str
) -> None:
    said = {"error": error, "error_description": "Client authentication failed."} if error else {}
    api.fault(lambda due: replace(due, status=status, body=json.dumps(said).encode()), times=None)

    code, message = outcome(run(installation, api))

    assert code == 3
    assert f"refused client_id and client_secret: POST {api.token_url} was answered" in message
    assert evidence in message
    assert "Check client_id and client_secret in [sources.sendcloud.credentials] of .dlt/secrets.toml" in message
    assert asked(api) == [("POST", status)]


def test_a_wrong_secret_is_refused(api: Sandbox) -> None:
    with pytest.raises(ClientRefused, match="401 and said 'invalid_client: Client authentication failed"):
        client_of(api, secret="not the right one").get(f"{api.base_url}/pickups")


def test_basic_keys_that_are_refused_point_to_oauth(api: Sandbox) -> None:
    """An integration that was made with OAuth2 takes nothing else."""
    client = Client(api.base_url, SendcloudCredentials(public_key=api.client_id, secret_key=SECRET), 1)

    with pytest.raises(Exception, match="made with OAuth2 takes client_id and client_secret in their place"):
        client.get(f"{api.base_url}/pickups")


BUSY = {
    "429": faults.status(429),
    "500": faults.status(500),
    "503": faults.status(503),
    "reset": faults.reset(),
    "html": faults.html(),
    "cut": faults.cut(),
    "truncated": faults.truncated(),
}


@pytest.mark.parametrize("fault", BUSY.values(), ids=BUSY)
def test_a_busy_or_broken_token_endpoint_is_asked_again_and_then_no_more(api: Sandbox, fault: faults.Fault) -> None:
    api.fault(fault, page="token", times=2)
    get(api)
    assert len(api.requests) == 4

    api.fault(fault, page="token", times=None)
    with pytest.raises(Unavailable) as failed:
        get(api)
    assert f"could not be read: POST {api.token_url}: " in str(failed.value)
    assert "after 3 tries" in str(failed.value)


def test_a_run_whose_token_endpoint_never_answers_ends_after_seven_tries(
    installation: Installation, api: Sandbox
) -> None:
    api.fault(faults.status(503), page="token", times=None)

    code, message = outcome(run(installation, api))

    assert code == 4
    assert f"could not be read: POST {api.token_url}: " in message
    assert "after 7 tries" in message


def test_a_token_endpoint_that_says_nothing_in_time_is_asked_again(
    api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_TIMEOUT", "0.3")
    api.fault(faults.slow(1.0), page="token")
    api.fault(faults.drip(0.05), page="token")

    get(api)

    assert tokens_asked_for(api) == 3


def test_a_token_endpoint_that_asks_to_wait_for_a_day_ends_the_run(api: Sandbox) -> None:
    api.fault(faults.too_many(86_400), page="token", times=None)

    with pytest.raises(Unavailable, match="asks to wait 86,400 s, after 1 try"):
        get(api)


ODD = {
    "too large": (faults.huge(65 * 2**20), "its body is larger than 64 MiB"),
    "encoding": (faults.encoded("utf-8", "application/json; charset=klingon"), "it can't be read as klingon"),
    "no token": (faults.token(access_token=ABSENT), "without an access_token that a header can carry"),
    "null": (faults.token(access_token=None), "without an access_token that a header can carry"),
    "empty": (faults.token(access_token=""), "without an access_token that a header can carry"),
    "a number": (faults.token(access_token=7), "without an access_token that a header can carry"),
    "a space": (faults.token(access_token="ory_at_a b"), "without an access_token that a header can carry"),
    "a line": (faults.token(access_token="ory_at_a\r\nX-Evil: 1"), "without an access_token that a header can carry"),
    "no ASCII": (faults.token(access_token="ory_at_é"), "without an access_token that a header can carry"),
    "very long": (faults.token(access_token="ory_at_" + "a" * 5_000), "without an access_token that a header"),
    "not bearer": (faults.token(token_type="mac"), "its token_type is not bearer"),
    "nested": (lambda due: replace(due, body=b'{"a":' * 100_000 + b"}"), "without an access_token"),
    "accepted": (lambda due: replace(due, status=202), "/oauth2/token: 202. Nothing"),
    "the secret": (faults.token(access_token=SECRET), "it repeats the secret key or an access token"),
    "the secret beside it": (faults.token(client_secret=SECRET), "it repeats the secret key or an access token"),
}


@pytest.mark.parametrize(("fault", "evidence"), ODD.values(), ids=ODD)
def test_an_answer_that_holds_no_usable_token_is_told_at_once(api: Sandbox, fault: faults.Fault, evidence: str) -> None:
    api.fault(fault, page="token", times=None)

    with pytest.raises(BadReply) as failed:
        get(api)

    assert evidence in str(failed.value)
    assert "if token_url is right" in str(failed.value)
    assert asked(api) == [("POST", 202 if "202" in evidence else 200)]
    assert SECRET not in str(failed.value)
    assert "ory_at_" not in str(failed.value)


@pytest.mark.parametrize("name", ["no token", "accepted"])
def test_and_ends_the_run(installation: Installation, api: Sandbox, name: str) -> None:
    fault, evidence = ODD[name]
    api.fault(fault, page="token", times=None)

    code, message = outcome(run(installation, api))

    assert code == 4
    assert evidence in message
    assert asked(api) == [("POST", 202 if name == "accepted" else 200)]


def test_an_address_where_no_tokens_are_is_told(installation: Installation, api: Sandbox) -> None:
    code, message = outcome(run(installation, api, **{TOKEN_URL: f"{api.base_url}/nowhere"}))

    assert code == 3
    assert (
        "[sources.sendcloud] token_url (SOURCES__SENDCLOUD__TOKEN_URL in the environment) has no tokens: POST "
        in message
    )
    assert oauth.TOKEN_URL in message


def test_a_token_endpoint_that_echoes_the_secret_does_not_get_it_into_the_error(api: Sandbox) -> None:
    echo = json.dumps({"error": "invalid_client", "error_description": f"no {SECRET} of sandbox-client-id"})
    for status, kind in ((401, ClientRefused), (500, Unavailable)):
        api.heal()
        api.fault(lambda due, status=status: replace(due, status=status, body=echo.encode()), times=None)
        with pytest.raises(kind, match=r"invalid_client: no \*\*\* of \*\*\*"):
            get(api)


@pytest.mark.parametrize("status", [200, 201, 302, 400, 500])
def test_a_broken_answer_with_a_token_in_it_is_not_shown(api: Sandbox, status: int) -> None:
    broken = b'{"access_token": "ory_at_never-show-this"'
    api.fault(lambda due: replace(due, status=status, body=broken), times=None)

    with pytest.raises((BadReply, Unavailable)) as failed:
        get(api)
    assert "ory_at_" not in str(failed.value)


def test_a_token_endpoint_may_give_the_same_token_again_but_not_tell_it(api: Sandbox, clock: Clock) -> None:
    client = client_of(api)
    client.get(f"{api.base_url}/pickups")
    first = api.access_token
    api.fault(faults.token(access_token=first), page="token")
    clock.now += 3600
    client.get(f"{api.base_url}/pickups")
    assert tokens_asked_for(api) == 2

    clock.now += 3600
    error = json.dumps({"error": "invalid_client", "error_description": f"{first} ended"}).encode()
    api.fault(lambda due: replace(due, status=401, body=error), page="token")
    with pytest.raises(ClientRefused, match=r"invalid_client: \*\*\* ended"):
        client.get(f"{api.base_url}/pickups")


# What the API may do with a token


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_an_api_that_echoes_the_token_does_not_get_it_into_the_error(api: Sandbox, status: int) -> None:
    api.fault(
        lambda due: replace(due, status=status, body=f"not with Bearer {api.access_token}".encode()),
        page=1,
        times=None,
    )

    with pytest.raises((BadReply, TokenRefused, Misconfigured, Unavailable)) as failed:
        get(api)
    assert api.access_token not in str(failed.value)
    assert "Bearer ***" in str(failed.value) or status == 404


def percent(text: str) -> str:
    return "".join(f"%{ord(character):02x}" for character in text)


@pytest.mark.parametrize("spelled", [str, percent, lambda token: token.replace("_", "\\u005f")])
@pytest.mark.parametrize("whose", ["token", "secret"])
def test_a_page_that_repeats_token_or_secret_is_refused(api: Sandbox, whose: str, spelled: Any) -> None:
    def repeated(due: Any) -> Any:
        text = spelled(api.access_token if whose == "token" else SECRET)
        return replace(due, body=due.body.replace(b'"carrier":"', f'"note":"{text}","carrier":"'.encode(), 1))

    api.fault(repeated, page=1, times=None)

    with pytest.raises(BadReply, match="it repeats the secret key or an access token"):
        get(api)


def test_the_token_before_the_last_is_refused_too(api: Sandbox, clock: Clock) -> None:
    client = client_of(api)
    client.get(f"{api.base_url}/pickups")
    before = api.access_token
    clock.now += 3600
    api.world.book(note=before)

    with pytest.raises(BadReply, match="it repeats the secret key or an access token"):
        client.get(f"{api.base_url}/pickups")
    assert api.access_token != before


# Where they go


@pytest.mark.parametrize(
    "token_url",
    ["http://account.sendcloud.example/oauth2/token", "http://10.0.0.1/t", "ftp://x/y", "nonsense", "http://["],
)
def test_a_token_address_that_cannot_be_asked_safely_is_refused(
    installation: Installation, api: Sandbox, token_url: str
) -> None:
    with nothing_is_sent_to(api):
        code, message = outcome(run(installation, api, **{TOKEN_URL: token_url}))

    assert code == 3
    assert "[sources.sendcloud] token_url " in message


def test_a_token_address_that_carries_the_secret_is_refused_and_not_shown(
    installation: Installation, api: Sandbox
) -> None:
    code, message = outcome(run(installation, api, **{TOKEN_URL: f"https://id:{SECRET}@127.0.0.1/"}))

    assert code == 3
    assert "is '…@…', not a web address" in message


def test_the_default_is_the_documented_address() -> None:
    assert oauth.TOKEN_URL == "https://account.sendcloud.com/oauth2/token"


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_no_redirect_is_followed_with_id_and_secret(api: Sandbox, world: World, code: int) -> None:
    with serve(world, client_secret=SECRET) as elsewhere:
        for address in (elsewhere.token_url, f"{api.token_url}/"):
            api.heal()
            api.fault(faults.redirect(address, code), page="token", times=None)
            with pytest.raises(BadReply, match=f"{code}, it redirects to http://127.0.0.1:"):
                get(api)
        assert elsewhere.requests == []
    assert asked(api) == [("POST", code)] * 2


def test_the_secret_goes_to_the_one_origin_and_the_token_to_the_other(world: World) -> None:
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
        with pytest.raises(StrayLink, match=f"its {kind} leads to"):
            client_of(api).get(f"{there}/pickups")
        assert foreign.requests == []


def test_no_netrc_and_no_proxy_of_this_machine_take_the_place_of_a_token(
    api: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    get(api)

    assert asked(api) == [("POST", 200), ("GET", 200)]


# Configuration

SETTINGS = {
    "half: no secret": ({CLIENT_SECRET: ""}, "Settings are missing: client_secret."),
    "half: no id": ({CLIENT_ID: ""}, "Settings are missing: client_id."),
    "none": ({CLIENT_ID: "", CLIENT_SECRET: ""}, "Settings are missing: public_key, secret_key."),
    "both": ({PUBLIC_KEY: "p", SECRET_KEY: "s"}, "credentials hold public_key, secret_key, client_id, client_secret"),
    "one and a half": ({PUBLIC_KEY: "p"}, "credentials hold public_key, client_id, client_secret"),
    "a half of each": ({PUBLIC_KEY: "p", CLIENT_ID: ""}, "credentials hold public_key, client_secret"),
    "no header can carry it": ({CLIENT_ID: "“quoted”"}, "has characters that no key has"),
}


@pytest.mark.parametrize(("settings", "evidence"), SETTINGS.values(), ids=SETTINGS)
def test_one_whole_pair_has_to_be_there(
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


def test_an_empty_key_is_told(installation: Installation, api: Sandbox) -> None:
    toml = f'[sources.sendcloud.credentials]\nclient_id = ""\nclient_secret = "{SECRET}"\n'
    (installation.folder / ".dlt" / "secrets.toml").write_text(toml)

    code, message = outcome(run(installation, api, **{CLIENT_ID: "", CLIENT_SECRET: ""}))

    assert code == 3
    assert ".credentials] client_id is empty" in message


def test_id_and_secret_in_the_file_are_read(installation: Installation, api: Sandbox, world: World) -> None:
    toml = f'[sources.sendcloud.credentials]\nclient_id = "{api.client_id}"\nclient_secret = "{SECRET}"\n'
    (installation.folder / ".dlt" / "secrets.toml").write_text(toml)

    assert outcome(run(installation, api, **{CLIENT_ID: "", CLIENT_SECRET: ""})) == (0, "")
    assert installation.pickups() == as_rows(world.records())


def test_id_and_secret_given_as_one_json_text_are_taken(installation: Installation, api: Sandbox) -> None:
    text = json.dumps({"client_id": api.client_id, "client_secret": SECRET})
    settings = {CLIENT_ID: "", CLIENT_SECRET: "", "SOURCES__SENDCLOUD__CREDENTIALS": text}

    assert outcome(run(installation, api, **settings)) == (0, "")


@pytest.mark.parametrize("names", [("client_id",), ("client_id", "client_secret", "public_key", "secret_key")])
def test_a_json_text_that_holds_no_one_pair_is_refused(
    installation: Installation, api: Sandbox, names: tuple[str, ...]
) -> None:
    text = json.dumps(dict.fromkeys(names, SECRET))
    settings = {CLIENT_ID: "", CLIENT_SECRET: "", "SOURCES__SENDCLOUD__CREDENTIALS": text}

    code, message = outcome(run(installation, api, **settings))

    assert code == 3
    assert '{"client_id": "…", "client_secret": "…"}' in message


def test_a_pair_handed_in_is_not_mixed_with_the_one_configured(api: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PUBLIC_KEY, "of-another")
    monkeypatch.setenv(SECRET_KEY, "of-another")
    credentials = SendcloudCredentials(client_id=api.client_id, client_secret=SECRET)

    source = sendcloud_source(credentials, base_url=api.base_url, token_url=api.token_url)

    assert sum(len(table) for table in source.resources["pickups"]) == 20


def test_neither_pair_is_printed() -> None:
    credentials = SendcloudCredentials(client_id="an-id", client_secret="do-not-print")

    assert "do-not-print" not in f"{credentials} {credentials!r}"
