"""Tests that a record of the API becomes a row, or is quarantined with the reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.sendcloud.api.v2 import V2
from sources.sendcloud.api.v3 import V3
from sources.sendcloud.records.decode import Page, decode_page
from sources.sendcloud.records.tables import columns_of, keep_latest, to_table
from sources.sendcloud.sandbox.forms import V3 as V3_FORM
from tests.support.installation import as_row

pytestmark = pytest.mark.versions

PLAIN = {
    "id": 294344,
    "carrier": "dpd",
    "country": "DE",
    "tracking_number": "09985053927752",
    "pickup_from": "2022-11-26T11:00:00Z",
    "pickup_until": "2022-11-26T14:00:00Z",
    "pickup_status": "Created",
    "created_at": "2022-11-25T13:15:18.160521Z",
    "cancelled_at": None,
    "contract": 14,
}


def page_of(*records: Any, next_link: str | None = None) -> Page:
    body = {"next": next_link, "previous": None, "pickups": list(records)}
    return decode_page(json.dumps(body).encode(), "default", V2)


def test_a_valid_record_becomes_a_row_with_its_values() -> None:
    page = page_of(PLAIN, next_link="https://panel.sendcloud.sc/api/v2/pickups/?cursor=x")

    assert page.rows.to_pylist() == [as_row(PLAIN)]
    assert page.rejected == []
    assert page.next == "https://panel.sendcloud.sc/api/v2/pickups/?cursor=x"


@pytest.mark.parametrize(
    ("field", "sent", "stored"),
    [
        ("created_at", "2022-11-25T14:15:18.16+01:00", datetime(2022, 11, 25, 13, 15, 18, 160_000, tzinfo=UTC)),
        ("created_at", "2022-11-25T13:15:18Z", datetime(2022, 11, 25, 13, 15, 18, tzinfo=UTC)),
        ("tracking_number", "", ""),
        ("tracking_number", None, None),
        ("tracking_number", 220406003404, "220406003404"),
        ("tracking_number", "791043498202211103183", "791043498202211103183"),
        ("contract", None, None),
        ("country", "XX", "XX"),
        ("country", None, None),
        ("pickup_status", "CANCELLATION_REQUESTED", "CANCELLATION_REQUESTED"),
        ("pickup_until", None, None),
        ("pickup_until", "2021-11-26T14:00:00Z", datetime(2021, 11, 26, 14, tzinfo=UTC)),
        ("id", 2**63 - 1, 2**63 - 1),
    ],
)
def test_a_value_with_only_one_interpretation_is_loaded(field: str, sent: Any, stored: Any) -> None:
    (row,) = page_of(PLAIN | {field: sent}).rows.to_pylist()

    assert row[field] == stored


@pytest.mark.parametrize(
    "field", ["country", "tracking_number", "pickup_from", "pickup_until", "cancelled_at", "contract"]
)
def test_an_optional_field_may_be_absent(field: str) -> None:
    (row,) = page_of({name: value for name, value in PLAIN.items() if name != field}).rows.to_pylist()

    assert row[field] is None


@pytest.mark.parametrize(
    ("field", "sent", "reason"),
    [
        ("id", None, "Expected `int`, got `null` - at `$.id`"),
        ("id", "294344", "Expected `int`, got `str` - at `$.id`"),
        ("id", 0, "Expected `int` >= 1 - at `$.id`"),
        ("id", 1.5, "Expected `int`, got `float` - at `$.id`"),
        ("id", True, "Expected `int`, got `bool` - at `$.id`"),
        ("id", 2**63, "Expected `int` <= 9223372036854775807 - at `$.id`"),
        ("carrier", "", "Expected `str` of length >= 1 - at `$.carrier`"),
        ("carrier", None, "Expected `str`, got `null` - at `$.carrier`"),
        ("pickup_status", None, "Expected `str`, got `null` - at `$.pickup_status`"),
        ("created_at", None, "Expected `datetime`, got `null` - at `$.created_at`"),
        ("created_at", "soon", "Invalid RFC3339 encoded datetime - at `$.created_at`"),
        ("created_at", 1669381518, "Expected `datetime`, got `int` - at `$.created_at`"),
        ("created_at", "2022-11-25T13:15:18", "Expected `datetime` with a timezone component - at `$.created_at`"),
        ("created_at", "0001-01-01T00:00:00+01:00", "Expected a year from 1 to 9999 in UTC - at `$.created_at`"),
        ("created_at", "", "Invalid RFC3339 encoded datetime - at `$.created_at`"),
        ("pickup_status", "", "Expected `str` of length >= 1 - at `$.pickup_status`"),
    ],
)
def test_a_record_with_an_invalid_or_ambiguous_value_is_quarantined_with_the_reason(
    field: str, sent: Any, reason: str
) -> None:
    broken = PLAIN | {field: sent}
    page = page_of(PLAIN, broken)

    assert page.rows.to_pylist() == [as_row(PLAIN)]
    (rejected,) = page.rejected
    assert rejected.reason == reason
    assert json.loads(rejected.record) == broken


@pytest.mark.parametrize("record", [None, 7, "pickup", []])
def test_a_record_that_is_not_an_object_is_quarantined(record: Any) -> None:
    page = page_of(record, PLAIN)

    assert (page.rows.num_rows, len(page.rejected)) == (1, 1)


def test_a_lone_surrogate_quarantines_only_its_own_record() -> None:
    body = b'{"next": null, "pickups": [{"id": 1, "carrier": "\\ud800"}, %s]}' % json.dumps(PLAIN).encode()
    page = decode_page(body, "default", V2)

    assert (page.rows.num_rows, len(page.rejected)) == (1, 1)
    assert json.loads(page.rejected[0].record) == {"id": 1, "carrier": "\\ud800"}


def test_a_quarantined_record_keeps_its_booking_time_if_that_time_is_readable() -> None:
    page = page_of(PLAIN | {"carrier": None}, PLAIN | {"created_at": "soon"}, None)

    booked = datetime(2022, 11, 25, 13, 15, 18, 160_521, tzinfo=UTC)
    assert [rejected.created_at for rejected in page.rejected] == [booked, None, None]


def test_a_deeply_nested_page_is_an_error_and_not_a_crash() -> None:
    with pytest.raises(msgspec.DecodeError, match="nested too deeply"):
        decode_page(b'{"next": null, "pickups": [' + b"[" * 5000 + b"]" * 5000 + b"]}", "default", V2)


def test_the_hash_of_a_broken_record_does_not_depend_on_the_order_of_its_fields() -> None:
    broken = PLAIN | {"id": None}
    turned = dict(reversed(broken.items()))

    assert page_of(broken).rejected == page_of(turned).rejected


def test_unknown_fields_are_stored_completely_and_counted() -> None:
    page = page_of(PLAIN | {"colour": "green"}, PLAIN, PLAIN | {"colour": None, "depot": {"b": [1, 2.5], "a": {}}})

    assert page.unknown_fields == {"colour": 2, "depot": 1}
    assert page.rows["extra"].to_pylist() == [
        '{"colour":"green"}',
        None,
        '{"colour":null,"depot":{"a":{},"b":[1,2.5]}}',
    ]


@pytest.mark.parametrize(
    "body", [b"[]", b'{"next": null}', b'{"pickups": {}}', b'{"pickups": null}', b"{", b'{"pickups": [], "next": 7}']
)
def test_a_body_that_is_not_a_page_is_an_error_and_not_an_empty_page(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_page(body, "default", V2)


bookings = st.datetimes(datetime(1970, 1, 2), datetime(2064, 12, 30))  # noqa: DTZ001  # the text gets the offset
moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))  # noqa: DTZ001  # as above
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
records = st.fixed_dictionaries(
    {
        "id": st.integers(1, 2**63 - 1),
        "carrier": texts.filter(bool),
        "pickup_status": texts.filter(bool),
        "created_at": bookings.map(lambda moment: f"{moment.isoformat()}Z"),
        "cancelled_at": st.none() | moments.map(lambda moment: f"{moment.isoformat()}Z"),
    },
    optional={
        "country": st.none() | texts,
        "tracking_number": st.none() | texts,
        "pickup_from": st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(lambda d: d.isoformat() + "+02:00"),  # noqa: DTZ001
        "contract": st.none() | st.integers(-(2**63), 2**63 - 1),
    },
)


@settings(max_examples=200)
@given(st.lists(records, max_size=5))
def test_decoding_in_one_pass_and_record_by_record_gives_equal_rows(sent: list[dict[str, Any]]) -> None:
    """If one record of a page has an unknown field, the page is decoded record by record."""
    quick = page_of(*sent)
    careful = page_of(*sent, PLAIN | {"colour": "green"})

    assert quick.rejected == careful.rejected == []
    assert quick.rows.to_pylist() == [as_row(record) for record in sent]
    assert careful.rows.slice(0, len(sent)).equals(quick.rows)


@settings(max_examples=200)
@given(st.lists(records, max_size=5))
def test_decoding_in_one_pass_and_record_by_record_gives_equal_rows_in_v3(sent: list[dict[str, Any]]) -> None:
    as_v3 = [V3_FORM.record(record) for record in sent]
    quick, careful = (
        decode_page(json.dumps({"data": page}).encode(), "default", V3)
        for page in (as_v3, [*as_v3, V3_FORM.record(PLAIN) | {"colour": "green"}])
    )

    assert quick.rejected == careful.rejected == []
    assert quick.rows.to_pylist() == [as_row(record, api_version="v3") for record in sent]
    assert careful.rows.slice(0, len(sent)).equals(quick.rows)


@pytest.mark.parametrize("field", ["created_at", "pickup_from", "pickup_until", "cancelled_at"])
@pytest.mark.parametrize(
    "sent",
    [
        "2026-01-01",
        "2026-01-01T10Z",  # Arrow accepts it, but RFC 3339 does not
        "2026-01-01T10:00Z",  # likewise
        "2026-01-01T10:00:00+02",  # likewise
        "0000-01-01T10:00:00Z",  # likewise
        "2026-01-01 10:00:00Z",
        "2026-01-01T10:00:00+02:00",
        "2026-01-01T10:00:00.5Z",
        "2026-01-01T10:00:00.1234567Z",  # RFC 3339 accepts it, but Arrow does not
        "2026-01-01t10:00:00z",  # likewise
        "9999-12-31T23:59:59.999999Z",
        "1969-12-31T23:59:59Z",
        "2026-02-30T10:00:00Z",
        "2026-01-01T10:00:60Z",
        "2026-01-01T10:00:00",
        "",
        "soon",
    ],
)
def test_decoding_in_one_pass_and_record_by_record_treats_every_time_alike(field: str, sent: str) -> None:
    quick = page_of(PLAIN, PLAIN | {"id": 2, field: sent})
    careful = page_of(PLAIN, PLAIN | {"id": 2, field: sent}, PLAIN | {"id": 3, "colour": "green"})

    assert quick.rejected == careful.rejected
    assert careful.rows.slice(0, quick.rows.num_rows).equals(quick.rows)
    assert quick.rows.num_rows == careful.rows.num_rows - 1


def test_the_last_sighting_of_a_pickup_is_kept_at_its_own_position() -> None:
    first = page_of(PLAIN, PLAIN | {"id": 2}).rows
    second = page_of(PLAIN | {"id": 2, "pickup_status": "Cancelled"}, PLAIN | {"id": 3}).rows

    rows = keep_latest([first, second])

    assert rows["id"].to_pylist() == [294344, 2, 3]
    assert rows["pickup_status"].to_pylist() == ["Created", "Cancelled", "Created"]


def test_without_pages_the_table_is_empty_and_has_all_columns() -> None:
    assert keep_latest([]).equals(to_table(columns_of([]), [], [], "default", "v2"))
