-- severity: must-pass
-- Reports an account whose last run could not load more than 1 % of the records that it read, or none of them. Every
-- list contains a few odd records, but this many suggest that the API has changed or that another server responded.
-- These pickups and their changes are missing from every number. The check passes again after a run that rejects fewer
-- records.
with runs as (
    select
        account,
        run_id,
        rows_read,
        quarantined,
        row_number() over (
            partition by account order by coalesce(run_number, 0) desc, started_at desc, run_id desc
        ) as runs_ago
    from sendcloud.pickup_runs
)

select
    account,
    run_id,
    cast(quarantined as text) || ' of ' || cast(rows_read as text) as new_word
from runs
where runs_ago = 1
    and quarantined * 100 > rows_read
