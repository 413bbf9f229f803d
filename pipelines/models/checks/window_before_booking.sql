-- severity: warn
-- A window that opens before the pickup was booked. Sendcloud's documents show one (Failed, window 2021, booked 2022),
-- so failed pickups are left out: this looks for a slip of time zone in what we loaded, not for what carriers refuse.
select
    account,
    pickup_id as id,
    carrier,
    pickup_status,
    created_at_utc,
    pickup_from_utc
from analytics.pickups
where is_window_before_booking
    and not is_failed
