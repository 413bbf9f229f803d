-- severity: warn
-- A country without a time zone of ours, or none at all: its local hours are UTC, and the local columns of
-- carrier_windows and carrier_window_grid leave it out. The cure is a line in analytics/pickups.sql.
-- It is not about what the API may send: v2 documents six countries for the list and nine elsewhere.
select
    account,
    pickup_id as id,
    carrier,
    country
from analytics.pickups
where not has_local_time
