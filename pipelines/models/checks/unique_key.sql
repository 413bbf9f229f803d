-- severity: must-pass
-- A pickup that is there twice. dlt's upsert keeps both when one batch holds the same id twice (tried on 1.31), and
-- earlier versions doubled rows after a kill: every rate would count such a pickup twice.
-- The same id under two accounts is fine: ids are only unique within an account as far as we know.
select
    account,
    id,
    count(*) as copies
from sendcloud.pickups
group by account, id
having count(*) > 1
