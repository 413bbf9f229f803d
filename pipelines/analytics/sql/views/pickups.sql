-- One row per pickup, with cleaned names and nulls, and with every derived column that the other views use.
-- Every pickup is either cancelled, failed, pending or kept. If several categories match, the first one in this order
-- applies.
-- A pickup is cancelled if its status says so or if cancelled_at is set. The API lists some Created pickups with a
-- cancelled_at (has_status_conflict). The status determines whether a pickup is failed or pending (announcing).
-- Every other pickup is kept, even if its status is unknown. A pickup is also kept while its cancellation is requested
-- but not decided, and after its cancellation was refused (is_cancellation_refused), regardless of cancelled_at.
-- pickup_status is spelled as in v2, even if v3 sent it: CREATED becomes Created, and CANCELLATION_REQUESTED becomes
-- Cancellation_requested.
-- as_of is the time at which the account's most recent successful run observed the list. as_of is never now().
-- is_mature depends on the window and never on the status, so cancelled pickups do not count earlier than kept pickups.
-- A pickup without a window matures seven days after its booking, which is the longest lead time in any published
-- example. Before the first successful run, no pickup is mature. window_ends_at_utc is the time after which a pickup is
-- mature, and the time that since and until mean by default (pipelines/destinations/filter.py).
-- If a carrier comes twice a day (v3), window_hours is the sum of the time slots, and the window spans both slots.
-- Local columns use the time zone of the pickup's country. If the country's time zone is not configured, local columns
-- are in UTC (has_local_time is false). In a DuckDB warehouse, runs keep booked_day_local, booked_hour_local,
-- window_opens_hour_local and window_opens_isodow_local in sendcloud.pickups. The view then reads these columns instead
-- of the expressions below, by which runs derived them (pipelines/analytics/kept_columns.py).
-- Kept does not mean carried out. The API has no status for a pickup that took place, so if the driver never comes, the
-- pickup stays Created.

with pickups as (
    select * from sendcloud.pickups
),

-- Only the few v3 pickups with several slots need their JSON parsed. This CTE reads the table directly. If it read the
-- CTE above, DuckDB would materialize that CTE with all its columns (2.3 s instead of 0.3 s per two million pickups,
-- duckdb 1.5.5).
slotted as (
    select
        account,
        id,
        time_slots,
        unnest(generate_series(0, cast(json_array_length(time_slots) as int) - 1)) as place
    from sendcloud.pickups
    where api_version = 'v3'  -- DuckDB skips blocks of v2 rows: 40 ms per ten million rows (duckdb 1.5.5, 2026-11)
        and cast(time_slots as text) like '%},%{%'
),

slots as (
    select
        account,
        id,
        try_cast(upper((time_slots -> place) ->> 'start_at') as timestamptz) as opens_at,
        try_cast(upper((time_slots -> place) ->> 'end_at') as timestamptz) as closes_at
    from slotted
),

several as (
    select
        account,
        id,
        sum(greatest(epoch_us(closes_at) - epoch_us(opens_at), 0)) as slots_us
    from slots
    group by account, id
),

-- Sorting all receipts would take 0.4 s for a year of 40 accounts (2026-11-29).
newest as (
    select
        account,
        max(coalesce(run_number, 0)) as run_number
    from sendcloud.pickup_runs
    where outcome = 'succeeded' and observed_at is not null
    group by account
),

observing as (
    select
        runs.account,
        runs.observed_at,
        row_number() over (partition by runs.account order by runs.started_at desc, runs.run_id desc) as runs_ago
    from sendcloud.pickup_runs as runs
    join newest on newest.account = runs.account and newest.run_number = coalesce(runs.run_number, 0)
    where runs.outcome = 'succeeded' and runs.observed_at is not null
),

observed as (
    select
        account,
        observed_at as as_of
    from observing
    where runs_ago = 1
),

-- v2 and v3 spell statuses differently (Created, CREATED). The exact matches come first, because they cover nearly all
-- rows without changing any text.
spelled as (
    select
        *,
        case pickup_status
            when 'Created' then 'created'
            when 'Cancelled' then 'cancelled'
            when 'CREATED' then 'created'
            when 'CANCELLED' then 'cancelled'
            else replace(lower(pickup_status), ' ', '_')
        end as status
    from pickups
),

