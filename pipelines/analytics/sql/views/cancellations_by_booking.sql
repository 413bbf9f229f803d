-- One row per carrier (is_every_carrier: all carriers), measure ('lead time' or 'window length') and band of hours.
-- The view breaks down the cancellation rate of mature pickups (see carrier_cancellations) by two measures. The lead
-- time runs from the booking to the start of the window, and the window length is the duration of the window.
-- A band covers from_hours <= hours < until_hours. The last band has no end.
-- A window that opens before the booking has no lead time, and an open-ended or invalid window has no length. The view
-- leaves such pickups out of that measure.
-- A longer lead time also leaves more time to cancel, so a difference between bands doesn't prove a cause.

with pickups as (
    select * from analytics.pickups
),

measured as (
    select
        carrier,
        'lead time' as measure,
        case when not is_window_before_booking then lead_time_hours end as hours,
        is_cancelled
    from pickups
    where is_mature and (is_cancelled or is_kept)
    union all
    select
        carrier,
        'window length',
        window_hours,
        is_cancelled
    from pickups
    where is_mature and (is_cancelled or is_kept)
),

banded as (
    select
        carrier,
        measure,
        is_cancelled,
        cast(case
            when measure = 'lead time' and hours < 6 then 0
            when measure = 'lead time' and hours < 12 then 6
            when measure = 'lead time' and hours < 24 then 12
            when measure = 'lead time' and hours < 48 then 24
            when measure = 'lead time' and hours < 96 then 48
            when measure = 'lead time' then 96
            when hours < 2 then 0
            when hours < 4 then 2
            when hours < 6 then 4
            when hours < 8 then 6
            else 8
        end as bigint) as from_hours
    from measured
    where hours is not null
),

counts as (
    select
        grouping(carrier) = 1 as is_every_carrier,
        coalesce(carrier, 'all') as carrier,
        measure,
        from_hours,
        count(*) as rated,
        count(*) filter (where is_cancelled) as mature_cancelled
    from banded
    group by grouping sets ((carrier, measure, from_hours), (measure, from_hours))
),

fractions as (
    select
        *,
        cast(mature_cancelled as double) as k,
        cast(rated as double) as n,
        cast(1.959963984540054 as double) as z
    from counts
),

final as (
    select
        carrier,
        is_every_carrier,
        measure,
        from_hours,
        cast(case
            when measure = 'lead time'
                then case from_hours when 0 then 6 when 6 then 12 when 12 then 24 when 24 then 48 when 48 then 96 end
            when from_hours < 8 then from_hours + 2
        end as bigint) as until_hours,
        rated,
        mature_cancelled,
        k / n as cancellation_rate,
        (2 * k + z * z - z * sqrt(z * z + 4 * k * (n - k) / n)) / (2 * (n + z * z)) as cancellation_rate_low,
        (2 * k + z * z + z * sqrt(z * z + 4 * k * (n - k) / n)) / (2 * (n + z * z)) as cancellation_rate_high
    from fractions
)

select * from final
