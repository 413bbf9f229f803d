-- One row per run and account, failed ones too: what it read, what it found, how long it took.
-- observed_at is the API's clock, started_at and finished_at are this machine's. checks_failed is JSON: how many rows
-- each check found; new_words is JSON: values that nobody told us of, by check; {} also where
-- a run noted none, as runs of older versions do.
-- hours_since_last_success is the age of what readers had before them when this run ended, null for the first success.

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
        coalesce(check_values, '{}') as new_words,
        coalesce(unknown_fields, '{}') as unknown_fields,
        must_pass_failed,
        version
    from runs
)

select * from final
