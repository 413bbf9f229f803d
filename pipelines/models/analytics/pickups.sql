-- One row per pickup: names and nulls cleaned, and every derived column that the other views use.
-- A pickup is exactly one of cancelled, failed, pending, kept, in that order: cancelled when the status says so OR
-- cancelled_at is set (the API lists Created pickups with a cancelled_at: has_status_conflict); failed and pending
-- (announcing) by status; kept is everything else: a cancellation that was asked for and not decided, or was refused
-- (is_cancellation_refused), whatever cancelled_at says, and a status nobody has heard of. pickup_status is spelled as
-- v2 does it, whichever version it came by: CREATED is Created, CANCELLATION_REQUESTED Cancellation_requested.
-- as_of is when the account's newest succeeded run observed it, never now(). Mature looks at the window alone, never
-- at the status: a cancelled pickup counts no earlier than a kept one. A pickup without a window is taken to be over
-- seven days after its booking, the longest that a published one lies ahead. Without a run nothing is mature.
-- window_hours is the sum of the time slots, where a carrier comes twice a day (v3); the window reaches over both.
-- Local is the clock of the pickup's country; a country without a zone of ours stays in UTC (has_local_time is false).
-- Kept does not mean carried out: the API has no status for that, and a driver who never came leaves the pickup Created.

with pickups as (
    select * from sendcloud.pickups
),

runs as (
    select * from sendcloud.pickup_runs
),

-- v3's pickups of several slots, the few whose JSON has to be looked at. Not from the CTE above: with two readers it
-- would be made into a table of all columns (2.3 s in place of 0.3 s per two million, duckdb 1.5.5)
slotted as (
    select
        account,
        id,
        time_slots,
        unnest(generate_series(0, cast(json_array_length(time_slots) as int) - 1)) as place
    from sendcloud.pickups
    where api_version = 'v3'  -- blocks of v2 are passed over unread: 40 ms per ten million (duckdb 1.5.5, 2026-11)
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

observed as (
    select
        account,
        max(observed_at) as as_of
    from runs
    where outcome = 'succeeded'
    group by account
),

-- another spelling is no other status: v2 says Created, v3 CREATED; nearly all of them without a look at their letters
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

-- each zone is written out: given as a column, DuckDB looks it up for every row (1.8 s in place of 0.1 s per million)
localised as (
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
        end as booked_local,
        case country
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
        end as window_opens_local,
        case country
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
        end as window_closes_local
    from cleaned
),

-- integers of microseconds: timestamps with a time zone take ten to a hundred times as long to subtract, or to turn
-- into UTC by `at time zone`, for the same results
measured as (
    select
        *,
        case
            when pickup_until > pickup_from
                then cast(coalesce(slots_us, epoch_us(pickup_until) - epoch_us(pickup_from)) as double) / 3600000000
        end as window_hours,
        cast(epoch_us(pickup_from) - epoch_us(created_at) as double) / 3600000000 as lead_time_hours,
        cast(epoch_us(cancelled_at) - epoch_us(created_at) as double) / 3600000000 as hours_to_cancel,
        cast(epoch_us(pickup_from) - epoch_us(cancelled_at) as double) / 3600000000 as cancellation_notice_hours,
        coalesce(
            coalesce(epoch_us(greatest(pickup_from, pickup_until)), epoch_us(created_at) + 604800000000) < epoch_us(as_of),
            false
        ) as is_mature
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
        make_timestamp(epoch_us(as_of)) as as_of_utc,

        time_zone,
        time_zone <> 'UTC' as has_local_time,
        window_opens_local,
        window_closes_local,
        extract(hour from window_opens_local) as window_opens_hour_local,
        extract(isodow from window_opens_local) as window_opens_isodow_local,
        cast(date_trunc('week', booked_local) as date) as booked_week_local_start,

        is_mature,
        state = 'cancelled' as is_cancelled,
        state = 'failed' as is_failed,
        state = 'pending' as is_pending,
        state = 'kept' as is_kept,
        state = 'pending' and is_mature as is_stuck,
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
        coalesce(cancellation_notice_hours < 24, false) as is_late_cancellation,
        coalesce(cancellation_notice_hours <= 0, false) as is_cancelled_after_start,

        api_version,
        last_load_id
    from measured
)

select * from final
