-- One row per cancellation whose time is known: whether it was rebooked.
-- A cancellation is rebooked if the account books the same carrier again within 24 hours of the cancellation, with the
-- same country and contract (or with the value missing in both bookings). A pickup can't be edited, so a change of plan
-- looks like a cancellation.
-- If a shop books every day anyway, the next day's booking also looks like a rebooking. chance_of_a_booking measures
-- this effect. chance_of_a_booking is the probability of at least one booking in any 24-hour period, assuming that the
-- key's bookings occur at a constant rate (Poisson). If the probability is near 1, is_rebooked is meaningless.
-- A cancellation dated before its own booking is treated as cancelled at its booking. Otherwise, the pickup's own
-- booking would count as the rebooking.
-- Bookings are first aggregated by hour, so that the later steps sort hours instead of pickups (which takes a sixth of
-- the time, 2026-11).

with pickups as (
    select * from analytics.pickups
),

keyed as (
    select
        account,
        pickup_id,
        carrier,
        country,
        coalesce(country, '') as country_key,
        coalesce(contract_id, 0) as contract_key,
        contract_id is null as has_no_contract,
        is_mature,
        is_cancelled,
        created_at_utc,
        cancelled_at_utc,
        case when cancelled_at_utc is not null then greatest(cancelled_at_utc, created_at_utc) end as gone_at_utc
    from pickups
),

cancellations as (
    select
        *,
        date_trunc('hour', gone_at_utc) as hour_utc
    from keyed
    where is_cancelled and gone_at_utc is not null
),

-- A key is an account, carrier, country and contract. This CTE lists the hours in which a key had a booking or a
-- cancellation.
events as (
    select account, carrier, country_key, contract_key, has_no_contract, date_trunc('hour', created_at_utc) as hour_utc,
        created_at_utc
    from keyed
    union all
    select account, carrier, country_key, contract_key, has_no_contract, hour_utc, null
    from cancellations
),

hours as (
    select
        account,
        carrier,
        country_key,
        contract_key,
        has_no_contract,
        hour_utc,
        min(created_at_utc) as first_booked_at_utc,
        max(created_at_utc) as last_booked_at_utc
    from events
    group by account, carrier, country_key, contract_key, has_no_contract, hour_utc
),

-- bookings_a_day is a key's average number of bookings per 24 hours, between its first and its last booking. That time
-- span counts as at least one day.
keys as (
    select
        account,
        carrier,
        country_key,
        contract_key,
        has_no_contract,
        count(*)
        / greatest(cast(epoch_us(max(created_at_utc)) - epoch_us(min(created_at_utc)) as double) / 86400000000, 1)
            as bookings_a_day
    from keyed
    group by account, carrier, country_key, contract_key, has_no_contract
),

followed as (
    select
        *,
        min(first_booked_at_utc) over (
            partition by account, carrier, country_key, contract_key, has_no_contract
            order by hour_utc
            rows between 1 following and unbounded following
        ) as next_hours_first_booked_at_utc
    from hours
),

final as (
    select
        account,
        cancellations.pickup_id,
        carrier,
        cancellations.country,
        cancellations.is_mature,
        cancellations.cancelled_at_utc,
        coalesce(
            followed.last_booked_at_utc > cancellations.gone_at_utc
            or followed.next_hours_first_booked_at_utc <= cancellations.gone_at_utc + interval 24 hours,
            false
        ) as is_rebooked,
        -- The cap of 700 does not change the result, which is 1. PostgreSQL rejects exp(-746), because the result is
        -- too small for a double.
        1 - exp(-least(keys.bookings_a_day, 700)) as chance_of_a_booking
    from cancellations
    inner join keys using (account, carrier, country_key, contract_key, has_no_contract)
    inner join followed using (account, carrier, country_key, contract_key, has_no_contract, hour_utc)
)

select * from final
