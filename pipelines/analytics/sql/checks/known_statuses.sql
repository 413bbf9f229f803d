-- severity: warn, per pickup
-- Reports pickups with an undocumented status. v2 documents four statuses, and v3 adds three for cancellations that are
-- under way or were refused. These pickups are loaded and count as kept, unless they have a cancelled_at. If the check
-- reports a new status, define its meaning in pipelines/analytics/sql/views/pickups.sql.
-- The check ignores case, because v2 sends Created and v3 sends CREATED.
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
