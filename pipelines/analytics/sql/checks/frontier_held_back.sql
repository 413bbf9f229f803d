-- severity: warn
-- Reports an open pickup that was booked more than a month before the newest one. Every run reads all pages down to the
-- oldest open pickup, so such a pickup may cost hundreds of requests a day. The cause is often a mistyped year in the
-- pickup's window.
with runs as (
    select
        account,
        run_id,
        frontier_pickup_id,
        row_number() over (
            partition by account order by coalesce(run_number, 0) desc, started_at desc, run_id desc
        ) as runs_ago
    from sendcloud.pickup_runs
)

select
    account,
    run_id,
    frontier_pickup_id as new_word
from runs
where runs_ago = 1 and frontier_pickup_id is not null
