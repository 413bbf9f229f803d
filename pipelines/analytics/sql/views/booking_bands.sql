-- One row per account, local day of booking, measure and band, for all carriers together (is_every_carrier) and, for lead
-- times and window lengths, for each carrier: the mature pickups that were cancelled or kept (rated), and those cancelled.
-- See cancellations_by_booking for the measures and bands. For hours, band is the lower end.
-- A window that opens before the booking has no lead time, and an open-ended or invalid window has no length. The view
-- leaves such pickups out of that measure.

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
        is_cancelled
    from pickups
    where is_mature and (is_cancelled or is_kept)
),

counts as (
    select
        account,
        booked_day_local,
        coalesce(carrier, 'all') as carrier,
        grouping(carrier) = 1 as is_every_carrier,
        case
            when grouping(lead_band) = 0 then 'lead time'
            when grouping(length_band) = 0 then 'window length'
            when grouping(booked_hour_local) = 0 then 'booking hour'
            when grouping(contract_id) = 0 then 'contract'
            else 'booking weekday'
        end as measure,
        case
            when grouping(lead_band) = 0 then lead_band
            when grouping(length_band) = 0 then length_band
            when grouping(booked_hour_local) = 0 then booked_hour_local
            when grouping(contract_id) = 0 then contract_id
            else extract(isodow from booked_day_local)
        end as band,
        count(*) as rated,
        count(*) filter (where is_cancelled) as mature_cancelled
    from banded
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

final as (
    select
        account,
        booked_day_local,
        carrier,
        is_every_carrier,
        measure,
        band,
        rated,
        mature_cancelled
    from counts
    where band is not null
)

select * from final
