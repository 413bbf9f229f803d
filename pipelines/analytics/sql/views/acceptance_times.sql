-- One row per carrier and for all carriers, for all accounts and for each account: the time from booking to acceptance.
-- The API doesn't say when a pickup was accepted. The view therefore uses the first observation of an accepted status:
-- any status but announcing, failed and cancelled. The pickup was accepted between the previous run and that
-- observation, so the hours are too long by at most the time between two runs.
-- watched counts pickups that were booked after the account's first run and first observed within 24 hours. The hours
-- cover those of them that were accepted. A pickup that was already accepted when it was first observed counts with the
-- time to that observation (accepted_at_first_observation).
-- The other watched pickups failed, were cancelled, or are still pending without an observed acceptance.
-- Times are rounded down to whole minutes. The median, p90 and p99 interpolate between the two nearest pickups.

with pickups as (
    select * from analytics.pickups
),

-- Most pickups have a single state, so only the others are grouped. is_first is null if it isn't known.
changed as (
    select distinct
        account,
        id
    from sendcloud.pickup_status_history
    where is_first is not true
),

-- Each CTE reads the table again, because DuckDB stores a CTE that is read twice.
single_states as (
    select
        history.account,
        history.id as pickup_id,
        epoch_us(history.observed_at) as observed_us,
        history.pickup_status in ('Created', 'CREATED')
        or lower(history.pickup_status) not in ('announcing', 'failed', 'cancelled') as is_accepted
    from sendcloud.pickup_status_history as history
    left join changed on changed.account = history.account and changed.id = history.id
    where changed.id is null
),

several_states as (
    select
        history.account,
        history.id as pickup_id,
        epoch_us(history.observed_at) as observed_us,
        lower(history.pickup_status) not in ('announcing', 'failed', 'cancelled') as is_accepted
    from sendcloud.pickup_status_history as history
    inner join changed on changed.account = history.account and changed.id = history.id
),

observations as (
    select
        account,
        pickup_id,
        observed_us as first_us,
        case when is_accepted then observed_us end as accepted_us
    from single_states
    union all
    select
        account,
        pickup_id,
        min(observed_us),
        min(case when is_accepted then observed_us end)
    from several_states
    group by account, pickup_id
),

first_runs as (
    select
        account,
        min(epoch_us(observed_at)) as first_run_us
    from sendcloud.pickup_status_history
    group by account
),

booked as (
    select
        account,
        pickup_id,
        carrier,
        is_failed,
        is_cancelled,
        is_pending,
        epoch_us(created_at_utc) as created_us
    from pickups
),

-- A run dates its observations to the moment at which it began to read, so a pickup booked later during that run has a
-- negative age.
observed as (
    select
        booked.account,
        booked.carrier,
        booked.is_failed,
        booked.is_cancelled,
        booked.is_pending,
        coalesce(
            booked.created_us >= first_runs.first_run_us
            and observations.first_us - booked.created_us <= 86400000000,
            false
        ) as is_watched,
        coalesce(observations.accepted_us = observations.first_us, false) as is_accepted_at_first,
        observations.accepted_us - booked.created_us as waited_us
    from booked
    left join observations
        on observations.account = booked.account and observations.pickup_id = booked.pickup_id
    left join first_runs on first_runs.account = booked.account
),

rounded as (
    select
        *,
        cast(waited_us > 0 as int) * (waited_us - waited_us % 60000000) as us_to_acceptance
    from observed
),

-- Whole minutes leave a few thousand rows, from which the percentiles follow at once. Computing them from all pickups took
-- 1.9 of 5.5 s of CPU per ten million pickups (duckdb 1.5.5, 2026-11-30).
parts as (
    select
        account,
        carrier,
        case when is_watched then us_to_acceptance end as us_to_acceptance,
        count(*) as pickups,
        count(*) filter (where is_watched) as watched,
        count(*) filter (where is_watched and us_to_acceptance is null and is_failed) as failed,
        count(*) filter (where is_watched and us_to_acceptance is null and is_cancelled) as cancelled,
        count(*) filter (where is_watched and us_to_acceptance is null and is_pending) as pending,
        count(*) filter (where is_watched and is_accepted_at_first) as accepted_at_first_observation
    from rounded
    group by account, carrier, case when is_watched then us_to_acceptance end
),

