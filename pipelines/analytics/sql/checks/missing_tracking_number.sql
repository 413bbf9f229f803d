-- severity: warn
-- Reports accepted pickups that still have no tracking number after their window has ended. The carrier may not know
-- about them. The check skips announcing and failed pickups, which have no tracking number in the API's examples
-- either. It also skips cancelled pickups, and pickups whose window hasn't ended, because their number can still
-- arrive. Pickups that share a tracking number are not reported either.
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
