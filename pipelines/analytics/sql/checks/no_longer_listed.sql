-- severity: warn
-- Reports pickups that the last sweep (pickups run --sweep) did not find in the API's list. These pickups stay in the
-- tables, in the last state that was read, and are still counted. If the API lists a pickup again, the run that reads
-- it removes it from pickups_unlisted.
select
    account,
    id,
    unlisted_since
from sendcloud.pickups_unlisted
