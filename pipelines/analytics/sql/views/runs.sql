-- One row per run and account, including failed runs: what the run read, what it found and how long it took.
-- observed_at_utc comes from the API's clock. started_at_utc and finished_at_utc come from this machine's clock.
-- checks_failed contains the number of rows that each check found, as JSON. new_words contains the unknown values that
-- each check found, as JSON. Both columns are {} if the run recorded none, as in runs of older versions.
-- run_number is the order in which the account's runs were recorded. run_number is null for runs of older versions,
-- which come first. hours_since_last_success is the age of the published data at the end of the run.
-- hours_since_last_success is null if no earlier run succeeded, or if this machine's clock was set back since then.

with runs as (
    select
        *,
        row_number() over (partition by account order by coalesce(run_number, 0), started_at, run_id) as place
    from sendcloud.pickup_runs
),

counted as (
    select
        *,
        sum(case when outcome = 'succeeded' then 1 else 0 end) over (
            partition by account order by place rows between unbounded preceding and current row
        ) as successes
    from runs
),

good as (
    select
        account,
        successes,
        finished_at
    from counted
    where outcome = 'succeeded'
),

final as (
    select
        runs.run_id,
        runs.account,
        make_timestamp(epoch_us(runs.started_at)) as started_at_utc,
        make_timestamp(epoch_us(runs.finished_at)) as finished_at_utc,
        make_timestamp(epoch_us(runs.observed_at)) as observed_at_utc,
        runs.outcome = 'succeeded' as has_succeeded,
        runs.error,
        runs.pages,
        runs.requests,
        runs.retries,
        runs.waited_seconds,
        runs.rows_read,
        runs.rows_new,
        runs.rows_changed,
        runs.rows_unchanged,
        runs.rows_cancelled,
        runs.quarantined,
        runs."order" = 'newest_first' as is_newest_first,
        runs.stopped_because,
        runs.open_pickups,
        runs.open_beyond_lookback,
        runs.history_complete,
        runs.sweep,
        runs.rows_missed,
        runs.rows_unlisted,
        runs.seconds_read + runs.seconds_loaded + coalesce(runs.seconds_published, 0) as seconds,
        case
            when runs.finished_at >= good.finished_at
                then cast(epoch_us(runs.finished_at) - epoch_us(good.finished_at) as double) / 3600000000
        end as hours_since_last_success,
        coalesce(runs.checks_failed, '{}') as checks_failed,
        coalesce(runs.unexpected_values, '{}') as new_words,
        coalesce(runs.unknown_fields, '{}') as unknown_fields,
        runs.must_pass_failed,
        runs.version,
        runs.run_number
    from counted as runs
    left join good
        on good.account = runs.account
        and good.successes = runs.successes - case when runs.outcome = 'succeeded' then 1 else 0 end
)

select * from final
