-- severity: must-pass
-- Reports open pickups that the last run did not find in the list, although the list must contain them. The list may
-- have been cut short, so changes to these pickups and to others may be missing. The rows keep the last state that was
-- read. If only a few pickups are missing and the list continues past their place, they were probably removed. They fail
-- one run, and no_longer_listed reports them from then on.
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
        runs.open_missing,
        row_number() over (partition by runs.account order by runs.started_at desc, runs.run_id desc) as runs_ago
    from sendcloud.pickup_runs as runs
    join newest on newest.account = runs.account and newest.run_number = coalesce(runs.run_number, 0)
)

select
    account,
    run_id,
    unnest(generate_series(1, open_missing)) as missing
from runs
where runs_ago = 1 and open_missing > 0
