"""Tests optional fields that can't be read: each costs its own value, which `extra` keeps, and never the pickup."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from sources.sendcloud.api.v2 import V2
from sources.sendcloud.api.v3 import V3
from sources.sendcloud.records.decode import Page, decode_page
from tests.support.installation import as_row

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
REQUIRED = {
    "id": 294344,
    "carrier_code": "dpd",
    "status": "CREATED",
    "created_at": "2022-11-25T13:15:18Z",
}
OPENS, CLOSES = "2022-11-26T11:00:00Z", "2022-11-26T14:00:00Z"
ELEVEN, TWO = datetime(2022, 11, 26, 11, tzinfo=UTC), datetime(2022, 11, 26, 14, tzinfo=UTC)


def v2_page(*records: Any) -> Page:
    return decode_page(json.dumps({"next": None, "pickups": list(records)}).encode(), "default", V2)


def v2_text(fields: bytes) -> Page:
    """Returns a page with a plain record, and with one whose fields are written out."""
    second = b'{"id":2,"carrier":"dpd","pickup_status":"Created","created_at":"2022-11-25T13:15:18Z",%b}' % fields
    return decode_page(b'{"next":null,"pickups":[%b,%b]}' % (json.dumps(PLAIN).encode(), second), "default", V2)


def v3_row(**fields: Any) -> tuple[dict[str, Any], Page]:
    page = decode_page(json.dumps({"data": [{**REQUIRED, **fields}]}).encode(), "default", V3)
    (row,) = page.rows.to_pylist()
    return row, page


@pytest.mark.parametrize(
    ("field", "sent"),
    [
        ("contract", "57"),
        ("contract", "57,"),
        ("contract", 57.0),
        ("contract", 2**63),
        ("contract", True),
        ("tracking_number", 1785.0),
        ("tracking_number", ["a"]),
        ("tracking_number", False),
        ("country", 7),
        ("country", {"code": "NL"}),
        ("pickup_from", "2022-11-26T11:00:00"),
        ("pickup_from", "tomorrow"),
        ("pickup_until", "2022-02-30T10:00:00Z"),
        ("pickup_until", 1669381518),
        ("pickup_until", "9999-12-31T23:59:59-01:00"),
        ("pickup_from", "0001-01-01T00:00:00+01:00"),
        ("cancelled_at", "0000-00-00 00:00:00"),
        ("cancelled_at", "+12022-11-26T11:00:00Z"),
        ("cancelled_at", " "),
        ("contract", " "),
        ("cancelled_at", []),
    ],
)
def test_an_unreadable_optional_field_is_null_kept_in_extra_and_counted(field: str, sent: Any) -> None:
    page = v2_page(PLAIN, {**PLAIN, "id": 2, field: sent})

    kept = json.dumps({field: sent}, separators=(",", ":"))
    assert page.rejected == []
    assert page.rows.to_pylist() == [
        as_row(PLAIN, api_version="v2"),
        as_row(PLAIN, api_version="v2") | {"id": 2, field: None, "extra": kept},
    ]
    assert (page.unreadable_fields, page.unknown_fields) == ({field: 1}, {})


@pytest.mark.parametrize("field", ["pickup_from", "pickup_until", "cancelled_at", "contract"])
def test_an_empty_text_where_an_instant_or_a_number_is_due_is_null_and_not_counted(field: str) -> None:
    page = v2_page({**PLAIN, field: ""})

    assert page.rows.to_pylist() == [as_row(PLAIN, api_version="v2") | {field: None}]
    assert (page.rejected, page.unreadable_fields) == ([], {})


def test_an_empty_text_where_a_text_is_due_stays_an_empty_text() -> None:
    """The page is read record by record, because of its empty `contract`."""
    (row,) = v2_page({**PLAIN, "country": "", "tracking_number": "", "contract": ""}).rows.to_pylist()

    assert (row["country"], row["tracking_number"], row["contract"]) == ("", "", None)


def test_several_unreadable_fields_and_unknown_ones_share_extra_and_are_counted_by_name() -> None:
    broken = {**PLAIN, "contract": "57", "cancelled_at": "soon", "colour": "green"}
    page = v2_page(broken, {**PLAIN, "id": 2, "contract": "58"})

    assert page.rows["extra"].to_pylist() == [
        '{"cancelled_at":"soon","colour":"green","contract":"57"}',
        '{"contract":"58"}',
    ]
    assert page.unreadable_fields == {"contract": 2, "cancelled_at": 1}
    assert page.unknown_fields == {"colour": 1}


@pytest.mark.parametrize("field", ["id", "carrier", "pickup_status", "created_at"])
def test_an_unreadable_required_field_quarantines_the_record_and_names_that_field(field: str) -> None:
    """The record also has an unreadable optional field, which comes first and is not the reason."""
    broken = {"contract": "57", **PLAIN, field: None}
    page = v2_page({**broken, "contract": "57"})

    (rejected,) = page.rejected
    assert f"`$.{field}`" in rejected.reason
    assert json.loads(rejected.record) == {**broken, "contract": "57"}
    assert page.unreadable_fields == {}


def test_half_a_surrogate_pair_or_nan_in_an_optional_or_unknown_field_costs_only_that_field() -> None:
    """Undeclared Latin-1 arrives like this too (http/responses.py). No database could hold either as JSON."""
    sent = rb'"tracking_number":"\ud800","contract":NaN,"note":"caf\udce9","country":"NL"'
    page = v2_text(sent)

    assert page.rejected == []
    row = page.rows.to_pylist()[1]
    assert (row["tracking_number"], row["contract"], row["country"]) == (None, None, "NL")
    assert row["extra"] == r'{"contract":"NaN","note":"caf\\udce9","tracking_number":"\\ud800"}'
    assert (page.unreadable_fields, page.unknown_fields) == ({"tracking_number": 1, "contract": 1}, {"note": 1})


@pytest.mark.parametrize("field", ["carrier", "pickup_status"])
def test_half_a_surrogate_pair_in_a_required_field_still_quarantines_the_record(field: str) -> None:
    body = json.dumps({"next": None, "pickups": [PLAIN, {**PLAIN, "id": 2, field: "XX"}]}).replace("XX", r"\ud800")
    page = decode_page(body.encode(), "default", V2)

    assert (page.rows["id"].to_pylist(), len(page.rejected)) == ([294344], 1)


def test_other_records_keep_their_digits_on_a_page_with_half_a_surrogate_pair() -> None:
    body = (
        rb'{"next":null,"pickups":[{"id":1,"carrier":"\ud800"},'
        rb'{"id":2,"carrier":"dpd","pickup_status":"Created","created_at":"2022-11-25T13:15:18Z","price":1.10,"far":1e400}]}'
    )
    page = decode_page(body, "default", V2)

    assert (page.rows["extra"].to_pylist(), len(page.rejected)) == (['{"far":1e400,"price":1.10}'], 1)


# Digits


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("1e400", "1e400"),
        ("1.10", "1.10"),
        ("1E+05", "1E+05"),
        ("-0", "-0"),
        ("-0.0", "-0.0"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        ("1e-999", "1e-999"),
        ("1e1000", '"1e1000"'),
        ("1e-01000", '"1e-01000"'),
        ("9" * 1000, "9" * 1000),
        ("9" * 5000, f'"{"9" * 5000}"'),
        ('{"b":[1.10,{"d":1e400,"c":-0}],"a":"\\u00e9\\/"}', '{"a":"é/","b":[1.10,{"c":-0,"d":1e400}]}'),
        ('"\\u0000"', '"\\u0000"'),
    ],
    ids=lambda text: text[:24],
)
def test_extra_keeps_numbers_digit_by_digit(sent: str, kept: str) -> None:
    """A number that PostgreSQL's jsonb or Spark could not hold is kept as text."""
    page = v2_text(b'"price":' + sent.encode())

    assert page.rejected == []
    assert page.rows["extra"].to_pylist() == [None, f'{{"price":{kept}}}']
    assert page.unknown_fields == {"price": 1}