times as (
    select
        coalesce(account, 'all') as account,
        grouping(account) = 1 as is_every_account,
        case when grouping(carrier) = 1 then 'all' else coalesce(carrier, 'unknown') end as carrier,
        grouping(carrier) = 1 as is_every_carrier,
        us_to_acceptance,
        cast(sum(pickups) as bigint) as pickups,
        cast(case when us_to_acceptance is null then 0 else sum(pickups) end as bigint) as accepted,
        cast(sum(watched) as bigint) as watched,
        cast(sum(failed) as bigint) as failed,
        cast(sum(cancelled) as bigint) as cancelled,
        cast(sum(pending) as bigint) as pending,
        cast(sum(accepted_at_first_observation) as bigint) as accepted_at_first_observation
    from parts
    group by grouping sets (
        (us_to_acceptance),
        (us_to_acceptance, carrier),
        (us_to_acceptance, account),
        (us_to_acceptance, account, carrier)
    )
),

-- up_to counts the pickups that were accepted in at most this time, and last_place is the place of the slowest of all
-- accepted pickups, counted from 0.
placed as (
    select
        *,
        sum(accepted) over (
            partition by account, is_every_account, carrier, is_every_carrier order by us_to_acceptance
        ) as up_to,
        cast(sum(accepted) over (partition by account, is_every_account, carrier, is_every_carrier) - 1 as double)
            as last_place
    from times
),

counts as (
    select
        account,
        is_every_account,
        carrier,
        is_every_carrier,
        last_place,
        cast(sum(pickups) as bigint) as pickups,
        cast(sum(watched) as bigint) as watched,
        cast(sum(accepted) as bigint) as accepted,
        cast(sum(failed) as bigint) as failed,
        cast(sum(cancelled) as bigint) as cancelled,
        cast(sum(pending) as bigint) as pending,
        cast(sum(accepted_at_first_observation) as bigint) as accepted_at_first_observation,
        min(us_to_acceptance) filter (where up_to > floor(0.5 * last_place)) as median_before_us,
        min(us_to_acceptance) filter (where up_to > ceil(0.5 * last_place)) as median_after_us,
        min(us_to_acceptance) filter (where up_to > floor(0.9 * last_place)) as p90_before_us,
        min(us_to_acceptance) filter (where up_to > ceil(0.9 * last_place)) as p90_after_us,
        min(us_to_acceptance) filter (where up_to > floor(0.99 * last_place)) as p99_before_us,
        min(us_to_acceptance) filter (where up_to > ceil(0.99 * last_place)) as p99_after_us
    from placed
    group by account, is_every_account, carrier, is_every_carrier, last_place
),

final as (
    select
        account,
        is_every_account,
        carrier,
        is_every_carrier,
        pickups,
        watched,
        accepted,
        failed,
        cancelled,
        pending,
        accepted_at_first_observation,
        cast(accepted_at_first_observation as double) / nullif(accepted, 0) as accepted_at_first_observation_share,
        (median_before_us + (median_after_us - median_before_us) * (0.5 * last_place - floor(0.5 * last_place)))
        / 3600000000 as median_hours_to_acceptance,
        (p90_before_us + (p90_after_us - p90_before_us) * (0.9 * last_place - floor(0.9 * last_place)))
        / 3600000000 as p90_hours_to_acceptance,
        (p99_before_us + (p99_after_us - p99_before_us) * (0.99 * last_place - floor(0.99 * last_place)))
        / 3600000000 as p99_hours_to_acceptance
    from counts
)

select * from final
