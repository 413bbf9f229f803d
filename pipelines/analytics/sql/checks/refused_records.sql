-- severity: must-pass
-- Reports an account whose last run could not load more than 1 % of the records that it read, or none of them. Every
-- list contains a few odd records, but this many suggest that the API has changed or that another server responded.
-- These pickups and their changes are missing from every number. The check passes again after a run that rejects fewer
-- records.
with newest as (
    select
        account,
        max(coalesce(run_number, 0)) as run_number
    from sendcloud.pickup_runs
    group by account
),

runs as (
    select
        runs.account,
        runs.run_id,
        runs.rows_read,
        runs.quarantined,
        row_number() over (partition by runs.account order by runs.started_at desc, runs.run_id desc) as runs_ago
    from sendcloud.pickup_runs as runs
    join newest on newest.account = runs.account and newest.run_number = coalesce(runs.run_number, 0)
)

select
    account,
    run_id,
    cast(quarantined as text) || ' of ' || cast(rows_read as text) as new_word
from runs
where runs_ago = 1
    and quarantined * 100 > rows_read
