-- One row per time slot of a pickup: the window itself, or each of the slots that make up the window in v3.
-- If the carrier may come in the morning or in the afternoon, the pickup has two slots. A pickup without a window has
-- no slots. slot_hours is null if the slot is open-ended or doesn't end after it begins. Local columns use the time
-- zone of the pickup's country.

with pickups as (
    select * from analytics.pickups
),

-- Only pickups with several slots need their JSON parsed, as in pickups.sql.
several as (
    select
        account,
        id as pickup_id,
        time_slots,
        unnest(generate_series(0, cast(json_array_length(time_slots) as int) - 1)) as place
    from sendcloud.pickups
    where api_version = 'v3'
        and cast(time_slots as text) like '%},%{%'
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

-- If a pickup has a single slot, the slot is its window. The left join handles pickups with one or more slots in one
-- scan.
slots as (
    select
        pickups.account,
        pickups.pickup_id,
        coalesce(taken_apart.slot_number, 1) as slot_number,
        pickups.carrier,
        pickups.country,
        pickups.has_local_time,
        case
            when taken_apart.slot_number is null then pickups.pickup_from_utc
            else make_timestamp(epoch_us(taken_apart.opens_at))
        end as slot_opens_utc,
        case
            when taken_apart.slot_number is null then pickups.pickup_until_utc
            else make_timestamp(epoch_us(taken_apart.closes_at))
        end as slot_closes_utc,
        case
            when taken_apart.slot_number is null then pickups.window_opens_local
            else taken_apart.opens_at at time zone pickups.time_zone
        end as slot_opens_local,
        case
            when taken_apart.slot_number is null then pickups.window_hours
            when taken_apart.closes_at > taken_apart.opens_at
                then cast(epoch_us(taken_apart.closes_at) - epoch_us(taken_apart.opens_at) as double) / 3600000000
        end as slot_hours
    from pickups
    left join taken_apart
        on taken_apart.account = pickups.account and taken_apart.pickup_id = pickups.pickup_id
    where pickups.has_window or taken_apart.slot_number is not null
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
