-- severity: warn
-- Reports pickups without a country, and pickups in a country whose time zone is not configured. The local columns of
-- these pickups are in UTC, and the local columns of carrier_windows and carrier_window_grid leave them out.
-- To fix this, add the country's time zone to pipelines/analytics/sql/views/pickups.sql.
-- The check doesn't compare countries with the API's documentation, because v2 documents six countries for the list and
-- nine elsewhere.
select
    account,
    pickup_id as id,
    carrier,
    country
from analytics.pickups
where not has_local_time
