-- One row per account, local day of booking, measure and band, for all carriers together (is_every_carrier) and, for lead
-- times and window lengths, for each carrier: the mature pickups that were cancelled or kept (rated), and those cancelled.
-- See cancellations_by_booking for the measures and bands. For hours, band is the lower end.
-- A window that opens before the booking has no lead time, and an open-ended or invalid window has no length. The view
-- leaves such pickups out of that measure.
-- day_rated and day_cancelled count the account's pickups of the day in all bands of the measure. They are null for a
-- single carrier.

with pickups as (
    select * from analytics.pickups
),

banded as (
    select
        account,
        booked_day_local,
        carrier,
        contract_id,
        case when has_local_time then booked_hour_local end as booked_hour_local,
        cast(case
            when is_window_before_booking or lead_time_hours is null then null
            when lead_time_hours < 6 then 0
            when lead_time_hours < 12 then 6
            when lead_time_hours < 24 then 12
            when lead_time_hours < 48 then 24
            when lead_time_hours < 96 then 48
            else 96
        end as bigint) as lead_band,
        cast(case
            when window_hours is null then null
            when window_hours < 2 then 0
            when window_hours < 4 then 2
            when window_hours < 6 then 4
            when window_hours < 8 then 6
            else 8
        end as bigint) as length_band,
        is_mature and (is_cancelled or is_kept) as is_rated,
        is_mature and is_cancelled as is_cancelled
    from pickups
),

-- These counts are far fewer than the pickups, which would otherwise be grouped eight times. If the pickups were filtered
-- instead, DuckDB would work out their state twice (0.1 s per ten million pickups, duckdb 1.5.5, 2026-11-30).
parts as (
    select
        account,
        booked_day_local,
        carrier,
        contract_id,
        booked_hour_local,
        lead_band,
        length_band,
        count(case when is_rated then 1 end) as rated,
        count(case when is_cancelled then 1 end) as cancelled
    from banded
    group by account, booked_day_local, carrier, contract_id, booked_hour_local, lead_band, length_band
    having count(case when is_rated then 1 end) > 0
),

counts as (
    select
        account,
        booked_day_local,
        carrier,
        grouping(carrier) = 1 as is_every_carrier,
        case
            when grouping(lead_band) = 0 then 1
            when grouping(length_band) = 0 then 2
            when grouping(booked_hour_local) = 0 then 3
            when grouping(contract_id) = 0 then 4
            else 5
        end as measure_number,
        case
            when grouping(lead_band) = 0 then lead_band
            when grouping(length_band) = 0 then length_band
            when grouping(booked_hour_local) = 0 then booked_hour_local
            when grouping(contract_id) = 0 then contract_id
            else extract(isodow from booked_day_local)
        end as band,
        cast(sum(rated) as bigint) as rated,
        cast(sum(cancelled) as bigint) as mature_cancelled
    from parts
    group by
        grouping sets (
            (account, booked_day_local, carrier, lead_band),
            (account, booked_day_local, lead_band),
            (account, booked_day_local, carrier, length_band),
            (account, booked_day_local, length_band),
            (account, booked_day_local, booked_hour_local),
            (account, booked_day_local, contract_id),
            (account, booked_day_local)
        )
),

days as (
    select
        account,
        booked_day_local,
        cast(sum(case when lead_band is not null then rated else 0 end) as bigint) as lead_rated,
        cast(sum(case when lead_band is not null then cancelled else 0 end) as bigint) as lead_cancelled,
        cast(sum(case when length_band is not null then rated else 0 end) as bigint) as length_rated,
        cast(sum(case when length_band is not null then cancelled else 0 end) as bigint) as length_cancelled,
        cast(sum(case when booked_hour_local is not null then rated else 0 end) as bigint) as hour_rated,
        cast(sum(case when booked_hour_local is not null then cancelled else 0 end) as bigint) as hour_cancelled,
        cast(sum(case when contract_id is not null then rated else 0 end) as bigint) as contract_rated,
        cast(sum(case when contract_id is not null then cancelled else 0 end) as bigint) as contract_cancelled
    from parts
    group by account, booked_day_local
),

final as (
    select
        counts.account,
        counts.booked_day_local,
        coalesce(counts.carrier, 'all') as carrier,
        counts.is_every_carrier,
        case counts.measure_number
            when 1 then 'lead time'
            when 2 then 'window length'
            when 3 then 'booking hour'
            when 4 then 'contract'
            else 'booking weekday'
        end as measure,
        counts.band,
        counts.rated,
        counts.mature_cancelled,
        case
            when not counts.is_every_carrier then null
            when counts.measure_number = 1 then days.lead_rated
            when counts.measure_number = 2 then days.length_rated
            when counts.measure_number = 3 then days.hour_rated
            when counts.measure_number = 4 then days.contract_rated
            else counts.rated
        end as day_rated,
        case
            when not counts.is_every_carrier then null
            when counts.measure_number = 1 then days.lead_cancelled
            when counts.measure_number = 2 then days.length_cancelled
            when counts.measure_number = 3 then days.hour_cancelled
            when counts.measure_number = 4 then days.contract_cancelled
            else counts.mature_cancelled
        end as day_cancelled
    from counts
    inner join days on days.account = counts.account and days.booked_day_local = counts.booked_day_local
    where counts.band is not null
)

select * from final
