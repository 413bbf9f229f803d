-- One row per carrier, for all accounts (is_every_account) and for each account: the cancellations that were observed, and
-- those that would be expected if each of the carrier's pickups had been cancelled at the rate of all carriers' pickups like it.
-- Pickups are alike if they have the same account, country, lead time (less than 24 hours, 24 to 96 hours, or other) and
-- window length (less than 2, 2 to 4, 4 to 8, at least 8 hours, or none). Only mature pickups count that were cancelled or
-- kept. comparable_share is the share of the carrier's pickups for which another carrier has pickups like them.
-- ratio = observed / expected, and standardized_rate = ratio * overall_rate, which is the rate of all carriers. ratio_low
-- and ratio_high come from the bounds of the carrier's rate in rate_intervals. A carrier is part of the rates with which it
-- is compared, so the ratio varies less than the rate, and the bounds are drawn towards it by sqrt(v / u).
-- The funnel limits bound the ratios that chance alone produces around 1, in 95 % and in 99.8 % of cases.
-- score is observed - expected in standard errors. It is null if nothing is comparable, and so are the bounds.
-- stands_out is 'higher', 'lower' or 'no': whether the score is more than chance after Holm's correction for the number
-- of carriers. If all carriers treat like pickups alike, a carrier stands out in at most 5 % of cases.

with pickups as (
    select * from analytics.pickups
),

intervals as (
    select * from analytics.rate_intervals
),

cells as materialized (
    select
        account,
        carrier,
        coalesce(country, 'unknown') as country,
        case
            when is_window_before_booking then 96
            when lead_time_hours < 24 then 0
            when lead_time_hours < 96 then 24
            else 96
        end as lead_band,
        case
            when window_hours is null then -1
            when window_hours < 2 then 0
            when window_hours < 4 then 2
            when window_hours < 8 then 4
            else 8
        end as length_band,
        cast(count(*) as double) as n,
        cast(count(*) filter (where is_cancelled) as double) as k
    from pickups
    where is_mature and (is_cancelled or is_kept)
    group by 1, 2, 3, 4, 5
),

strata as (
    select
        account,
        country,
        lead_band,
        length_band,
        sum(n) as m,
        sum(k) as j
    from cells
    group by account, country, lead_band, length_band
),

-- With the same probability p for all carriers, the variance of k - n * j / m is n * p * (1 - p) * (1 - n / m), and
-- j * (m - j) / (m * (m - 1)) estimates p * (1 - p) without bias. v is the sum of these variances, and u would be their sum
-- if the rates were those of other pickups.
expected as (
    select
        cells.account,
        cells.carrier,
        cells.n,
        cells.k,
        cells.n * strata.j / strata.m as e,
        case when cells.n < strata.m then cells.n else 0 end as comparable,
        case
            when cells.n < strata.m
                then cells.n * (1 - cells.n / strata.m)
                    * strata.j * (strata.m - strata.j) / (strata.m * (strata.m - 1))
            else 0
        end as v,
        case when strata.m > 1 then cells.n * strata.j * (strata.m - strata.j) / (strata.m * (strata.m - 1)) else 0 end as u
    from cells
    inner join strata
        on strata.account = cells.account
        and strata.country = cells.country
        and strata.lead_band = cells.lead_band
        and strata.length_band = cells.length_band
),

-- Fractions are summed as decimals, so that the sums don't depend on the order of the rows (see rates).
carriers as (
    select
        coalesce(account, 'all') as account,
        grouping(account) = 1 as is_every_account,
        carrier,
        sum(n) as n,
        sum(k) as k,
        cast(sum(cast(e as decimal(38, 15))) as double) as e,
        sum(comparable) / sum(n) as comparable_share,
        cast(sum(cast(v as decimal(38, 15))) as double) as v,
        cast(sum(cast(u as decimal(38, 15))) as double) as u
    from expected
    group by grouping sets ((account, carrier), (carrier))
),

-- The window function keeps PostgreSQL from repeating the expressions above (see rate_intervals).
effects as (
    select
        carriers.*,
        intervals.design_effect,
        intervals.clusters,
        intervals.clustered_by,
        intervals.rate_low,
        intervals.rate_high,
        cast(intervals.clusters as double) - 1 as df,
        intervals.design_effect > 1 and intervals.clustered_by <> 'assumption' as is_estimated,
        sum(carriers.k) over scope / sum(carriers.n) over scope as overall_rate
    from carriers
    inner join intervals
        on intervals.account = carriers.account
        and intervals.is_every_account = carriers.is_every_account
        and intervals.carrier = carriers.carrier
    where intervals.outcome = 'cancelled' and intervals.breakdown = 'carrier'
    window scope as (partition by carriers.account, carriers.is_every_account)
),

errors as (
    select
        *,
        sqrt(design_effect * v) as standard_error,
        (k - e) / nullif(sqrt(design_effect * v), 0) as errors
    from effects
),

-- Wallace's (1959) approximation turns Student's t into the normal score that is equally likely.
scores as (
    select
        *,
        case
            when is_estimated
                then (8 * df + 1) / (8 * df + 3) * sqrt(df * ln(1 + errors * errors / df))
            else abs(errors)
        end as score
    from errors
),

placed as (
    select
        *,
        row_number() over (
            partition by account, is_every_account order by coalesce(score, -1) desc, carrier
        ) as place,
        count(score) over (partition by account, is_every_account) as members
    from scores
),

-- Holm's quantiles, as in rate_intervals. Two carriers with like pickups make a single comparison.
tested as (
    select
        *,
        sqrt(-2 * ln(0.025 / case when members = 2 then 1 else greatest(members - place + 1, 1) end)) as r
    from placed
),

exceeding as (
    select
        *,
        case
            when score is null then null
            when score > case
                when members = 2 or place >= members then 1.959963984540054
                else -(
                    ((((-0.007784894002430293 * r - 0.3223964580411365) * r - 2.400758277161838) * r - 2.549732539343734)
                    * r + 4.374664141464968) * r + 2.938163982698783
                ) / (
                    (((0.007784695709041462 * r + 0.3224671290700398) * r + 2.445134137142996) * r + 3.754408661907416)
                    * r + 1
                )
            end then 1
            else 0
        end as exceeds
    from tested
),

final as (
    select
        account,
        is_every_account,
        carrier,
        cast(n as bigint) as n,
        cast(k as bigint) as observed,
        e as expected,
        comparable_share,
        k / nullif(e, 0) as ratio,
        case when v > 0 then (k - sqrt(v / u) * (k - rate_low * n)) / e end as ratio_low,
        case when v > 0 then (k + sqrt(v / u) * (rate_high * n - k)) / e end as ratio_high,
        overall_rate,
        k / nullif(e, 0) * overall_rate as standardized_rate,
        case when v > 0 then greatest(1 - 1.959963984540054 * standard_error / e, 0) end as funnel_95_low,
        case when v > 0 then 1 + 1.959963984540054 * standard_error / e end as funnel_95_high,
        case when v > 0 then greatest(1 - 3.090232306167813 * standard_error / e, 0) end as funnel_998_low,
        case when v > 0 then 1 + 3.090232306167813 * standard_error / e end as funnel_998_high,
        errors as score,
        clusters,
        clustered_by,
        design_effect,
        case
            when score is null then null
            when min(exceeds) over (
                partition by account, is_every_account
                order by place
                rows between unbounded preceding and current row
            ) = 0 then 'no'
            when errors > 0 then 'higher'
            else 'lower'
        end as stands_out
    from exceeding
)

select * from final
