"""Tests that a release is complete: one version everywhere, the tested versions, and the workflow that publishes it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from typing import Any

import pytest
import yaml

from tests.support.installation import REPOSITORY
from tests.wheel.interpreters import VERSIONS

UV = shutil.which("uv") or shutil.which("uv", path=REPOSITORY / ".venv" / "uv" / "bin")
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
VERSION = PROJECT["version"]
TESTED = REPOSITORY / "pipelines" / "tested-versions.txt"
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
RELEASE = REPOSITORY / ".github" / "workflows" / "release.yml"


def steps_of(job: dict[str, Any]) -> str:
    return "\n".join(step.get("run", "") for step in job["steps"])


def test_every_page_names_the_current_version() -> None:
    pages = [REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")]
    wheels = {name for page in pages for name in re.findall(r"sendcloud_pickups-([\w.]+)-py3", page.read_text())}

    assert wheels == {VERSION}
    assert f"The current version is {VERSION}." in (REPOSITORY / "SECURITY.md").read_text()
    headings = re.findall(r"^## (\S+),", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == VERSION


def test_every_tested_python_is_a_classifier_and_a_job() -> None:
    told = {text.split(" :: ")[-1] for text in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", text)}
    jobs = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text())["jobs"]

    assert told == set(VERSIONS) == {"3.11", "3.12", "3.13", "3.14"}
    for name in ("test", "wheel"):
        assert set(jobs[name]["strategy"]["matrix"]["python"]) == told


@pytest.mark.skipif(not UV, reason="uv, which reads the versions from uv.lock, is not installed")
def test_the_tested_versions_are_those_of_the_lock_file() -> None:
    """`make lock` writes both files."""
    words = "--frozen --no-dev --all-extras --no-emit-project --no-hashes --no-annotate --no-header --offline"
    done = subprocess.run(
        [str(UV), "export", "--quiet", *words.split()], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )

    assert TESTED.read_text() == done.stdout


def test_the_tested_versions_pin_every_dependency_of_the_project() -> None:
    pinned = {line.split("==")[0] for line in TESTED.read_text().splitlines()}
    wanted = [
        *PROJECT["dependencies"],
        *(name for extra in PROJECT["optional-dependencies"].values() for name in extra),
    ]
    names = {re.split(r"[\[<>=]", name)[0] for name in wanted} - {"sendcloud-pickups"}

    assert names <= pinned
    assert all(re.fullmatch(r"[\w.-]+==[\w.+]+( ; .+)?", line) for line in TESTED.read_text().splitlines())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_commit_and_no_job_has_more_rights_than_it_needs(path: Any) -> None:
    text = path.read_text()
    workflow = yaml.safe_load(text)

    assert workflow["permissions"] == {}
    for used in re.findall(r"uses: (.*)", text):
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", used), used
    for job in workflow["jobs"].values():
        assert "${{" not in steps_of(job)
        assert job["timeout-minutes"] <= 120


def test_the_printed_workflow_uses_actions_of_the_same_versions() -> None:
    """Dependabot updates the actions of the project's own workflows only."""
    printed = REPOSITORY / "pipelines" / "scheduling" / "templates" / "github" / "sendcloud-pickups.yml"
    own = {used for path in WORKFLOWS for used in re.findall(r"uses: (.*)", path.read_text())}

    used = re.findall(r"uses: (.*)", printed.read_text())
    assert len(used) == 2
    assert own >= {*used}


def test_a_tag_publishes_without_a_password_what_another_job_has_built() -> None:
    workflow = yaml.safe_load(RELEASE.read_text())
    build, publish = workflow["jobs"]["build"], workflow["jobs"]["publish"]

    assert workflow[True] == {"push": {"tags": ["v*"]}}
    assert build["permissions"] == {"contents": "read"}
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["needs"] == ["build", "attest"]
    assert publish["environment"]["name"] == "pypi"
    assert "secrets." not in RELEASE.read_text()
    assert "make dist" in steps_of(build)
    assert "cyclonedx-py" in steps_of(build)


def test_the_release_stops_if_the_tag_is_not_the_version_or_a_placeholder_remains() -> None:
    """The step's own shell code decides, so the test executes it."""
    (step,) = [
        step
        for step in yaml.safe_load(RELEASE.read_text())["jobs"]["build"]["steps"]
        if step.get("name") == "check the tag and the addresses"
    ]

    def stops(tag: str, folder: Any = REPOSITORY) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-e", "-c", step["run"]],
            cwd=folder,
            env={"GITHUB_REF_NAME": tag, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr

    code, says = stops("v9.9.9")
    assert (code, f"tag v9.9.9 is not v{VERSION}" in says) == (1, True)
    code, says = stops(f"v{VERSION}")
    assert (code, "OWNER" in says) == (1, True)  # passes only in a repository that has an address


def test_a_repository_with_its_own_address_passes_the_release_check(tmp_path: Any) -> None:
    (step,) = [
        step
        for step in yaml.safe_load(RELEASE.read_text())["jobs"]["build"]["steps"]
        if step.get("name") == "check the tag and the addresses"
    ]
    for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md", "SECURITY.md"):
        text = (REPOSITORY / name).read_text()
        (tmp_path / name).write_text(text.replace("OWNER", "shop").replace("REPOSITORY_URL", "https://a.example/x"))
    (tmp_path / "docs").mkdir()
    assert "OWNER/" in (REPOSITORY / "SECURITY.md").read_text()
    env = {"GITHUB_REF_NAME": f"v{VERSION}", "PATH": "/usr/bin:/bin"}

    done = subprocess.run(["bash", "-e", "-c", step["run"]], cwd=tmp_path, env=env, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("open_issues", "is_created"), [("0", True), ("1", False)])
def test_a_failed_night_opens_one_issue(tmp_path: Any, open_issues: str, is_created: bool) -> None:
    jobs = yaml.safe_load((REPOSITORY / ".github/workflows/nightly.yml").read_text())["jobs"]
    assert jobs["newest"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    (step,) = jobs["report"]["steps"]
    assert (jobs["report"]["if"], jobs["report"]["permissions"]) == ("failure()", {"issues": "write"})
    program = tmp_path / "gh"
    program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\n[ "$2" != list ] || echo {open_issues}\n')
    program.chmod(0o755)

    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "RUN_URL": "https://a.example/run/7"}
    subprocess.run(["bash", "-e", "-c", step["run"]], env=env, check=True)

    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0].startswith("issue list --state open ")
    assert [call.split(" --body ")[1] for call in calls[1:]] == (
        ["The nightly run failed: https://a.example/run/7"] if is_created else []
    )


def test_updates_of_dependencies_wait_a_week() -> None:
    updates = yaml.safe_load((REPOSITORY / ".github" / "dependabot.yml").read_text())["updates"]

    assert {each["package-ecosystem"] for each in updates} == {"github-actions", "uv"}
    assert all(each["cooldown"] == {"default-days": 7} for each in updates)
