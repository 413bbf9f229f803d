-- severity: must-pass
-- Reports pickups that are stored more than once. Every rate would count these pickups more than once. dlt's upsert
-- keeps both rows if one batch contains an id twice (tested with dlt 1.31), and versions of dlt before 1.25.0
-- duplicated rows after the process was killed.
-- An id may exist under two accounts because, as far as is known, ids are unique only within an account.
-- Grouping ten million keys takes a second and a gigabyte of memory, so the check skips an account whose counts add up.
-- The counts add up if the previous run left no duplicates, and this run's count is the previous run's count plus this
-- run's new keys. The rows are counted by account only if the last counts of all accounts don't add up to the number of
-- rows in the table, which DuckDB knows without reading any row. After a sweep, the check always groups the keys. The
-- check also groups the keys after a crashed run that had loaded rows, because then the counts don't add up. Runs are
-- ordered by run number, which doesn't depend on any clock.
with newest as (
    select
        account,
        max(coalesce(run_number, 0)) as run_number,
        max(case when rows_in_table is not null then coalesce(run_number, 0) end) as counted_number
    from sendcloud.pickup_runs
    group by account
),

latest as (
    select
        runs.account,
        runs.sweep,
        runs.rows_new,
        runs.rows_in_table,
        runs.checks_failed like '%"unique_key"%' as found_doubles,
        row_number() over (
            partition by runs.account
            order by coalesce(runs.run_number, 0) desc, runs.started_at desc, runs.run_id desc
        ) as runs_ago
    from sendcloud.pickup_runs as runs
    join newest on newest.account = runs.account and coalesce(runs.run_number, 0) >= newest.run_number - 1
),

counts as (
    select
        runs.account,
        runs.rows_in_table,
        row_number() over (
            partition by runs.account order by runs.started_at desc, runs.run_id desc
        ) as counts_ago
    from sendcloud.pickup_runs as runs
    join newest on newest.account = runs.account and newest.counted_number = coalesce(runs.run_number, 0)
    where runs.rows_in_table is not null
),

expected as (
    select sum(rows_in_table) as rows_in_table from counts where counts_ago = 1
),

stored as (
    select count(*) as rows_in_table from sendcloud.pickups
),

uncertain as (
    select newest.account
    from newest
    cross join expected
    cross join stored
    where expected.rows_in_table is distinct from stored.rows_in_table
),

counted as (
    select
        account,
        count(*) as rows_in_table
    from sendcloud.pickups
    where account in (select account from uncertain)
    group by account
),

added_up as (
    select this.account
    from latest as this
    join latest as before on before.account = this.account
    left join counted on counted.account = this.account
    where this.runs_ago = 1
        and before.runs_ago = 2
        and this.sweep is null
        and not before.found_doubles
        and this.rows_in_table = before.rows_in_table + this.rows_new
        and this.rows_in_table = coalesce(counted.rows_in_table, this.rows_in_table)
),

suspected as (
    select account from newest
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
