-- severity: must-pass
-- Reports an account whose last run could not load more than 1 % of the records that it read, or none of them. A few odd
-- records are in every list, but this many mean that the API has changed or that someone else answered. Every number
-- lacks these pickups and their changes. The next run that reads fewer such records passes.
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
