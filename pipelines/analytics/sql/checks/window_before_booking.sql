-- severity: warn, per pickup
-- Reports pickups whose window opens before they were booked. Sendcloud's documentation shows one such pickup (Failed,
-- window in 2021, booked in 2022), so the check skips failed pickups. The check looks for time-zone errors in the
-- loaded data, not for bookings that carriers refused.
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
