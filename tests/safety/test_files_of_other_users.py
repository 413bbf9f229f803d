"""Tests that no other user of the machine can read, hold or plant a file of ours.

Files of another user need root to create, so a few tests pretend that this process has another user id.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dlt.common.configuration.providers import environ

from pipelines.atomic_file import replace_atomically
from pipelines.operations import incidents
from pipelines.operations.incidents import Incident, fallback_path, read_incidents, write_incidents
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.accounts import add
from tests.support.alert_receiver import listening
from tests.support.cases import quick
from tests.support.destinations import of_files
from tests.support.installation import Installation, nothing_is_sent_to
from tests.support.worlds import NOW

STRANGER = 4321
needs_root = pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can create files that belong to another user"
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the temporary folder, which every user may write to."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


@of_files
def test_a_new_installation_is_closed_to_other_users(installation: Installation, world: World, api: Sandbox) -> None:
    world.book()
    installation.run(api)

    data = installation.folder / "data"
    assert mode(data) == 0o750
    assert mode(data / "warehouse.lock") == 0o600
    assert mode(installation.warehouse) == 0o640
    assert mode(installation.published) == 0o640


@of_files
@pytest.mark.parametrize(
    ("folder", "file"), quick([(0o755, 0o644), (0o750, 0o640), (0o700, 0o600), (0o775, 0o644)], only=(1, 3))
)
def test_new_files_are_as_open_as_their_folder_and_the_umask(
    installation: Installation, world: World, api: Sandbox, folder: int, file: int
) -> None:
    data = installation.folder / "data"
    data.mkdir()
    data.chmod(folder)
    world.book()
    installation.run(api)

    assert (mode(data), mode(installation.published), mode(installation.warehouse)) == (folder, file, file)
    assert mode(data / "warehouse.lock") == 0o600


@of_files
def test_a_file_is_private_until_it_is_complete(tmp_path: Path) -> None:
    """Otherwise, others could read the new content although the file that it replaces is closed to them."""
    tmp_path.chmod(0o755)
    with replace_atomically(tmp_path / "new.txt") as fresh:
        fresh.write_text("content")
        assert mode(fresh) == 0o600
        assert [path.name.startswith(".new.txt.") for path in tmp_path.iterdir()] == [True]
    assert [(path.name, mode(path)) for path in tmp_path.iterdir()] == [("new.txt", 0o644)]


@of_files
@pytest.mark.parametrize("wanted", quick([0o640, 0o600, 0o664, 0o644], only=(0, 2)))
def test_the_published_file_keeps_its_mode_and_group(
    installation: Installation, world: World, api: Sandbox, wanted: int
) -> None:
    world.book()
    installation.loaded(api)
    installation.published.chmod(wanted)
    group = 77 if os.getuid() == 0 else installation.published.stat().st_gid
    os.chown(installation.published, -1, group)
    world.book()
    installation.run(api)

    assert len(installation.pickups()) == 2
    assert (mode(installation.published), installation.published.stat().st_gid) == (wanted, group)


@of_files
def test_a_lock_that_an_earlier_version_left_open_to_all_is_closed(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    installation.loaded(api)
    lock = installation.folder / "data" / "warehouse.lock"
    lock.chmod(0o644)
    installation.run(api)

    assert mode(lock) == 0o600


@contextmanager
def held_by_a_stranger(lock: Path) -> Iterator[None]:
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@of_files
def test_a_lock_without_a_recorded_holder_is_reported_at_the_second_run_and_when_it_is_free(
    installation: Installation, world: World, api: Sandbox, temporary: Path
) -> None:
    assert temporary
    world.book()
    with listening() as chat:
        add(installation, "secrets.toml", "[runtime]", f"slack_incoming_hook = '{chat.address}'")
        installation.run(api)
        lock = installation.folder / "data" / "warehouse.lock"
        with held_by_a_stranger(lock):
            for messages in (0, 1, 1):
                done = installation.command("run", api=api)
                assert done.returncode == 5
                assert f"fuser -v {lock}" in done.stderr
                assert len(chat.messages) == messages
        assert installation.command("run", api=api).returncode == 0
        told = chat.messages
    assert "all accounts: failing since" in told[0]
    assert f"The lock {lock} is held, but no run is recorded as its holder." in told[0]
    assert "all accounts: recovered after" in told[1]
    assert len(told) == 2


@of_files
def test_a_lock_that_is_held_at_a_single_run_only_is_not_reported(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The other run may have started a moment ago, so that it has not recorded itself yet."""
    world.book()
    with listening() as chat:
        add(installation, "secrets.toml", "[runtime]", f"slack_incoming_hook = '{chat.address}'")
        installation.run(api)
        for _ in range(2):
            with held_by_a_stranger(installation.folder / "data" / "warehouse.lock"):
                assert installation.command("run", api=api).returncode == 5
            assert installation.command("run", api=api).returncode == 0
        assert chat.messages == []


