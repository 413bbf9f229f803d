-- severity: warn
-- A pickup that the last sweep (pickups run --sweep) no longer found in the API's list. It stays in the tables with the
-- last state that was read, and counts. One that is listed again is taken off this list by the run that reads it.
select
    account,
    id,
    unlisted_since
from sendcloud.pickups_unlisted