def test_an_unreadable_number_is_kept_digit_by_digit() -> None:
    row = v2_text(b'"contract":57.10,"tracking_number":1e400').rows.to_pylist()[1]

    assert (row["contract"], row["tracking_number"]) == (None, None)
    assert row["extra"] == '{"contract":57.10,"tracking_number":1e400}'


def test_time_slots_keep_the_digits_of_unknown_fields() -> None:
    sent = b'"time_slots":[{"start_at":"2022-11-26T11:00:00Z","fee":1.10}]'
    record = b'{"id":7,"carrier_code":"dpd","status":"CREATED","created_at":"2022-11-25T13:15:18Z",%b}' % sent
    (row,) = decode_page(b'{"data":[%b]}' % record, "default", V3).rows.to_pylist()

    assert row["time_slots"] == '[{"fee":1.10,"start_at":"2022-11-26T11:00:00Z"}]'


def test_a_quarantined_record_keeps_its_digits_under_the_hash_that_older_versions_gave_it() -> None:
    """The hash was worked out with `printf '%s' '{"carrier":"dpd","id":null,"price":1.1}' | sha256sum`."""
    page = decode_page(b'{"next":null,"pickups":[{"id":null,"carrier":"dpd","price":1.10}]}', "default", V2)

    (rejected,) = page.rejected
    assert rejected.record == '{"carrier":"dpd","id":null,"price":1.10}'
    assert rejected.record_hash == "d59bfd09cd1467b06cd3fe51fb8b7385649a25e9c7d6b35670992f7f5108e944"


