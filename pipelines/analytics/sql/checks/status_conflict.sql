-- severity: warn, per pickup
-- Reports pickups that have a cancelled_at although their status is not cancelled. The API's own examples contain such
-- pickups (dpd, poste). In one example, the detail shows Created while the list shows Cancelled, so the status probably
-- lags behind. These pickups count as cancelled. If many pickups are affected, or if they are old, ask Sendcloud.
select
    account,
    pickup_id as id,
    carrier,
    pickup_status,
    cancelled_at_utc
from analytics.pickups
where cancelled_at_utc is not null  -- has_status_conflict implies this condition, which is cheaper to test first
    and has_status_conflict