def test_incidents_in_the_temporary_folder_are_in_a_folder_of_this_user(temporary: Path) -> None:
    place = fallback_path(Path("/srv/pickups"))
    write_incidents([place], {"default": Incident(NOW, is_told=True)})

    (folder,) = temporary.iterdir()
    assert folder.name == f"sendcloud-pickups-{os.getuid()}"
    assert (mode(folder), list(read_incidents([place]))) == (0o700, ["default"])
    write_incidents([place], {})
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("fails", [False, True])
def test_incidents_never_follow_a_link_in_the_temporary_folder(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """A full disk makes the second step necessary, which writes an empty file."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    place = fallback_path(Path("/srv/pickups"))
    if fails:
        place.parent.mkdir(mode=0o700)
        place.symlink_to(victim)
        monkeypatch.setattr(incidents, "replace_atomically", full_disk)
    else:
        (tmp_path / "elsewhere").mkdir()
        place.parent.symlink_to(tmp_path / "elsewhere")
    write_incidents([place], {"default": Incident(NOW, is_told=True)})

    assert victim.read_text() == "mine"
    assert fails or list((tmp_path / "elsewhere").iterdir()) == []
    assert read_incidents([place]) == {}
    assert temporary.exists()


@contextmanager
def full_disk(_path: Path) -> Iterator[Path]:
    raise OSError(28, "No space left on device")
    yield


@needs_root
def test_incidents_are_neither_read_from_nor_written_to_another_users_folder(temporary: Path) -> None:
    assert temporary
    place = fallback_path(Path("/srv/pickups"))
    write_incidents([place], {"default": Incident(NOW, is_told=True)})
    os.chown(place.parent, STRANGER, STRANGER)
    before = place.read_bytes()

    assert read_incidents([place]) == {}
    write_incidents([place], {"other": Incident(NOW, is_told=True)})
    assert place.read_bytes() == before


@of_files
def test_the_working_folder_is_closed_to_other_users(
    installation: Installation, world: World, api: Sandbox, temporary: Path
) -> None:
    world.book()
    done = installation.command("run", api=api, DLT_DATA_DIR=str(temporary / "dlt"))

    assert done.returncode == 0, done.stderr
    (working,) = (temporary / "dlt" / "pipelines").iterdir()
    assert mode(working) == 0o700


@needs_root
@of_files
def test_a_working_folder_that_another_user_has_made_is_refused(
    installation: Installation, world: World, api: Sandbox, temporary: Path
) -> None:
    world.book()
    names = {"api": api, "DLT_DATA_DIR": str(temporary / "dlt")}
    installation.command("run", **names)
    (working,) = (temporary / "dlt" / "pipelines").iterdir()
    os.chown(working, STRANGER, STRANGER)
    with nothing_is_sent_to(api):
        done = installation.command("run", **names)

    assert done.returncode == 3
    assert f"{working} belongs to another user (id {STRANGER})" in done.stderr


def test_check_names_what_every_user_can_write_to(installation: Installation, api: Sandbox) -> None:
    settings = installation.folder / ".dlt" / "config.toml"
    settings.write_text("[sources.sendcloud]\npage_size = 50\n")
    assert "can write to" not in installation.command("check", api=api).stdout
    settings.chmod(0o666)
    settings.parent.chmod(0o777)

    done = installation.command("check", api=api)

    (line,) = [line for line in done.stdout.splitlines() if "every user of this machine can write to" in line]
    assert line.startswith("warning")
    assert f"{settings.parent}, {settings}." in line


def test_a_file_of_dockers_secrets_is_not_read(
    installation: Installation, api: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """dlt would also put its content into the environment, where child processes inherit it."""
    monkeypatch.setattr(environ, "SECRET_STORAGE_PATH", f"{tmp_path}/%s")
    (tmp_path / "sources--sendcloud--credentials--secret-key").write_text(api.secret_key)
    (tmp_path / "sources--sendcloud--credentials--public-key").write_text(api.public_key)

    with nothing_is_sent_to(api):
        done = installation.command("run", SOURCES__SENDCLOUD__BASE_URL=api.base_url)

    assert done.returncode == 3
    assert "SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY" not in os.environ


@needs_root
@pytest.mark.parametrize("command", ["run", "check", "status"])
def test_a_project_that_another_user_planted_above_the_working_directory_is_refused(
    temporary: Path, world: World, api: Sandbox, installation: Installation, command: str
) -> None:
    """Otherwise its base_url would receive the keys that are in the environment."""
    world.book()
    planted = temporary / ".dlt"
    planted.mkdir()
    (planted / "config.toml").write_text(f"[sources.sendcloud]\nbase_url = '{api.base_url}'\n")
    os.chown(planted, STRANGER, STRANGER)
    (temporary / "work").mkdir()
    installation.monkeypatch.chdir(temporary / "work")
    installation.monkeypatch.setattr(
        installation.__class__, "_variables", lambda *_: {"SOURCES__SENDCLOUD__CREDENTIALS__PUBLIC_KEY": "a"}
    )
    with nothing_is_sent_to(api):
        done = installation.command(command)

    assert done.returncode == 3
    assert f"{planted} belongs to another user (id {STRANGER})" in done.stderr
    assert f"--project-dir {temporary}" in done.stderr