cleaned as (
    select
        pickups.account,
        pickups.id as pickup_id,
        pickups.carrier,
        upper(nullif(pickups.country, '')) as country,
        pickups.contract as contract_id,
        nullif(pickups.tracking_number, '') as tracking_number,
        pickups.status,
        case pickups.status
            when 'created' then 'Created'
            when 'cancelled' then 'Cancelled'
            else upper(left(pickups.pickup_status, 1)) || replace(lower(substr(pickups.pickup_status, 2)), ' ', '_')
        end as pickup_status,
        case pickups.status
            when 'created' then case when pickups.cancelled_at is null then 'kept' else 'cancelled' end
            when 'cancelled' then 'cancelled'
            when 'failed' then case when pickups.cancelled_at is null then 'failed' else 'cancelled' end
            when 'announcing' then case when pickups.cancelled_at is null then 'pending' else 'cancelled' end
            when 'cancellation_requested' then 'kept'
            when 'cancellation_failed' then 'kept'
            when 'cancellation_rejected' then 'kept'
            else case when pickups.cancelled_at is null then 'kept' else 'cancelled' end
        end as state,
        pickups.created_at,
        pickups.pickup_from,
        pickups.pickup_until,
        pickups.cancelled_at,
        observed.as_of,
        several.slots_us,
        coalesce(pickups.api_version, 'v2') as api_version,
        pickups._dlt_load_id as last_load_id
    from spelled as pickups
    left join observed on observed.account = pickups.account
    left join several on several.account = pickups.account and several.id = pickups.id
),

-- The columns that end in sunday_us say how long after a 1st of March the last Sunday at or before the time began, in
-- microseconds. Sundays begin at 1:00 UTC, when the clocks change. Four years have 1461 days, and the 29th of February is
-- the last of them, so two remainders find the 1st of March. The first of all is that of 1996.
dated as (
    select
        *,
        case country
            when 'NL' then 'Europe/Amsterdam'
            when 'BE' then 'Europe/Brussels'
            when 'DE' then 'Europe/Berlin'
            when 'ES' then 'Europe/Madrid'
            when 'FR' then 'Europe/Paris'
            when 'IT' then 'Europe/Rome'
            when 'AT' then 'Europe/Vienna'
            when 'PT' then 'Europe/Lisbon'
            when 'GB' then 'Europe/London'
            else 'UTC'
        end as time_zone,
        case country
            when 'NL' then 3600000000
            when 'BE' then 3600000000
            when 'DE' then 3600000000
            when 'ES' then 3600000000
            when 'FR' then 3600000000
            when 'IT' then 3600000000
            when 'AT' then 3600000000
            when 'PT' then 0
            when 'GB' then 0
        end as standard_offset_us,
        (
            epoch_us(created_at) - (epoch_us(created_at) - 262800000000) % 604800000000 - 825642000000000
        ) % 126230400000000 % 31536000000000 as booked_sunday_us,
        (
            epoch_us(pickup_from) - (epoch_us(pickup_from) - 262800000000) % 604800000000 - 825642000000000
        ) % 126230400000000 % 31536000000000 as opens_sunday_us,
        (
            epoch_us(pickup_until) - (epoch_us(pickup_until) - 262800000000) % 604800000000 - 825642000000000
        ) % 126230400000000 % 31536000000000 as closes_sunday_us
    from cleaned
),

-- Looking up a time zone takes DuckDB long (1.4 s of CPU time per million pickups, 2026-11). From 1997 to 2029, summer time
-- in all zones above begins and ends at 1:00 UTC on the last Sundays of March and October. So it is summer if the last
-- Sunday at or before a time lies between those two, and no lookup is needed. In other years, the offset is null. On
-- PostgreSQL and Spark, looking up a time zone is fast, so the translation does without the offset.
offsets as (
    select
        *,
        case
            when epoch_us(created_at) between 852076800000000 and 1893455999999999
                then coalesce(
                    standard_offset_us
                    + 3600000000 * cast(booked_sunday_us between 2073600000000 and 20476800000000 as int),
                    0
                )
            when standard_offset_us is null then 0
        end as booked_offset_us,
        case
            when epoch_us(pickup_from) between 852076800000000 and 1893455999999999
                then coalesce(
                    standard_offset_us
                    + 3600000000 * cast(opens_sunday_us between 2073600000000 and 20476800000000 as int),
                    0
                )
            when standard_offset_us is null then 0
        end as opens_offset_us,
        case
            when epoch_us(pickup_until) between 852076800000000 and 1893455999999999
                then coalesce(
                    standard_offset_us
                    + 3600000000 * cast(closes_sunday_us between 2073600000000 and 20476800000000 as int),
                    0
                )
            when standard_offset_us is null then 0
        end as closes_offset_us
    from dated
),

