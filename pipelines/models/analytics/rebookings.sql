-- One row per cancellation whose time is known: whether it was rebooked.
-- Rebooked means that the same account booked with the same carrier, for the same country and contract (or both times
-- none), after the cancellation and no more than 24 hours after it: a pickup can't be edited, so a change of plan looks
-- like a cancellation. Where something is booked every day anyway, the next day's booking looks like a rebooking too.
-- How far that goes tells chance_of_a_booking: how likely some booking is within any 24 hours, if the key's bookings
-- fell evenly over its time (Poisson). Near 1, is_rebooked says nothing.
-- A cancellation dated before its own booking is taken to be of the moment of booking, or it would rebook itself.
-- Bookings are first summed up by hour, so that what follows sorts hours and not pickups (a sixth of the time, 2026-11).

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

-- every hour in which a key was booked or cancelled
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

-- how often a key is booked: bookings in 24 hours, on average from its first to its last, of a day at least
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
        -- 1 either way; but exp(-746) is smaller than a double can be, which PostgreSQL refuses
        1 - exp(-least(keys.bookings_a_day, 700)) as chance_of_a_booking
    from cancellations
    inner join keys using (account, carrier, country_key, contract_key, has_no_contract)
    inner join followed using (account, carrier, country_key, contract_key, has_no_contract, hour_utc)
)

select * from final
