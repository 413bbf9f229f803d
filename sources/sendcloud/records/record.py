"""Reads a single record. An unreadable optional field is set to null, and the pickup is still loaded."""

from __future__ import annotations

from datetime import UTC
from functools import cache
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw
from msgspec.json import Decoder

from ..api.fields import NULL, decoder_of, readable
from ..api.version import Version
from .json_text import escape_surrogates, join_as_sent, keep_as_sent, sorted_json, split_as_sent
from .tables import BOOKED_FROM, BOOKED_UNTIL, INSTANTS


class ReadRecord(NamedTuple):
    """A pickup, and the parts of its record that have no column, as JSON texts keyed by the API's field names."""

    pickup: Any
    unknown: dict[str, Raw]
    unreadable: dict[str, Raw]
    slots: str | None

    @property
    def extra(self) -> str | None:
        """The unknown and unreadable fields as one JSON object, or None if there are none."""
        if not self.unknown and not self.unreadable:
            return None
        parts = {name: keep_as_sent(value) for name, value in {**self.unknown, **self.unreadable}.items()}
        return sorted_json.encode(parts).decode()


@cache
def _fields_of(version: Version) -> tuple[frozenset[str], dict[str, Decoder[Any]]]:
    """Returns the field names that the API uses, and the decoders of the optional fields."""
    fields = msgspec.structs.fields(version.pickup)
    optional = {field.encode_name: Decoder(field.type) for field in fields if not field.required}
    return frozenset(field.encode_name for field in fields), optional


_decode_fields = Decoder(dict[str, Raw])


def read_record(raw: Raw, version: Version) -> ReadRecord:
    """Returns the pickup, even if optional fields can't be read.

    Raises:
        msgspec.DecodeError, OverflowError: the record can't be loaded. The message names the field.
    """
    (names, optional), unreadable = _fields_of(version), dict[str, Raw]()
    fields = _fields(raw)
    try:
        pickup = _booking_of(decoder_of(version.pickup).decode(raw))
    except (msgspec.DecodeError, OverflowError):
        fields, unreadable = _readable_fields(fields, version, optional)
        known = {name: value for name, value in fields.items() if name in names}
        pickup = _booking_of(decoder_of(version.partial).decode(sorted_json.encode(known)))
    unknown = {name: fields[name] for name in fields.keys() - names}
    return ReadRecord(pickup, unknown, unreadable, _slots(fields, unreadable) if "time_slots" in names else None)


def _fields(raw: Raw) -> dict[str, Raw]:
    """Returns the record's fields, even if msgspec can't split the record because of NaN or half a surrogate pair."""
    try:
        return _decode_fields.decode(raw)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        try:
            sent = split_as_sent(bytes(raw))
        except (ValueError, RecursionError):
            raise error from None
        if not isinstance(sent, dict):
            raise
        return {escape_surrogates(name): join_as_sent(value) for name, value in sent.items()}


def _readable_fields(
    fields: dict[str, Raw], version: Version, optional: dict[str, Decoder[Any]]
) -> tuple[dict[str, Raw], dict[str, Raw]]:
    """Returns all fields, with only the readable parts of optional fields, and the unreadable optional fields."""
    known, unreadable = dict(fields), {}
    for name, decoder in optional.items():
        if name not in fields:
            continue
        if name == "time_slots" and version.readable_slots:
            known[name], is_complete = version.readable_slots(fields[name])
        else:
            value = readable(fields[name], decoder)
            known[name], is_complete = value or NULL, value is not None
        if not is_complete:
            unreadable[name] = fields[name]
    return known, unreadable


def _slots(fields: dict[str, Raw], unreadable: dict[str, Raw]) -> str | None:
    slots = NULL if "time_slots" in unreadable else fields.get("time_slots", NULL)
    return None if bytes(slots) == bytes(NULL) else bytes(keep_as_sent(slots)).decode()


def _booking_of(pickup: Any) -> Any:
    """Returns the pickup. Raises an OverflowError that names the field if a time is invalid.

    After conversion to UTC, all times must be in the years 1 to 9999. The booking time must lie between BOOKED_FROM and
    BOOKED_UNTIL (`tables.py`), because dlt's incremental may drop rows outside those bounds.
    """
    for field in INSTANTS:
        try:
            _ = getattr(pickup, field) and getattr(pickup, field).astimezone(UTC)
        except OverflowError:
            raise OverflowError(f"Expected a year from 1 to 9999 in UTC - at `$.{field}`") from None
    if not BOOKED_FROM <= pickup.created_at < BOOKED_UNTIL:
        raise OverflowError("Expected a year from 1970 to 2064 - at `$.created_at`")
    return pickup
