-- severity: warn
-- Reports pickups that the last sweep (pickups run --sweep) no longer found in the API's list. They stay in the tables
-- in the last state that was read, and they still count. If the API lists a pickup again, the run that reads it removes
-- it from pickups_unlisted.
select
    account,
    id,
    unlisted_since
from sendcloud.pickups_unlisted
