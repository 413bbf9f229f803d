-- severity: warn
-- A pickup that was accepted, has had its window, and still has no tracking number: perhaps the carrier never knew.
-- Not looked at: announcing and failed pickups, which have none in the API's examples too, cancelled ones, and those
-- whose window is yet to end, for the number can still come. A number that two pickups share is no finding either.
select
    account,
    pickup_id as id,
    carrier,
    pickup_status,
    pickup_from_utc
from analytics.pickups
where tracking_number is null
    and is_kept
    and is_mature
