"""Defines the order of the rows and of the columns in which `pickups show` prints a view for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_ACCOUNTS = "is_every_account desc, account"
_RATES = f"outcome, breakdown, {_ACCOUNTS}, carrier, country, measure, band, week_local_start desc"


class ViewOrder(NamedTuple):
    """`rows` is an SQL `order by` list. `columns` are the most important columns; all others follow."""

    rows: str
    columns: str


# The rows' keys come first, then the answer. Past days are in descending order, because 100 rows are printed at most.
VIEW_ORDERS = {
    "acceptance_times": ViewOrder(
        f"{_ACCOUNTS}, is_every_carrier desc, carrier",
        "account carrier accepted median_hours_to_acceptance p90_hours_to_acceptance p99_hours_to_acceptance watched",
    ),
    "booking_bands": ViewOrder(
        "account, is_every_carrier desc, carrier, measure, band, booked_day_local desc",
        "account carrier measure band booked_day_local mature_cancelled rated",
    ),
    "booking_days": ViewOrder(
        "account, booked_day_local desc, carrier, country",
        "account booked_day_local carrier country mature_cancelled rated mature_failed failure_n",
    ),
    "cancellation_changes": ViewOrder(
        f"{_ACCOUNTS}, carrier",
        "account carrier difference is_more_than_chance is_alarm before_rate now_rate now_n difference_low "
        "difference_high",
    ),
    "cancellation_timing": ViewOrder(
        f"{_ACCOUNTS}, carrier, age_hours",
        "account carrier age_hours share_cancelled half_age_hours cancelled at_risk",
    ),
    "cancellations_by_booking": ViewOrder(
        f"{_ACCOUNTS}, is_every_carrier desc, carrier, measure, band",
        "account carrier measure band cancellation_rate cancellation_rate_low cancellation_rate_high stands_out rated",
    ),
    "carrier_cancellations": ViewOrder(
        f"{_ACCOUNTS}, carrier, country <> 'all', country",
        "account carrier country cancellation_rate cancellation_rate_low cancellation_rate_high stands_out rated",
    ),
    "carrier_cancellations_weekly": ViewOrder(
        f"{_ACCOUNTS}, booked_week_local_start desc, carrier",
        "account booked_week_local_start carrier cancellation_rate rated is_week_mature "
        "cancelled_within_48_hours_rate is_early_signal_complete",
    ),
    "carrier_expected": ViewOrder(
        f"{_ACCOUNTS}, carrier", "account carrier observed expected ratio ratio_low ratio_high stands_out n"
    ),
    "carrier_net_cancellations": ViewOrder(
        f"{_ACCOUNTS}, carrier, country <> 'all', country",
        "account carrier country net_cancellation_rate net_cancellation_rate_low net_cancellation_rate_high net_rated",
    ),
    "carrier_window_grid": ViewOrder(
        f"{_ACCOUNTS}, carrier, window_opens_isodow_local, window_opens_hour_local",
        "account carrier window_opens_isodow_local window_opens_hour_local pickups",
    ),
    "carrier_windows": ViewOrder(
        f"{_ACCOUNTS}, carrier",
        "account carrier with_window open_ended_share median_window_hours median_lead_time_hours "
        "most_common_opening_hour_local",
    ),
    "moved_windows": ViewOrder(
        f"{_ACCOUNTS}, carrier",
        "account carrier watched moved moved_share median_shift_hours moved_later moved_earlier",
    ),
    "pickup_slots": ViewOrder(
        "account, pickup_id desc, slot_number",
        "account pickup_id slot_number carrier country slot_opens_utc slot_closes_utc slot_hours",
    ),
    "pickups": ViewOrder(
        "created_at_utc desc, account, pickup_id desc",
        "account pickup_id carrier country pickup_status created_at_utc pickup_from_utc pickup_until_utc "
        "cancelled_at_utc",
    ),
    "quarantine": ViewOrder(
        "last_seen_at_utc desc, account, record_hash", "account reason last_seen_at_utc first_seen_at_utc is_resolved"
    ),
    "rate_intervals": ViewOrder(_RATES, "outcome breakdown account carrier rate rate_low rate_high k n stands_out"),
    "rate_moments": ViewOrder(_RATES, "outcome breakdown account carrier k n clusters"),
    "rates": ViewOrder(_RATES, "outcome breakdown account carrier rate rate_low rate_high k n stands_out"),
    "rebookings": ViewOrder(
        "cancelled_at_utc desc, account, pickup_id desc",
        "account pickup_id carrier country cancelled_at_utc is_rebooked chance_of_a_booking",
    ),
    "runs": ViewOrder(
        "started_at_utc desc, account, run_id",
        "account started_at_utc has_succeeded error rows_new rows_changed rows_cancelled seconds checks_failed",
    ),
    "stuck_pickups": ViewOrder(
        "hours_waiting desc, account, pickup_id",
        "account pickup_id carrier country hours_waiting p99_hours_to_acceptance tracking_number pickup_until_utc",
    ),
    "upcoming_pickups": ViewOrder(
        f"{_ACCOUNTS}, window_opens_day_local, window_opens_hour_local, carrier",
        "account window_opens_day_local window_opens_hour_local carrier pickups expected_cancellations pending "
        "expected_cancellations_low expected_cancellations_high",
    ),
}


def order_by(view: str, columns: Sequence[str]) -> str:
    """Returns the `order by` clause, without columns that the view of another version lacks."""
    parts = [part for part in VIEW_ORDERS[view].rows.split(", ") if part.split()[0] in columns]
    return f" order by {', '.join(parts)}" if parts else ""


def by_importance(view: str, columns: Sequence[str]) -> list[int]:
    """Returns the places of a view's columns, with those of the most important columns first."""
    first = VIEW_ORDERS[view].columns.split()
    return sorted(range(len(columns)), key=lambda n: first.index(columns[n]) if columns[n] in first else len(first) + n)
