-- severity: warn, per pickup
-- Reports pickups whose window ends before it begins, or at the same time. Sendcloud's own example for DHL Parcel
-- Iberia ends a year before it begins, so the cause is more likely to be Sendcloud's data than this pipeline. The views
-- ignore the window's length, but they still count the pickup.
select
    account,
    pickup_id as id,
    carrier,
    pickup_from_utc,
    pickup_until_utc
from analytics.pickups
where is_window_invalid
