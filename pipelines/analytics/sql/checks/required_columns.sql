-- severity: must-pass, per pickup
-- Reports rows without a value in a column that every view relies on. Records without these values belong in the
-- quarantine, so the loader should have rejected every row that this check reports. Empty strings are not reported,
-- because the API sent them.
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