-- Each time zone is a literal, because DuckDB looks up a time zone that comes from a column once per row (1.8 s instead
-- of 0.1 s per million pickups).
localised as (
    select
        *,
        case
            when booked_offset_us is not null then make_timestamp(epoch_us(created_at) + booked_offset_us)
            else case country
                when 'NL' then created_at at time zone 'Europe/Amsterdam'
                when 'BE' then created_at at time zone 'Europe/Brussels'
                when 'DE' then created_at at time zone 'Europe/Berlin'
                when 'ES' then created_at at time zone 'Europe/Madrid'
                when 'FR' then created_at at time zone 'Europe/Paris'
                when 'IT' then created_at at time zone 'Europe/Rome'
                when 'AT' then created_at at time zone 'Europe/Vienna'
                when 'PT' then created_at at time zone 'Europe/Lisbon'
                when 'GB' then created_at at time zone 'Europe/London'
                else created_at at time zone 'UTC'
            end
        end as booked_local,
        case
            when opens_offset_us is not null then make_timestamp(epoch_us(pickup_from) + opens_offset_us)
            else case country
                when 'NL' then pickup_from at time zone 'Europe/Amsterdam'
                when 'BE' then pickup_from at time zone 'Europe/Brussels'
                when 'DE' then pickup_from at time zone 'Europe/Berlin'
                when 'ES' then pickup_from at time zone 'Europe/Madrid'
                when 'FR' then pickup_from at time zone 'Europe/Paris'
                when 'IT' then pickup_from at time zone 'Europe/Rome'
                when 'AT' then pickup_from at time zone 'Europe/Vienna'
                when 'PT' then pickup_from at time zone 'Europe/Lisbon'
                when 'GB' then pickup_from at time zone 'Europe/London'
                else pickup_from at time zone 'UTC'
            end
        end as window_opens_local,
        case
            when closes_offset_us is not null then make_timestamp(epoch_us(pickup_until) + closes_offset_us)
            else case country
                when 'NL' then pickup_until at time zone 'Europe/Amsterdam'
                when 'BE' then pickup_until at time zone 'Europe/Brussels'
                when 'DE' then pickup_until at time zone 'Europe/Berlin'
                when 'ES' then pickup_until at time zone 'Europe/Madrid'
                when 'FR' then pickup_until at time zone 'Europe/Paris'
                when 'IT' then pickup_until at time zone 'Europe/Rome'
                when 'AT' then pickup_until at time zone 'Europe/Vienna'
                when 'PT' then pickup_until at time zone 'Europe/Lisbon'
                when 'GB' then pickup_until at time zone 'Europe/London'
                else pickup_until at time zone 'UTC'
            end
        end as window_closes_local
    from offsets
),

-- Durations are computed from integer microseconds. Timestamps with a time zone give the same results, but they take
-- ten to a hundred times as long to subtract or to convert to UTC with `at time zone`.
measured as (
    select
        *,
        cast(booked_local as date) as booked_day_local,
        case
            when pickup_until > pickup_from
                then cast(coalesce(slots_us, epoch_us(pickup_until) - epoch_us(pickup_from)) as double) / 3600000000
        end as window_hours,
        cast(epoch_us(pickup_from) - epoch_us(created_at) as double) / 3600000000 as lead_time_hours,
        cast(epoch_us(cancelled_at) - epoch_us(created_at) as double) / 3600000000 as hours_to_cancel,
        cast(epoch_us(pickup_from) - epoch_us(cancelled_at) as double) / 3600000000 as cancellation_notice_hours,
        coalesce(epoch_us(greatest(pickup_from, pickup_until)), epoch_us(created_at) + 604800000000) as window_ends_us
    from localised
),

final as (
    select
        account,
        pickup_id,
        carrier,
        country,
        contract_id,
        tracking_number,
        pickup_status,

        make_timestamp(epoch_us(created_at)) as created_at_utc,
        make_timestamp(epoch_us(pickup_from)) as pickup_from_utc,
        make_timestamp(epoch_us(pickup_until)) as pickup_until_utc,
        make_timestamp(epoch_us(cancelled_at)) as cancelled_at_utc,
        make_timestamp(window_ends_us) as window_ends_at_utc,
        make_timestamp(epoch_us(as_of)) as as_of_utc,

        time_zone,
        time_zone <> 'UTC' as has_local_time,
        window_opens_local,
        window_closes_local,
        extract(hour from window_opens_local) as window_opens_hour_local,
        extract(isodow from window_opens_local) as window_opens_isodow_local,
        booked_day_local,
        extract(hour from booked_local) as booked_hour_local,
        cast(date_trunc('week', booked_day_local) as date) as booked_week_local_start,

        coalesce(window_ends_us < epoch_us(as_of), false) as is_mature,
        state = 'cancelled' as is_cancelled,
        state = 'failed' as is_failed,
        state = 'pending' as is_pending,
        state = 'kept' as is_kept,
        state = 'pending' and coalesce(window_ends_us < epoch_us(as_of), false) as is_stuck,
        state = 'cancelled' and status <> 'cancelled' as has_status_conflict,
        status in ('cancellation_failed', 'cancellation_rejected') as is_cancellation_refused,

        pickup_from is not null as has_window,
        pickup_from is not null and pickup_until is null as is_open_ended,
        coalesce(pickup_until <= pickup_from, false) as is_window_invalid,
        coalesce(pickup_from < created_at, false) as is_window_before_booking,
        window_hours,
        lead_time_hours,

        hours_to_cancel,
        cancellation_notice_hours,
        coalesce(state = 'cancelled' and cancellation_notice_hours < 24, false) as is_late_cancellation,
        coalesce(state = 'cancelled' and cancellation_notice_hours <= 0, false) as is_cancelled_after_start,

        api_version,
        last_load_id
    from measured
)

select * from final
