-- severity: must-pass
-- Reports pickups that are stored more than once. Every rate would count these pickups more than once. dlt's upsert
-- keeps both rows if one batch contains an id twice (tested with dlt 1.31), and versions of dlt before 1.25.0
-- duplicated rows after the process was killed.
-- An id may exist under two accounts because, as far as is known, ids are unique only within an account.
-- Grouping ten million keys takes a second and a gigabyte of memory, so the check skips an account whose counts add up.
-- The counts add up if the previous run left no duplicates and the table contains that run's rows plus this run's new
-- keys. After a sweep, the check always groups the keys. The check also groups the keys after a crashed run that had
-- loaded rows, because then the counts don't add up. Runs are ordered by run number, which doesn't depend on any clock.
with runs as (
    select
        account,
        sweep,
        rows_new,
        rows_in_table,
        checks_failed like '%"unique_key"%' as found_doubles,
        row_number() over (
            partition by account order by coalesce(run_number, 0) desc, started_at desc, run_id desc
        ) as runs_ago
    from sendcloud.pickup_runs
),

counted as (
    select
        account,
        count(*) as stored
    from sendcloud.pickups
    group by account
),

added_up as (
    select this.account
    from runs as this
    join runs as before on before.account = this.account
    join counted on counted.account = this.account
    where this.runs_ago = 1
        and before.runs_ago = 2
        and this.sweep is null
        and not before.found_doubles
        and this.rows_in_table = before.rows_in_table + this.rows_new
        and this.rows_in_table = counted.stored
),

suspected as (
    select account from counted
    except
    select account from added_up
)

select
    account,
    id,
    count(*) as copies
from sendcloud.pickups
where account in (select account from suspected)
group by account, id
having count(*) > 1
