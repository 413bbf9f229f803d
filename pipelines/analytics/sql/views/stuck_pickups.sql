-- One row per pickup that is pending although its window has ended, or for longer than 99 % of acceptances took.
-- hours_waiting is the time from the booking to as_of.
-- p99_hours_to_acceptance comes from acceptance_times, over all accounts. It is that of the carrier if at least 100 of
-- the carrier's acceptances were observed, and otherwise that of all carriers (p99_covers). If fewer than 100 acceptances
-- were observed in all, it is null, and the view lists only pickups whose window has ended.
-- has_window_ended is is_mature of pickups. Without a window, seven days after the booking count as its end.

with pickups as (
    select * from analytics.pickups
    where is_pending
),

times as (
    select * from analytics.acceptance_times
    where is_every_account and accepted >= 100
),

waiting as (
    select
        pickups.account,
        pickups.pickup_id,
        pickups.carrier,
        pickups.country,
        pickups.contract_id,
        pickups.tracking_number,
        pickups.created_at_utc,
        pickups.pickup_from_utc,
        pickups.pickup_until_utc,
        cast(epoch_us(pickups.as_of_utc) - epoch_us(pickups.created_at_utc) as double) / 3600000000 as hours_waiting,
        coalesce(of_carrier.p99_hours_to_acceptance, of_all.p99_hours_to_acceptance) as p99_hours_to_acceptance,
        case
            when of_carrier.carrier is not null then 'carrier'
            when of_all.carrier is not null then 'all carriers'
        end as p99_covers,
        coalesce(pickups.pickup_from_utc <= pickups.as_of_utc, false) as has_window_opened,
        pickups.is_mature as has_window_ended,
        pickups.as_of_utc
    from pickups
    left join times as of_carrier on of_carrier.carrier = pickups.carrier and not of_carrier.is_every_carrier
    left join times as of_all on of_all.is_every_carrier
),

final as (
    select
        account,
        pickup_id,
        carrier,
        country,
        contract_id,
        tracking_number,
        created_at_utc,
        pickup_from_utc,
        pickup_until_utc,
        hours_waiting,
        p99_hours_to_acceptance,
        p99_covers,
        coalesce(hours_waiting > p99_hours_to_acceptance, false) as is_longer_than_p99,
        has_window_opened,
        has_window_ended,
        as_of_utc
    from waiting
    where has_window_ended or hours_waiting > p99_hours_to_acceptance
)

select * from final
