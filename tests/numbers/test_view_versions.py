"""Tests when existing views count as current: the same digest, or the views of a later version of this package."""

from __future__ import annotations

import pytest

from pipelines.analytics import views
from pipelines.dialects import DUCKDB

DIGEST = views._current_digest(DUCKDB)


@pytest.mark.parametrize(
    ("installed", "there", "digest", "is_current"),
    [
        ("1.0.0", "1.0.0", DIGEST, True),
        ("1.0.0", "1.0.0", "0123abcd", False),
        ("1.0.0", "0.2.0", "0123abcd", False),
        ("1.0.0", "10.0.0", "0123abcd", True),
        ("1.0.0rc1", "0.2.0", "0123abcd", False),
        ("1.0.0rc1", "1.0.0", "0123abcd", True),
        ("1.0.0", "1.0.0rc1", "0123abcd", False),
        ("1.0.0rc1", "1.0.0rc2", "0123abcd", True),
        ("1.0.0rc1", "1.0.0rc1.dev3", "0123abcd", False),
    ],
)
def test_views_of_a_later_version_are_current_and_a_candidate_comes_before_its_release(
    monkeypatch: pytest.MonkeyPatch, installed: str, there: str, digest: str, is_current: bool
) -> None:
    monkeypatch.setattr(views, "version", lambda _name: installed)
    comments = {path.stem: f"One row per pickup. ({there}, {digest})" for path in views.view_files()}

    assert views.views_are_current(comments, DUCKDB) is is_current


def test_views_without_a_version_are_not_current() -> None:
    assert not views.views_are_current({path.stem: "One row per pickup." for path in views.view_files()}, DUCKDB)
