-- severity: warn
-- Reports an open pickup that was booked more than a month before the newest one. Every run reads all pages down to the
-- oldest open pickup, so such a pickup may cost hundreds of requests a day. The cause is often a mistyped year in the
-- pickup's window.
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
        runs.frontier_pickup_id,
        row_number() over (partition by runs.account order by runs.started_at desc, runs.run_id desc) as runs_ago
    from sendcloud.pickup_runs as runs
    join newest on newest.account = runs.account and newest.run_number = coalesce(runs.run_number, 0)
)

select
    account,
    run_id,
    frontier_pickup_id as new_word
from runs
where runs_ago = 1 and frontier_pickup_id is not null
