-- One row per time slot of a pickup: the window itself, or each of the slots of which v3 makes it up.
-- A carrier that comes in the morning or in the afternoon has two; a pickup without a window has none and is not here.
-- slot_hours is null for a slot that is open-ended or ends before it begins. Local is the clock of the pickup's country.

with pickups as (
    select * from analytics.pickups
),

-- as in pickups: only those of several slots have JSON that has to be looked at
several as (
    select
        account,
        id as pickup_id,
        time_slots,
        unnest(generate_series(0, cast(json_array_length(time_slots) as int) - 1)) as place
    from sendcloud.pickups
    where cast(time_slots as text) like '%},%{%'
),

taken_apart as (
    select
        account,
        pickup_id,
        place + 1 as slot_number,
        try_cast(upper((time_slots -> place) ->> 'start_at') as timestamptz) as opens_at,
        try_cast(upper((time_slots -> place) ->> 'end_at') as timestamptz) as closes_at
    from several
),

single as (
    select
        pickups.account,
        pickups.pickup_id,
        1 as slot_number,
        pickups.carrier,
        pickups.country,
        pickups.has_local_time,
        pickups.pickup_from_utc as slot_opens_utc,
        pickups.pickup_until_utc as slot_closes_utc,
        pickups.window_opens_local as slot_opens_local,
        pickups.window_hours as slot_hours
    from pickups
    anti join several on several.account = pickups.account and several.pickup_id = pickups.pickup_id
    where pickups.has_window
),

of_several as (
    select
        pickups.account,
        pickups.pickup_id,
        taken_apart.slot_number,
        pickups.carrier,
        pickups.country,
        pickups.has_local_time,
        make_timestamp(epoch_us(taken_apart.opens_at)) as slot_opens_utc,
        make_timestamp(epoch_us(taken_apart.closes_at)) as slot_closes_utc,
        taken_apart.opens_at at time zone pickups.time_zone as slot_opens_local,
        case
            when taken_apart.closes_at > taken_apart.opens_at
                then cast(epoch_us(taken_apart.closes_at) - epoch_us(taken_apart.opens_at) as double) / 3600000000
        end as slot_hours
    from taken_apart
    join pickups on pickups.account = taken_apart.account and pickups.pickup_id = taken_apart.pickup_id
),

slots as (
    select * from single
    union all
    select * from of_several
),

final as (
    select
        account,
        pickup_id,
        slot_number,
        carrier,
        country,
        has_local_time,
        slot_opens_utc,
        slot_closes_utc,
        slot_opens_local,
        extract(isodow from slot_opens_local) as slot_opens_isodow_local,
        extract(hour from slot_opens_local) as slot_opens_hour_local,
        slot_hours
    from slots
)

select * from final
