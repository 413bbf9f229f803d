-- severity: warn
-- Reports accounts for which this machine's clock and the API's differed by more than an hour in the last run. The run
-- used the plausible clock. Times that come only from this machine, such as started_at, may be wrong.
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
        runs.clock_difference_seconds,
        row_number() over (partition by runs.account order by runs.started_at desc, runs.run_id desc) as runs_ago
    from sendcloud.pickup_runs as runs
    join newest on newest.account = runs.account and newest.run_number = coalesce(runs.run_number, 0)
)

select
    account,
    run_id,
    clock_difference_seconds
from runs
where runs_ago = 1 and abs(clock_difference_seconds) > 3600
