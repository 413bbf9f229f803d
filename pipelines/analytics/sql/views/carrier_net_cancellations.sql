-- One row per carrier (country is 'all') and one per carrier and country ('unknown' if the API sent no country), for all
-- accounts (is_every_account) and for each account.
-- The net cancellation rate leaves out cancellations that were rebooked within 24 hours (see analytics.rebookings).
-- Like all rates, it covers only mature pickups: net_cancellation_rate = net_cancelled / net_rated, where
-- net_cancelled = mature_cancelled - mature_rebooked and net_rated = rated - mature_rebooked. Both counts leave out
-- rebooked pickups, because the new booking counts separately.
-- If a cancellation has no time, the view can't tell whether it was rebooked, so the cancellation stays in the rate.
-- rebooked_by_chance_share is the share of cancellations that would look rebooked by chance, because another booking
-- follows within 24 hours anyway. If this share is near 1, the net rate is only a lower bound (see rebookings).
-- Columns that end in _low or _high bound the 95 % Wilson interval. Each pickup is counted in two rows, so never sum
-- over all rows.

with pickups as (
    select * from analytics.pickups
),

rebookings as (
    select * from analytics.rebookings
),

counted as (
    select
        account,
        carrier,
        coalesce(country, 'unknown') as pickup_country,
        is_cancelled,
        is_kept
    from pickups
    where is_mature
),

counts as (
    select
        coalesce(account, 'all') as account,
        grouping(account) = 1 as is_every_account,
        carrier,
        coalesce(pickup_country, 'all') as country,
        count(*) filter (where is_cancelled) as mature_cancelled,
        count(*) filter (where is_cancelled or is_kept) as rated
    from counted
    group by
        grouping sets (
            (carrier), (carrier, pickup_country), (account, carrier), (account, carrier, pickup_country)
        )
),

rebooked as (
    select
        account,
        carrier,
        coalesce(country, 'unknown') as pickup_country,
        is_rebooked,
        chance_of_a_booking
    from rebookings
    where is_mature
),

rebooked_counts as (
    select
        coalesce(account, 'all') as account,
        grouping(account) = 1 as is_every_account,
        carrier,
        coalesce(pickup_country, 'all') as country,
        count(*) filter (where is_rebooked) as mature_rebooked,
        avg(chance_of_a_booking) as rebooked_by_chance_share
    from rebooked
    group by
        grouping sets (
            (carrier), (carrier, pickup_country), (account, carrier), (account, carrier, pickup_country)
        )
),

netted as (
    select
        counts.account,
        counts.is_every_account,
        counts.carrier,
        counts.country,
        counts.mature_cancelled,
        coalesce(rebooked_counts.mature_rebooked, 0) as mature_rebooked,
        rebooked_counts.rebooked_by_chance_share,
        counts.rated - coalesce(rebooked_counts.mature_rebooked, 0) as net_rated
    from counts
    left join rebooked_counts using (account, is_every_account, carrier, country)
),

-- k and n are doubles. If there are no pickups, n is null, and so is the rate.
fractions as (
    select
        *,
        mature_cancelled - mature_rebooked as net_cancelled,
        cast(mature_cancelled - mature_rebooked as double) as k,
        cast(nullif(net_rated, 0) as double) as n,
        cast(1.959963984540054 as double) as z
    from netted
),

final as (
    select
        account,
        is_every_account,
        carrier,
        country,
        mature_cancelled,
        mature_rebooked,
        rebooked_by_chance_share,
        net_cancelled,
        net_rated,
        k / n as net_cancellation_rate,
        (2 * k + z * z - z * sqrt(z * z + 4 * k * (n - k) / n)) / (2 * (n + z * z)) as net_cancellation_rate_low,
        (2 * k + z * z + z * sqrt(z * z + 4 * k * (n - k) / n)) / (2 * (n + z * z)) as net_cancellation_rate_high
    from fractions
)

select * from final
