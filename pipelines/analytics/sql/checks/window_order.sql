-- severity: warn
-- Reports pickups whose window ends before or when it begins. Sendcloud's own example for DHL Parcel Iberia ends a year
-- before it begins, so the cause is more often Sendcloud's data than this pipeline. The views leave out the length of
-- the window, but they count the pickup.
select
    account,
    pickup_id as id,
    carrier,
    pickup_from_utc,
    pickup_until_utc
from analytics.pickups
where is_window_invalid
