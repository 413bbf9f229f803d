-- One row per run and account, including failed runs: what the run read, what it found and how long it took.
-- observed_at_utc comes from the API's clock. started_at_utc and finished_at_utc come from this machine's clock.
-- checks_failed contains the number of rows that each check found, as JSON. new_words contains the unknown values that
-- each check found, as JSON. Both columns are {} if the run recorded none, as in runs of older versions.
-- hours_since_last_success is the age of the published data at the end of the run. It is null if no earlier run
-- succeeded.

with runs as (
    select * from sendcloud.pickup_runs
),

final as (
    select
        run_id,
        account,
        make_timestamp(epoch_us(started_at)) as started_at_utc,
        make_timestamp(epoch_us(finished_at)) as finished_at_utc,
        make_timestamp(epoch_us(observed_at)) as observed_at_utc,
        outcome = 'succeeded' as has_succeeded,
        error,
        pages,
        requests,
        retries,
        waited_seconds,
        rows_read,
        rows_new,
        rows_changed,
        rows_unchanged,
        rows_cancelled,
        quarantined,
        "order" = 'newest_first' as is_newest_first,
        stopped_because,
        open_pickups,
        open_beyond_lookback,
        history_complete,
        sweep,
        rows_missed,
        rows_unlisted,
        seconds_read + seconds_loaded + coalesce(seconds_published, 0) as seconds,
        cast(
            epoch_us(finished_at) - epoch_us(
                max(case when outcome = 'succeeded' then finished_at end) over (
                    partition by account
                    order by started_at, run_id
                    rows between unbounded preceding and 1 preceding
                )
            ) as double
        ) / 3600000000 as hours_since_last_success,
        coalesce(checks_failed, '{}') as checks_failed,
        coalesce(unexpected_values, '{}') as new_words,
        coalesce(unknown_fields, '{}') as unknown_fields,
        must_pass_failed,
        version
    from runs
)

select * from final
