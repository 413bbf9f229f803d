"""Tests the SQL files of the views and checks, and the views' columns."""

import duckdb
import pytest

from pipelines.analytics.checks import SEVERITY
from pipelines.analytics.views import grain_of, view_files
from pipelines.destinations.duckdb.blocks import STORAGE_VERSION
from tests.support.by_hand import CHECKS, OVER_PICKUPS, VIEWS, fill, pickup

pytestmark = pytest.mark.duckdb2


@pytest.mark.parametrize("view", VIEWS)
def test_view_file_states_its_grain_first_and_is_one_plain_select(view):
    grain, *rest = VIEWS[view].splitlines()

    assert grain.startswith("-- One row per ")
    assert next(line for line in rest if line and not line.startswith("--")).startswith("with ")
    assert VIEWS[view].rstrip().splitlines()[-1] == "select * from final"
    assert "create " not in VIEWS[view].lower()


def test_the_grain_is_the_whole_first_sentence_of_the_comment():
    grains = {path.stem: grain_of(path) for path in view_files()}

    assert grains["carrier_windows"] == "One row per carrier, for all accounts (is_every_account) and for each account."
    assert grains["rates"] == (
        "One row per outcome, breakdown, group and account (is_every_account: all accounts): the share of pickups with "
        "the outcome, its 95 % interval, how it differs from the other groups, and its rank."
    )
    assert [name for name, grain in grains.items() if not grain.endswith(".")] == []


@pytest.mark.parametrize("check", CHECKS)
def test_check_file_states_its_severity_and_its_reason_first(check):
    severity, why, *_ = CHECKS[check].splitlines()

    assert SEVERITY.fullmatch(f"{severity}\n")
    assert why.startswith("-- ")
    assert "create " not in CHECKS[check].lower()


def test_query_of_two_columns_of_the_pickups_view_reads_no_other_columns(warehouse):
    """A CTE that is read twice is materialized as a table of all pickups with all columns.

    With two million pickups, a query then takes 2.3 s instead of 0.3 s.
    """
    ((_, plan),) = warehouse(pickup()).execute("explain select carrier, is_mature from analytics.pickups").fetchall()

    operators = plan.upper().replace(" ", "_")  # DuckDB 2.0 writes "Seq Scan"
    assert "SEQ_SCAN" in operators
    assert "CTE_SCAN" not in operators


def test_a_plan_of_rates_from_a_file_contains_its_input_once(tmp_path):
    """A file in the format of DuckDB 1.0 doesn't keep `materialized`, so the plan contained the input six times."""
    with duckdb.connect() as connection:
        connection.execute(
            f"attach '{tmp_path / 'file.duckdb'}' as file (storage_version '{STORAGE_VERSION}'); use file"
        )
        fill(connection, [])
    with duckdb.connect(str(tmp_path / "file.duckdb"), read_only=True) as connection:
        scans = {view: _scans(connection, view) for view in ("rates", "rate_intervals")}

    assert scans["rates"] == scans["rate_intervals"] > 0


def _scans(connection: duckdb.DuckDBPyConnection, view: str) -> int:
    """Returns how many times the plan reads a table."""
    ((_, plan),) = connection.execute(f"explain select * from analytics.{view}").fetchall()
    return plan.upper().replace(" ", "_").count("SEQ_SCAN")


def test_only_these_checks_are_must_pass():
    must_pass = {name for name, text in CHECKS.items() if text.startswith("-- severity: must-pass")}

    assert {"open_pickups_listed", "refused_records", "required_columns", "unique_key"} == must_pass


