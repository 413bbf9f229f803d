-- One row per carrier and week of booking; a week begins on Monday in the local time of the pickup's country.
-- Rates cover the week's mature pickups (see carrier_cancellations). is_week_mature is false while some of the week's
-- pickups are immature, and until a day after the end of the week. Until a week is mature, its rate excludes pickups
-- with late windows, whose cancellation rate differs. You can show an immature week, but don't compare it with other
-- weeks.
-- A pickup without a window matures seven days after it was booked, so its week can't be mature before then.

with pickups as (
    select * from analytics.pickups
),

counts as (
    select
        carrier,
        booked_week_local_start,
        count(*) as pickups,
        count(*) filter (where is_mature) as mature_pickups,
        count(*) filter (where not is_mature) as immature_pickups,
        count(*) filter (where is_mature and is_cancelled) as mature_cancelled,
        count(*) filter (where is_mature and is_kept) as mature_kept,
        count(*) filter (where is_mature and is_failed) as mature_failed,
        count(*) filter (where not is_mature) as still_to_come,
        min(as_of_utc) as as_of_utc
    from pickups
    group by carrier, booked_week_local_start
),

-- k and n are doubles. If there are no pickups, n is null, and so is the rate.
fractions as (
    select
        *,
        mature_cancelled + mature_kept as rated,
        cast(mature_cancelled as double) as k,
        cast(nullif(mature_cancelled + mature_kept, 0) as double) as n,
        cast(1.959963984540054 as double) as z
    from counts
),

final as (
    select
        carrier,
        booked_week_local_start,
        pickups,
        mature_pickups,
        immature_pickups,
        mature_cancelled,
        mature_kept,
        mature_failed,
        rated,
        k / n as cancellation_rate,
        (2 * k + z * z - z * sqrt(z * z + 4 * k * (n - k) / n)) / (2 * (n + z * z)) as cancellation_rate_low,
        (2 * k + z * z + z * sqrt(z * z + 4 * k * (n - k) / n)) / (2 * (n + z * z)) as cancellation_rate_high,
        coalesce(still_to_come = 0 and booked_week_local_start + interval 8 days <= as_of_utc, false) as is_week_mature
    from fractions
)

select * from final
