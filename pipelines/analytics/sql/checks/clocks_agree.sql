-- severity: warn
-- Reports accounts for which this machine's clock and the API's differed by more than an hour in the last run. The run
-- used the plausible clock. Times that come only from this machine, such as started_at, may be wrong.
with runs as (
    select
        account,
        run_id,
        clock_difference_seconds,
        row_number() over (
            partition by account order by coalesce(run_number, 0) desc, started_at desc, run_id desc
        ) as runs_ago
    from sendcloud.pickup_runs
)

select
    account,
    run_id,
    clock_difference_seconds
from runs
where runs_ago = 1 and abs(clock_difference_seconds) > 3600