COLUMNS = {
    "pickups": """
        account pickup_id carrier country contract_id tracking_number pickup_status
        created_at_utc pickup_from_utc pickup_until_utc cancelled_at_utc window_ends_at_utc as_of_utc
        time_zone has_local_time window_opens_local window_closes_local
        window_opens_hour_local window_opens_isodow_local booked_day_local booked_hour_local
        booked_week_local_start
        is_mature is_cancelled is_failed is_pending is_kept is_stuck has_status_conflict is_cancellation_refused
        has_window is_open_ended is_window_invalid is_window_before_booking window_hours lead_time_hours
        hours_to_cancel cancellation_notice_hours is_late_cancellation is_cancelled_after_start
        api_version last_load_id""",
    "pickup_slots": """
        account pickup_id slot_number carrier country has_local_time
        slot_opens_utc slot_closes_utc slot_opens_local slot_opens_isodow_local slot_opens_hour_local slot_hours""",
    "booking_days": """
        account carrier country booked_day_local mature_cancelled rated mature_failed failure_n
        cancelled_within_48_hours watched_48_hours""",
    "booking_bands": """
        account booked_day_local carrier is_every_carrier measure band rated mature_cancelled
        day_rated day_cancelled""",
    "rates": """
        outcome breakdown family account is_every_account carrier country week_local_start measure band
        n k rate rate_low rate_high clusters clustered_by design_effect
        others_rate difference difference_low difference_high stands_out rate_shrunken rank""",
    "carrier_cancellations": """
        account is_every_account carrier country pickups mature_pickups immature_pickups immature_cancelled
        mature_cancelled mature_kept mature_failed mature_pending
        mature_late_cancellations mature_cancelled_after_start mature_cancelled_booked_ahead
        mature_late_cancellations_booked_ahead status_conflicts
        rated cancellation_rate cancellation_rate_low cancellation_rate_high
        clusters clustered_by design_effect cancellation_rate_shrunken cancellation_rank
        others_rate difference difference_low difference_high stands_out cancellation_rate_by_status
        failure_n failure_rate failure_rate_low failure_rate_high failure_rank failure_stands_out as_of_utc""",
    "carrier_cancellations_weekly": """
        account is_every_account carrier booked_week_local_start pickups mature_pickups immature_pickups
        mature_cancelled mature_kept mature_failed
        rated cancellation_rate cancellation_rate_low cancellation_rate_high clusters clustered_by design_effect
        is_week_mature watched_48_hours cancelled_within_48_hours cancelled_within_48_hours_rate
        cancelled_within_48_hours_low cancelled_within_48_hours_high is_early_signal_complete""",
    "cancellation_changes": """
        account is_every_account carrier before_starts_utc now_starts_utc now_ends_utc
        before_n before_k before_rate now_n now_k now_rate
        comparable_share before_rate_at_one_mix now_rate_at_one_mix difference difference_low difference_high
        is_more_than_chance is_alarm clusters clustered_by design_effect""",
    "carrier_expected": """
        account is_every_account carrier n observed expected comparable_share ratio ratio_low ratio_high
        overall_rate standardized_rate funnel_95_low funnel_95_high funnel_998_low funnel_998_high score
        clusters clustered_by design_effect stands_out""",
    "carrier_net_cancellations": """
        account is_every_account carrier country mature_cancelled mature_rebooked rebooked_by_chance
        rebooked_by_chance_share rebooked_beyond_chance_share rebooked_beyond_chance_share_low
        rebooked_beyond_chance_share_high net_cancelled net_rated net_cancellation_rate net_cancellation_rate_low
        net_cancellation_rate_high clusters clustered_by design_effect""",
    "rebookings": """
        account pickup_id carrier country booked_day_local is_mature cancelled_at_utc is_rebooked
        chance_of_a_booking""",
    "cancellation_timing": """
        account is_every_account carrier age_hours at_risk cancelled share_cancelled
        half_age_hours cancelled_without_time""",
    "cancellations_by_booking": """
        account is_every_account carrier is_every_carrier measure band from_hours until_hours
        rated mature_cancelled cancellation_rate cancellation_rate_low cancellation_rate_high
        clusters clustered_by design_effect difference difference_low difference_high stands_out""",
    "upcoming_pickups": """
        account is_every_account carrier window_opens_day_local window_opens_hour_local has_local_time
        pickups pending expected_cancellations expected_cancellations_low expected_cancellations_high
        without_estimate as_of_utc""",
    "acceptance_times": """
        account is_every_account carrier is_every_carrier pickups watched accepted failed cancelled pending
        accepted_at_first_observation accepted_at_first_observation_share
        median_hours_to_acceptance p90_hours_to_acceptance p99_hours_to_acceptance""",
    "stuck_pickups": """
        account pickup_id carrier country contract_id tracking_number created_at_utc pickup_from_utc pickup_until_utc
        hours_waiting p99_hours_to_acceptance p99_covers is_longer_than_p99
        has_window_opened has_window_ended as_of_utc""",
    "moved_windows": """
        account is_every_account carrier watched moved moved_share moved_later moved_earlier median_shift_hours""",
    "runs": """
        run_id account started_at_utc finished_at_utc observed_at_utc has_succeeded error
        pages requests retries waited_seconds
        rows_read rows_new rows_changed rows_unchanged rows_cancelled quarantined
        is_newest_first stopped_because open_pickups open_beyond_lookback history_complete
        sweep rows_missed rows_unlisted seconds hours_since_last_success
        checks_failed new_words unknown_fields must_pass_failed version run_number""",
    "quarantine": """
        account record_hash reason first_seen_at_utc last_seen_at_utc resolved_at_utc is_resolved""",
    "carrier_window_grid": "account is_every_account carrier window_opens_isodow_local window_opens_hour_local pickups",
    "carrier_windows": """
        account is_every_account carrier pickups with_window open_ended invalid open_ended_share
        windows_measured median_window_hours p10_window_hours p90_window_hours
        windows_before_booking lead_times_measured median_lead_time_hours p10_lead_time_hours p90_lead_time_hours
        pickups_without_zone windows_with_zone
        most_common_opening_hour_local most_common_opening_hour_share weekend_share""",
}


@pytest.mark.parametrize("view", COLUMNS)
def test_view_has_exactly_the_listed_columns(warehouse, view):
    described = warehouse().execute(f"describe analytics.{view}").fetchall()

    assert COLUMNS[view].split() == [name for name, *_ in described]


@pytest.mark.parametrize("view", OVER_PICKUPS)
def test_no_column_has_a_time_zone_or_a_number_type_that_pandas_lacks(warehouse, view):
    kinds = {kind for _, kind, *_ in warehouse().execute(f"describe analytics.{view}").fetchall()}

    assert kinds <= {"VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "TIMESTAMP", "DATE"}