@pytest.mark.parametrize(
    ("sent", "record", "record_hash"),
    [
        (
            rb'{"id":1,"carrier":"\ud800","price":1.10}',
            r'{"carrier":"\\ud800","id":1,"price":1.10}',
            "31e37ffa678132a18c71099846b35eff23c6602b5e3e333dea4bcd5f5859ea06",
        ),
        (
            b'{"id":1,"carrier":null,"price":1.10,"far":1e999}',
            '{"carrier":null,"far":1e999,"id":1,"price":1.10}',
            "044aef970bc8c999fd8883e86c9ac0fb9aef7f34166dd6f24dc2b451ed2e53c8",
        ),
    ],
    ids=["half a surrogate pair", "1e999"],
)
def test_the_hash_of_a_record_that_msgspec_cannot_read_stays_the_same(
    sent: bytes, record: str, record_hash: str
) -> None:
    """The hashes are those of the texts that version 0.1.0 stored, in which 1e999 was text and 1.10 was 1.1."""
    (rejected,) = decode_page(b'{"next":null,"pickups":[%b]}' % sent, "default", V2).rejected

    assert (rejected.record, rejected.record_hash) == (record, record_hash)


# API v3


@pytest.mark.parametrize(
    ("field", "sent", "column"),
    [
        ("contract_id", "57", "contract"),
        ("tracking_number", 1785.0, "tracking_number"),
        ("country", 7, "country"),
        ("cancelled_at", "2022-11-26T11:00:00", "cancelled_at"),
    ],
)
def test_extra_names_an_unreadable_field_of_v3_as_the_api_does(field: str, sent: Any, column: str) -> None:
    row, page = v3_row(**{field: sent})

    assert (row[column], row["extra"]) == (None, json.dumps({field: sent}, separators=(",", ":")))
    assert (page.unreadable_fields, page.unknown_fields) == ({field: 1}, {})


@pytest.mark.parametrize(
    ("slots", "opens", "closes"),
    [
        ("morning", None, None),
        ({"start_at": OPENS}, None, None),
        (["morning"], None, None),
        ([{"start_at": "2022-11-26T11:00:00", "end_at": CLOSES}], None, TWO),
        ([{"start_at": OPENS, "end_at": "2022-11-26T14:00:00"}], ELEVEN, None),
        ([{"start_at": OPENS, "end_at": CLOSES}, {"start_at": "later", "end_at": CLOSES}], None, TWO),
        ([{"end_at": CLOSES}], None, TWO),
        ([{"start_at": None, "end_at": CLOSES}], None, TWO),
        ([{"start_at": "", "end_at": CLOSES}], None, TWO),
        ([{"start_at": OPENS, "end_at": "9999-12-31T23:59:59-01:00"}], ELEVEN, None),
        ([{"start_at": OPENS, "end_at": " "}], ELEVEN, None),
    ],
)
def test_unreadable_time_slots_cost_only_the_part_of_the_window_that_they_hide(
    slots: Any, opens: datetime | None, closes: datetime | None
) -> None:
    """The column `time_slots` is null, because a view could not tell its times from readable ones."""
    row, page = v3_row(time_slots=slots)

    assert (row["pickup_from"], row["pickup_until"], row["time_slots"]) == (opens, closes, None)
    assert json.loads(row["extra"]) == {"time_slots": slots}
    assert page.unreadable_fields == {"time_slots": 1}


@pytest.mark.parametrize(
    ("slots", "opens", "stored"),
    [
        ("", None, None),
        ([{"start_at": OPENS, "end_at": ""}], ELEVEN, f'[{{"end_at":null,"start_at":"{OPENS}"}}]'),
    ],
)
def test_an_empty_text_in_time_slots_is_null(slots: Any, opens: datetime | None, stored: str | None) -> None:
    row, page = v3_row(time_slots=slots)

    assert (row["pickup_from"], row["pickup_until"], row["time_slots"]) == (opens, None, stored)
    assert (row["extra"], page.unreadable_fields) == (None, {})
