"""Tests the files of `pickups schedule docker` and `kubernetes`, as far as that is possible without a daemon.

`make audit` also passes the files to hadolint and to validators of the schemas of Compose and Kubernetes.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.config.secret_files import is_secret_file_variable
from tests.support.installation import Installation

CLOSED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
ACCOUNTS = "[sources.sendcloud.accounts.north-sea]\n[sources.sendcloud.accounts.south]\n"

pytestmark = pytest.mark.usefixtures("nothing_of_dlts_in_the_environment")


def files(installation: Installation, kind: str, accounts: str = "") -> dict[str, str]:
    (installation.folder / ".dlt" / "config.toml").write_text(accounts)
    done = installation.command("schedule", kind, "--to", str(installation.folder / kind))
    assert (done.returncode, done.stderr) == (0, "")
    return {path.name: path.read_text() for path in (installation.folder / kind).iterdir()}


@pytest.fixture
def compose(installation: Installation) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(files(installation, "docker")["compose.yaml"])
    return loaded


def test_the_image_runs_as_a_number_and_says_its_health_by_status(installation: Installation) -> None:
    image = files(installation, "docker")["Dockerfile"]

    assert not re.search(r"@[A-Z]+@", image)
    lines = [line for line in image.splitlines() if line and not line.startswith("#")]
    assert "USER 10001:10001" in lines
    assert "VOLUME /data" in lines
    assert "STOPSIGNAL SIGTERM" in lines
    assert lines[-2:] == ['ENTRYPOINT ["pickups"]', 'CMD ["run"]']  # without a shell, which would not pass SIGTERM on
    (health,) = [line for line in lines if line.startswith("HEALTHCHECK")]
    assert health.endswith('CMD ["pickups", "status"]')
    assert "secrets" not in "".join(lines)
    assert "-c unpacked/pipelines/tested-versions.txt" in image


def test_only_the_user_of_the_image_can_open_the_volume(installation: Installation) -> None:
    """The folder is made where it is used, because COPY in Buildah 1.28 loses the mode of a copied folder."""
    *_, last = files(installation, "docker")["Dockerfile"].split("\nFROM ")
    lines = last.splitlines()

    made = lines.index("RUN install -d -o 10001 -g 10001 -m 0750 /data")
    assert made < lines.index("USER 10001:10001") < lines.index("VOLUME /data")
    assert not [line for line in lines if line.startswith("COPY") and line.endswith(" /data")]


def test_the_service_cannot_write_outside_its_data_and_gets_its_keys_as_files(compose: dict[str, Any]) -> None:
    (service,) = compose["services"].values()

    assert (service["read_only"], service["cap_drop"], service["user"]) == (True, ["ALL"], "10001:10001")
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["volumes"] == ["data:/data"]
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    plain = {name: value for name, value in service["environment"].items() if not is_secret_file_variable(name)}
    assert plain == {"SOURCES__SENDCLOUD__API_VERSION": "v2"}  # that of the installation, which the image lacks
    paths = [value for name, value in service["environment"].items() if name not in plain]
    assert [path.removeprefix("/run/secrets/") for path in paths] == service["secrets"]
    assert {name: it["file"] for name, it in compose["secrets"].items()} == {
        name: f"./secrets/{name}" for name in service["secrets"]
    }
    assert service["secrets"] == ["sendcloud-credentials-public-key", "sendcloud-credentials-secret-key"]


def test_every_account_has_its_own_files(installation: Installation) -> None:
    given = yaml.safe_load(files(installation, "docker", ACCOUNTS)["compose.yaml"])["services"]["pickups"][
        "environment"
    ]

    start, end = "SOURCES__SENDCLOUD__ACCOUNTS__", "__CREDENTIALS__SECRET_KEY_FILE"
    assert {name.removeprefix(start).removesuffix(end) for name in given if name.endswith(end)} == {
        "NORTH-SEA",
        "SOUTH",
    }
    assert len({*given.values()}) == 4


@pytest.fixture
def jobs(installation: Installation) -> list[dict[str, Any]]:
    (text,) = files(installation, "kubernetes", ACCOUNTS).values()
    assert not re.search(r"@[A-Z]+@", text)
    return [each for each in yaml.safe_load_all(text) if each["kind"] == "CronJob"]


def test_cron_jobs_do_not_overlap_and_are_not_repeated(jobs: list[dict[str, Any]]) -> None:
    run, sweep = (job["spec"] for job in jobs)

    assert (run["schedule"], sweep["schedule"]) == ("4-59/15 * * * *", "11 3 * * 0")
    for spec in (run, sweep):
        job = spec["jobTemplate"]["spec"]
        assert spec["concurrencyPolicy"] == "Forbid"
        assert (job["backoffLimit"], job["template"]["spec"]["restartPolicy"]) == (0, "Never")
        assert job["activeDeadlineSeconds"] in (3600, 21_600)
    assert run["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"] == ["run", "--wait", "600"]
    assert sweep["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"] == [
        "run",
        "--sweep",
        "--wait",
        "600",
    ]


def test_a_job_has_no_rights_and_reads_its_keys_from_a_mounted_secret(jobs: list[dict[str, Any]]) -> None:
    for job in jobs:
        pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["securityContext"] == CLOSED
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert container["resources"]["limits"] == {"memory": "2Gi"}
        given = {each["name"]: each["value"] for each in container["env"]}
        assert len(given) == 4
        assert all(map(is_secret_file_variable, given))
        mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
        assert all(path.startswith(f"{mounts['keys']['mountPath']}/") for path in given.values())
        assert mounts["keys"]["readOnly"] is True
        (secret,) = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
        assert secret["defaultMode"] == 0o440


@pytest.fixture
def loop(compose: dict[str, Any], tmp_path: Path) -> subprocess.Popen[str]:
    """Starts the service's shell loop with a program that writes down its arguments and then sleeps."""
    program = tmp_path / "bin" / "pickups"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\nexec sleep 60\n')
    program.chmod(0o755)
    service = compose["services"]["pickups"]
    (text,) = service["command"]
    words = [*service["entrypoint"], text.replace("$$", "$")]  # Compose replaces $$
    return subprocess.Popen(words, env={"PATH": f"{program.parent}:/usr/bin:/bin"}, stderr=subprocess.PIPE, text=True)


def test_stopping_the_service_stops_its_run(loop: subprocess.Popen[str], tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    deadline = time.monotonic() + 10
    while not calls.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    (child,) = Path(f"/proc/{loop.pid}/task/{loop.pid}/children").read_text().split()

    loop.send_signal(signal.SIGTERM)

    assert loop.wait(10) == 143
    assert loop.stderr
    assert loop.stderr.read() in ("", "Terminated\n")  # some shells report the signal that they sent
    assert not Path(f"/proc/{child}").exists()
    is_sweep = time.strftime("%u%H", time.gmtime()) == "703"
    assert is_sweep or calls.read_text() == "run --timeout 21600\n"
    with pytest.raises(ProcessLookupError):
        os.kill(int(child), 0)
