-- severity: warn
-- A window that ends before it begins, or as it begins. Sendcloud's own example for DHL Parcel Iberia ends a year
-- before it begins, so this is theirs more often than ours. Its length is left out; the pickup itself counts.
select
    account,
    pickup_id as id,
    carrier,
    pickup_from_utc,
    pickup_until_utc
from analytics.pickups
where is_window_invalid
