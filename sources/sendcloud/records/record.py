"""Reads a single record. An unreadable optional field is set to null, and the pickup is still loaded."""

from __future__ import annotations

from datetime import UTC
from functools import cache
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw
from msgspec.json import Decoder

from ..api.fields import NULL, readable
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


class _Decoders(NamedTuple):
    pickup: Decoder[Any]
    partial: Decoder[Any]
    fields: frozenset[str]  # the field names that the API uses
    optional: dict[str, Decoder[Any]]


@cache
def _decoders(version: Version) -> _Decoders:
    fields = msgspec.structs.fields(version.pickup)
    optional = {field.encode_name: Decoder(field.type) for field in fields if not field.required}
    names = frozenset(field.encode_name for field in fields)
    return _Decoders(Decoder(version.pickup), Decoder(version.partial), names, optional)


_decode_fields = Decoder(dict[str, Raw])


def read_record(raw: Raw, version: Version) -> ReadRecord:
    """Returns the pickup, even if optional fields can't be read.

    Raises:
        msgspec.DecodeError, OverflowError: the record can't be loaded. The message names the field.
    """
    decoders, unreadable = _decoders(version), dict[str, Raw]()
    fields = _fields(raw)
    try:
        pickup = _booking_of(decoders.pickup.decode(raw))
    except (msgspec.DecodeError, OverflowError):
        fields, unreadable = _readable_fields(fields, version, decoders)
        pickup = _booking_of(decoders.partial.decode(sorted_json.encode(_known(fields, decoders))))
    unknown = {name: fields[name] for name in fields.keys() - decoders.fields}
    return ReadRecord(pickup, unknown, unreadable, _slots(fields, unreadable, decoders))


def _known(fields: dict[str, Raw], decoders: _Decoders) -> dict[str, Raw]:
    return {name: value for name, value in fields.items() if name in decoders.fields}


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
    fields: dict[str, Raw], version: Version, decoders: _Decoders
) -> tuple[dict[str, Raw], dict[str, Raw]]:
    """Returns all fields, with only the readable parts of optional fields, and the unreadable optional fields."""
    known, unreadable = dict(fields), {}
    for name, decoder in decoders.optional.items():
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


def _slots(fields: dict[str, Raw], unreadable: dict[str, Raw], decoders: _Decoders) -> str | None:
    if "time_slots" not in decoders.fields or "time_slots" in unreadable:
        return None
    slots = fields.get("time_slots", NULL)
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
