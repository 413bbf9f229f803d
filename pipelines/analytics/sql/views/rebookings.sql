-- One row per cancellation whose time is known: whether it was rebooked, and how often that would look so by chance.
-- A cancellation is rebooked if the account books the same carrier again within 24 hours of the cancellation, with the
-- same country and contract (or with the value missing in both bookings). A pickup can't be edited, so a change of plan
-- looks like a cancellation. Bookings within ten minutes of the cancelled booking belong to the same batch, so they
-- don't count.
-- If a shop books every day anyway, the next day's booking also looks like a rebooking. chance_of_a_booking measures
-- this effect by the shop's own calendar: the share of comparable kept bookings that another booking follows, after the
-- same delay, within 24 hours. The view compares with two of them, with the same account, carrier, country and contract:
-- the first kept booking of the first day on which there was one, from a week before the cancelled booking and from a week
-- after it. If a day can't tell in time, because its 24 hours were not over when the cancelled pickup was booked, whole
-- weeks further back are used, or none. A search from the cancelled booking towards the past would find days that are
-- followed by none. If there is neither, chance_of_a_booking is 0. A single chance is 0, 0.5 or 1, so use averages over
-- many cancellations.
-- A cancellation dated before its own booking is treated as cancelled at its booking. Otherwise, the pickup's own
-- booking would count as the rebooking.
-- The 24 hours after a time consist of the rest of its UTC day and the beginning of the next, so each day's first and last
-- booking tell whether there was one. That needs no sorting of bookings.

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
        booked_day_local,
        is_mature,
        is_cancelled,
        is_kept,
        created_at_utc,
        cast(created_at_utc as date) as booked_day_utc,
        cancelled_at_utc,
        greatest(cancelled_at_utc, created_at_utc + interval 10 minutes) as watched_from_utc,
        as_of_utc
    from pickups
),

cancellations as (
    select
        *,
        epoch_us(watched_from_utc) - epoch_us(created_at_utc) as delay_us,
        cast(floor((epoch_us(watched_from_utc) - epoch_us(created_at_utc)) / 86400000000) as int) as delay_days
    from keyed
    where is_cancelled and cancelled_at_utc is not null
),

-- A key is an account, carrier, country and contract.
key_days as (
    select
        account,
        carrier,
        country_key,
        contract_key,
        has_no_contract,
        booked_day_utc as day_utc,
        min(created_at_utc) as first_booked_at_utc,
        max(created_at_utc) as last_booked_at_utc,
        min(created_at_utc) filter (where is_kept) as first_kept_at_utc
    from keyed
    group by account, carrier, country_key, contract_key, has_no_contract, booked_day_utc
),

-- The days on which a key had a kept booking, and the days from which comparable bookings are looked up.
lookup_days as (
    select account, carrier, country_key, contract_key, has_no_contract, day_utc, first_kept_at_utc
    from key_days
    where first_kept_at_utc is not null
    union all
    select
        account, carrier, country_key, contract_key, has_no_contract,
        booked_day_utc - 7 * cast(floor((delay_days + 8) / 7) as int), null
    from cancellations
    union all
    select account, carrier, country_key, contract_key, has_no_contract, booked_day_utc + 7, null
    from cancellations
),

days_by_key as (
    select
        account,
        carrier,
        country_key,
        contract_key,
        has_no_contract,
        day_utc,
        max(first_kept_at_utc) as first_kept_at_utc
    from lookup_days
    group by account, carrier, country_key, contract_key, has_no_contract, day_utc
),

neighbours as (
    select
        *,
        min(first_kept_at_utc) over (
            partition by account, carrier, country_key, contract_key, has_no_contract
            order by day_utc
            rows between current row and unbounded following
        ) as next_kept_at_utc
    from days_by_key
),

-- What is looked up for each cancellation: whether a booking follows it, and whether one follows each of the two kept
-- bookings after the same delay. Only if the 24 hours are over does a comparison count.
watched as (
    select
        account,
        pickup_id,
        carrier,
        country_key,
        contract_key,
        has_no_contract,
        'cancellation' as origin,
        watched_from_utc
    from cancellations
    union all
    select
        account,
        pickup_id,
        carrier,
        country_key,
        contract_key,
        has_no_contract,
        'kept booking',
        make_timestamp(epoch_us(neighbours.next_kept_at_utc) + cancellations.delay_us)
    from cancellations
    inner join neighbours using (account, carrier, country_key, contract_key, has_no_contract)
    where neighbours.day_utc = cancellations.booked_day_utc - 7 * cast(floor((cancellations.delay_days + 8) / 7) as int)
        and cast(neighbours.next_kept_at_utc as date) < cancellations.booked_day_utc - cancellations.delay_days - 1
    union all
    select
        account,
        pickup_id,
        carrier,
        country_key,
        contract_key,
        has_no_contract,
        'kept booking',
        make_timestamp(epoch_us(neighbours.next_kept_at_utc) + cancellations.delay_us)
    from cancellations
    inner join neighbours using (account, carrier, country_key, contract_key, has_no_contract)
    where neighbours.day_utc = cancellations.booked_day_utc + 7
        and epoch_us(neighbours.next_kept_at_utc) + cancellations.delay_us + 86400000000 <= epoch_us(as_of_utc)
),

found as (
    select
        watched.account,
        watched.pickup_id,
        watched.origin,
        cast(coalesce(
            same_day.last_booked_at_utc > watched.watched_from_utc
            or next_day.first_booked_at_utc <= watched.watched_from_utc + interval 24 hours,
            false
        ) as int) as is_followed
    from watched
    left join key_days as same_day
        on same_day.account = watched.account
        and same_day.carrier = watched.carrier
        and same_day.country_key = watched.country_key
        and same_day.contract_key = watched.contract_key
        and same_day.has_no_contract = watched.has_no_contract
        and same_day.day_utc = cast(watched.watched_from_utc as date)
    left join key_days as next_day
        on next_day.account = watched.account
        and next_day.carrier = watched.carrier
        and next_day.country_key = watched.country_key
        and next_day.contract_key = watched.contract_key
        and next_day.has_no_contract = watched.has_no_contract
        and next_day.day_utc = cast(watched.watched_from_utc as date) + 1
    where watched.watched_from_utc is not null
),

chances as (
    select
        account,
        pickup_id,
        max(case when origin = 'cancellation' then is_followed end) as is_followed,
        cast(sum(case when origin = 'kept booking' then is_followed end) as double)
        / count(case when origin = 'kept booking' then 1 end) as chance_of_a_booking
    from found
    group by account, pickup_id
),

final as (
    select
        account,
        pickup_id,
        cancellations.carrier,
        cancellations.country,
        cancellations.booked_day_local,
        cancellations.is_mature,
        cancellations.cancelled_at_utc,
        chances.is_followed = 1 as is_rebooked,
        coalesce(chances.chance_of_a_booking, 0) as chance_of_a_booking
    from cancellations
    inner join chances using (account, pickup_id)
)

select * from final
