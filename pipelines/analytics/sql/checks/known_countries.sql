-- severity: warn, per pickup
-- Reports pickups without a country, and pickups in a country whose time zone is not configured. The local columns of
-- these pickups are in UTC, and the local columns of carrier_windows and carrier_window_grid leave them out.
-- To fix this, add the country's time zone to pipelines/analytics/sql/views/pickups.sql and the country to this check.
-- The check doesn't compare countries with the API's documentation, because v2 documents six countries for the list and
-- nine elsewhere.
-- The query filters the few distinct countries first, because checking row by row takes ten times as long. `except` also
-- keeps DuckDB from applying the filter to each row. A test compares the countries with the time zones in the view.
with named as (
    select distinct country from sendcloud.pickups
),

unknown as (
    select upper(country) as country from named
    except
    select country
    from (
        values
        ('NL'), ('BE'), ('DE'), ('ES'), ('FR'), ('IT'), ('AT'), ('PT'), ('GB')
    ) as configured(country)
)

select
    account,
    id,
    carrier,
    upper(nullif(country, '')) as country
from sendcloud.pickups
where coalesce(upper(country), '') in (select coalesce(country, '') from unknown)
