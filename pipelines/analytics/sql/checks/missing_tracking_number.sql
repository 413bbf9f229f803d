-- severity: warn, per pickup
-- Reports accepted pickups that still have no tracking number after their window has ended. The carrier may not know
-- about these pickups. The check skips announcing and failed pickups, which have no tracking number in the API's
-- examples either. The check also skips cancelled pickups, and pickups whose window hasn't ended, because the tracking
-- number can still arrive. The check doesn't report pickups that share a tracking number.
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
