-- severity: warn
-- A status that nobody has heard of: v2 documents four, v3 adds three for cancellations under way or refused.
-- Such a pickup is loaded and counts as kept; when one comes up, decide what it means in analytics/pickups.sql.
-- Spelling in capitals or not is no finding: v2 writes Created, v3 CREATED.
with named as (
    select distinct pickup_status from sendcloud.pickups
),

unknown as (
    select replace(lower(pickup_status), ' ', '_') as status from named
    except
    select status
    from (
        values
        ('created'), ('cancelled'), ('failed'), ('announcing'),
        ('cancellation_requested'), ('cancellation_failed'), ('cancellation_rejected')
    ) as known(status)
)

select
    account,
    id,
    pickup_status as new_word
from sendcloud.pickups
where replace(lower(pickup_status), ' ', '_') in (select status from unknown)
