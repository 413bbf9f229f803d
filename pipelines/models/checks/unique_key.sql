-- severity: must-pass
-- A pickup that is there twice. dlt's upsert keeps both when one batch holds the same id twice (tried on 1.31), and
-- earlier versions doubled rows after a kill: every rate would count such a pickup twice.
-- The same id under two accounts is fine: ids are only unique within an account as far as we know.
-- To group ten million keys takes a second and a gigabyte, so an account is passed over whose rows add up: there are as
-- many as the run before left, without a double, and the keys that this run found to be new. A sweep groups them always,
-- and so does a run after one that died with rows loaded, or whose clock was set back: then they don't add up.
with runs as (
    select
        account,
        sweep,
        rows_new,
        rows_in_table,
        checks_failed like '%"unique_key"%' as found_doubles,
        row_number() over (partition by account order by started_at desc) as runs_ago
    from sendcloud.pickup_runs
),

added_up as (
    select this.account
    from runs as this
    join runs as before on before.account = this.account
    where this.runs_ago = 1
        and before.runs_ago = 2
        and this.sweep is null
        and not before.found_doubles
        and this.rows_in_table = before.rows_in_table + this.rows_new
        and this.rows_in_table = (select count(*) from sendcloud.pickups as there where there.account = this.account)
)

select
    account,
    id,
    count(*) as copies
from sendcloud.pickups
where account not in (select account from added_up)
group by account, id
having count(*) > 1
