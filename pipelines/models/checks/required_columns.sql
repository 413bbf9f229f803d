-- severity: must-pass
-- A row without one of the columns that every view relies on. Such records belong in the quarantine, so one of these
-- means that the loader let it through. An empty text is not looked for here: it is what the API sent.
select
    account,
    id,
    carrier,
    pickup_status,
    created_at
from sendcloud.pickups
where account is null
    or id is null
    or carrier is null
    or pickup_status is null
    or created_at is null
