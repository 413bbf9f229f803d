-- severity: warn
-- A pickup that has a cancelled_at though its status is not cancelled. The API's own examples hold some (dpd, poste),
-- and the detail of one shows Created while the list shows Cancelled: most likely a status that lags behind.
-- They count as cancelled. Many at once, or old ones, are worth a question to Sendcloud.
select
    account,
    pickup_id as id,
    carrier,
    pickup_status,
    cancelled_at_utc
from analytics.pickups
where cancelled_at_utc is not null  -- which it says already: for those that ask the cheaper question first
    and has_status_conflict
