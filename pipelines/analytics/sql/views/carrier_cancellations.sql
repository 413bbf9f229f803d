-- One row per carrier (country is 'all'), and one per carrier and country ('unknown' if the API sent no country).
-- Rates cover only mature pickups, whose window ended before as_of. The columns for immature pickups count the rest.
-- cancellation_rate = mature_cancelled / rated, where rated = mature_cancelled + mature_kept. Failed pickups were never
-- accepted and pending pickups were never answered, so neither could have been cancelled.
-- failure_rate = mature_failed / failure_n, where failure_n counts all mature pickups except pending ones.
-- mature_pending counts stuck pickups, which are still announcing after their window has ended.
-- Columns that end in _low or _high bound the 95 % Wilson interval. A rate is null if there are no pickups to rate.
-- Each pickup is counted in two rows, so never sum over all rows.
-- cancellation_rate_shrunken pulls each rate towards the overall rate of its kind of row (carriers, or carriers by
-- country). The fewer pickups a row has, the further its rate is pulled. The result is the mean of a beta-binomial
-- posterior, whose prior is estimated from these rows by the method of moments (Kleinman 1973, weighted by n).
-- cancellation_rank ranks the rows by the shrunken rate, where 1 is cancelled most often. A row with one cancellation
-- out of two pickups therefore doesn't top the list.
-- A cancellation is late if it came less than 24 hours before the window opened, or after the window opened.

with pickups as (
    select * from analytics.pickups
),

counted as (
    select
        carrier,
        coalesce(country, 'unknown') as pickup_country,
        as_of_utc,
        is_mature,
        is_cancelled,
        is_kept,
        is_failed,
        is_pending,
        has_status_conflict,
        is_late_cancellation,
        is_cancelled_after_start
    from pickups
),

counts as (
    select
        carrier,
        coalesce(pickup_country, 'all') as country,
        count(*) as pickups,
        count(*) filter (where is_mature) as mature_pickups,
        count(*) filter (where not is_mature) as immature_pickups,
        count(*) filter (where not is_mature and is_cancelled) as immature_cancelled,
        count(*) filter (where is_mature and is_cancelled) as mature_cancelled,
        count(*) filter (where is_mature and is_kept) as mature_kept,
        count(*) filter (where is_mature and is_failed) as mature_failed,
        count(*) filter (where is_mature and is_pending) as mature_pending,
        count(*) filter (where is_mature and is_late_cancellation) as mature_late_cancellations,
        count(*) filter (where is_mature and is_cancelled_after_start) as mature_cancelled_after_start,
        count(*) filter (where has_status_conflict) as status_conflicts,
        min(as_of_utc) as as_of_utc
    from counted
    group by grouping sets ((carrier), (carrier, pickup_country))
),

denominated as (
    select
        *,
        mature_cancelled + mature_kept as rated,
        mature_cancelled + mature_kept + mature_failed as failure_n
    from counts
),

-- k and n are doubles. If there are no pickups, n is null, and so is the rate.
fractions as (
    select
        *,
        cast(mature_cancelled as double) as cancelled_k,
        cast(nullif(rated, 0) as double) as cancelled_n,
        cast(mature_failed as double) as failed_k,
        cast(nullif(failure_n, 0) as double) as failed_n,
        cast(1.959963984540054 as double) as z
    from denominated
),

-- The bounds of the Wilson interval are (2k + z² ± z·√(z² + 4k(n − k)/n)) / 2(n + z²).
margins as (
    select
        *,
        z * sqrt(z * z + 4 * cancelled_k * (cancelled_n - cancelled_k) / cancelled_n) as cancelled_margin,
        z * sqrt(z * z + 4 * failed_k * (failed_n - failed_k) / failed_n) as failed_margin
    from fractions
),

-- The prior for each kind of row is estimated from the overall rate and the spread of the rows' rates.
kinds as (
    select
        country = 'all' as is_carrier,
        sum(cancelled_k) / sum(cancelled_n) as mean_rate,
        sum(cancelled_n) as kind_n,
        sum(cancelled_n * cancelled_n) as sum_of_squares,
        count(cancelled_n) as members,
        sum(cancelled_k * cancelled_k / cancelled_n) as sum_of_k_squared_by_n
    from margins
    where cancelled_n > 0
    group by country = 'all'
),

-- spread is the prior's 1 / (a + b + 1), which is the share of the variance that lies between the rows. It is 0 if the
-- rows differ no more than chance would explain.
priors as (
    select
        is_carrier,
        mean_rate,
        least(
            greatest(
                (
                    sum_of_k_squared_by_n - kind_n * mean_rate * mean_rate - mean_rate * (1 - mean_rate) * (members - 1)
                )
                / nullif(mean_rate * (1 - mean_rate) * (kind_n - sum_of_squares / kind_n - (members - 1)), 0),
                0
            ),
            1
        ) as spread
    from kinds
),

-- The shrunken rate is (k + m * mean) / (n + m) with m = a + b = 1 / spread - 1. Numerator and denominator are
-- multiplied by spread, so that a spread of 0 or 1 causes no division by zero.
shrunken as (
    select
        margins.*,
        (margins.cancelled_k * coalesce(priors.spread, 0) + (1 - coalesce(priors.spread, 0)) * priors.mean_rate)
        / (margins.cancelled_n * coalesce(priors.spread, 0) + (1 - coalesce(priors.spread, 0)))
            as cancellation_rate_shrunken
    from margins
    left join priors on priors.is_carrier = (margins.country = 'all')
),

final as (
    select
        carrier,
        country,
        pickups,
        mature_pickups,
        immature_pickups,
        immature_cancelled,
        mature_cancelled,
        mature_kept,
        mature_failed,
        mature_pending,
        mature_late_cancellations,
        mature_cancelled_after_start,
        status_conflicts,

        rated,
        cancelled_k / cancelled_n as cancellation_rate,
        (2 * cancelled_k + z * z - cancelled_margin) / (2 * (cancelled_n + z * z)) as cancellation_rate_low,
        (2 * cancelled_k + z * z + cancelled_margin) / (2 * (cancelled_n + z * z)) as cancellation_rate_high,
        cancellation_rate_shrunken,
        case
            when cancellation_rate_shrunken is not null
                then rank() over (
                    partition by country = 'all', cancellation_rate_shrunken is null
                    order by cancellation_rate_shrunken desc
                )
        end as cancellation_rank,

        failure_n,
        failed_k / failed_n as failure_rate,
        (2 * failed_k + z * z - failed_margin) / (2 * (failed_n + z * z)) as failure_rate_low,
        (2 * failed_k + z * z + failed_margin) / (2 * (failed_n + z * z)) as failure_rate_high,

        as_of_utc
    from shrunken
)

select * from final
