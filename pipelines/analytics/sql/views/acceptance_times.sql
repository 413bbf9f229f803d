-- One row per carrier and for all carriers, for all accounts and for each account: the time from booking to acceptance.
-- The API doesn't say when a pickup was accepted. The view therefore uses the first observation of an accepted status:
-- any status but announcing, failed and cancelled. The pickup was accepted between the previous run and that
-- observation, so the hours are too long by at most the time between two runs.
-- watched counts pickups that were booked after the account's first run and first observed within 24 hours. The hours
-- cover those of them that were accepted. A pickup that was already accepted when it was first observed counts with the
-- time to that observation (accepted_at_first_observation).
-- The other watched pickups failed, were cancelled, or are still pending without an observed acceptance. p90 and p99
-- interpolate between the two nearest pickups.

with pickups as (
    select * from analytics.pickups
),

history as (
    select * from sendcloud.pickup_status_history
),

states as (
    select
        account,
        id as pickup_id,
        observed_at,
        pickup_status in ('Created', 'CREATED')
        or lower(pickup_status) not in ('announcing', 'failed', 'cancelled') as is_accepted
    from history
),

observations as (
    select
        account,
        pickup_id,
        min(epoch_us(observed_at)) as first_us,
        min(case when is_accepted then epoch_us(observed_at) end) as accepted_us
    from states
    group by account, pickup_id
),

-- This reads the table, because DuckDB stores a CTE that is read twice.
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
        case
            when observations.accepted_us > booked.created_us
                then cast(observations.accepted_us - booked.created_us as double) / 3600000000
            when observations.accepted_us is not null then 0
        end as hours_to_acceptance
    from booked
    left join observations
        on observations.account = booked.account and observations.pickup_id = booked.pickup_id
    left join first_runs on first_runs.account = booked.account
),

counts as (
    select
        coalesce(account, 'all') as account,
        grouping(account) = 1 as is_every_account,
        case when grouping(carrier) = 1 then 'all' else coalesce(carrier, 'unknown') end as carrier,
        grouping(carrier) = 1 as is_every_carrier,
        count(*) as pickups,
        count(*) filter (where is_watched) as watched,
        count(hours_to_acceptance) filter (where is_watched) as accepted,
        count(*) filter (where is_watched and hours_to_acceptance is null and is_failed) as failed,
        count(*) filter (where is_watched and hours_to_acceptance is null and is_cancelled) as cancelled,
        count(*) filter (where is_watched and hours_to_acceptance is null and is_pending) as pending,
        count(*) filter (where is_watched and is_accepted_at_first) as accepted_at_first_observation,
        quantile_cont(case when is_watched then hours_to_acceptance end, [0.5, 0.9, 0.99]) as hours_p50_p90_p99
    from observed
    group by grouping sets ((), (carrier), (account), (account, carrier))
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
        hours_p50_p90_p99[1] as median_hours_to_acceptance,
        hours_p50_p90_p99[2] as p90_hours_to_acceptance,
        hours_p50_p90_p99[3] as p99_hours_to_acceptance
    from counts
    where pickups > 0
)

select * from final
