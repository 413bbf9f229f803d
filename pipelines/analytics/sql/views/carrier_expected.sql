-- One row per carrier, for all accounts (is_every_account) and for each account: the cancellations that were observed, and
-- those that would be expected if each of the carrier's pickups had been cancelled at the rate of all carriers' pickups like it.
-- Pickups are alike if they have the same account, country, lead time (less than 24 hours, 24 to 96 hours, or other) and
-- window length (less than 2, 2 to 4, 4 to 8, at least 8 hours, or none). Only mature pickups count that were cancelled or
-- kept. comparable_share is the share of the carrier's pickups for which another carrier has pickups like them.
-- ratio = observed / expected, and standardized_rate = ratio * overall_rate, which is the rate of all carriers. ratio_low
-- and ratio_high bound its 95 % score interval: the ratios for which observed is less than t standard errors away.
-- The standard error of observed - expected allows for pickups that are cancelled together. A cluster is an account's
-- pickups that were booked on one local day or, with ten or more accounts, an account (clustered_by). clusters counts those
-- with pickups of the carrier. If all carriers' pickups of a day are cancelled, they are also expected, so design_effect
-- (see rate_intervals) is that of the difference and usually smaller than that of the rate.
-- The funnel limits bound the ratios that chance alone produces around 1, in 95 % and in 99.8 % of cases.
-- score is observed - expected in standard errors. It is null if nothing is comparable, and so are the bounds.
-- stands_out is 'higher', 'lower' or 'no': whether the score is more than chance after Holm's correction for the number
-- of carriers. If all carriers treat like pickups alike, a carrier stands out in at most 5 % of cases.

with pickups as (
    select * from analytics.pickups
),

day_cells as (
    select
        account,
        carrier,
        booked_day_local,
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
    group by 1, 2, 3, 4, 5, 6
),

cells as (
    select
        account,
        carrier,
        country,
        lead_band,
        length_band,
        sum(n) as n,
        sum(k) as k
    from day_cells
    group by account, carrier, country, lead_band, length_band
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

-- Fractions are summed as decimals, so that the sums don't depend on the order of the rows (see rates).
-- With the same probability p for all carriers, the variance of k - n * j / m is n * p * (1 - p) * (1 - n / m), and
-- j * (m - j) / (m * (m - 1)) estimates p * (1 - p) without bias. v is the sum of these variances.
expected as (
    select
        cells.account,
        cells.carrier,
        cells.country,
        cells.lead_band,
        cells.length_band,
        cells.n,
        cells.k,
        strata.m,
        strata.j / strata.m as p,
        case when cells.n < strata.m then cells.n else 0 end as comparable,
        case
            when cells.n < strata.m
                then cells.n * (1 - cells.n / strata.m)
                    * strata.j * (strata.m - strata.j) / (strata.m * (strata.m - 1))
            else 0
        end as v
    from cells
    inner join strata
        on strata.account = cells.account
        and strata.country = cells.country
        and strata.lead_band = cells.lead_band
        and strata.length_band = cells.length_band
),

accounts as (
    select
        account,
        carrier,
        sum(n) as n,
        sum(k) as k,
        cast(sum(cast(n * p as decimal(38, 15))) as double) as e,
        sum(comparable) as comparable,
        cast(sum(cast(v as decimal(38, 15))) as double) as v
    from expected
    group by account, carrier
),

stratum_days as (
    select
        account,
        country,
        lead_band,
        length_band,
        booked_day_local,
        sum(n) as n,
        sum(k) as k
    from day_cells
    group by account, country, lead_band, length_band, booked_day_local
),

-- k - n * j / m is a sum over the days. A day's part is the carrier's own residuals minus the carrier's share of all
-- residuals. A day with d of the stratum's m pickups draws j / m towards itself, which sqrt(m / (m - d)) corrects (Bell and
-- McCaffrey 2002).
parts as (
    select
        expected.account,
        expected.carrier,
        days.booked_day_local,
        coalesce(own.n, 0) as n,
        (
            coalesce(own.k - own.n * expected.p, 0)
            - expected.n / expected.m * (days.k - days.n * expected.p)
        ) * coalesce(sqrt(expected.m / nullif(expected.m - days.n, 0)), 1) as d
    from expected
    inner join stratum_days as days
        on days.account = expected.account
        and days.country = expected.country
        and days.lead_band = expected.lead_band
        and days.length_band = expected.length_band
    left join day_cells as own
        on own.account = expected.account
        and own.carrier = expected.carrier
        and own.country = expected.country
        and own.lead_band = expected.lead_band
        and own.length_band = expected.length_band
        and own.booked_day_local = days.booked_day_local
    where expected.comparable > 0
),

clusters as (
    select
        account,
        carrier,
        sum(n) as n,
        cast(sum(cast(d as decimal(38, 15))) as double) as d
    from parts
    group by account, carrier, booked_day_local
),

sums as (
    select
        account,
        carrier,
        cast(count(case when n > 0 then 1 end) as double) as days,
        cast(sum(cast(d as decimal(38, 15))) as double) as d,
        cast(sum(cast(d * d as decimal(38, 15))) as double) as dd,
        cast(sum(cast(d * n as decimal(38, 15))) as double) as dn,
        sum(n * n) as nn
    from clusters
    group by account, carrier
),

-- The columns that begin with a_ treat each account as one cluster.
carriers as (
    select
        coalesce(accounts.account, 'all') as account,
        grouping(accounts.account) = 1 as is_every_account,
        accounts.carrier,
        sum(accounts.n) as n,
        sum(accounts.k) as k,
        cast(sum(cast(accounts.e as decimal(38, 15))) as double) as e,
        sum(accounts.comparable) as comparable,
        cast(sum(cast(accounts.v as decimal(38, 15))) as double) as v,
        cast(count(nullif(accounts.comparable, 0)) as double) as accounts,
        sum(sums.days) as days,
        cast(sum(cast(sums.d as decimal(38, 15))) as double) as d,
        cast(sum(cast(sums.dd as decimal(38, 15))) as double) as dd,
        cast(sum(cast(sums.dn as decimal(38, 15))) as double) as dn,
        sum(sums.nn) as nn,
        cast(sum(cast(accounts.k - accounts.e as decimal(38, 15))) as double) as a_d,
        cast(sum(cast((accounts.k - accounts.e) * (accounts.k - accounts.e) as decimal(38, 15))) as double) as a_dd,
        cast(sum(cast((accounts.k - accounts.e) * accounts.comparable as decimal(38, 15))) as double) as a_dn,
        sum(accounts.comparable * accounts.comparable) as a_nn
    from accounts
    left join sums on sums.account = accounts.account and sums.carrier = accounts.carrier
    group by grouping sets ((accounts.account, accounts.carrier), (accounts.carrier))
),

-- squares is the sum of the squared residuals, after d was distributed among the clusters in proportion to their pickups.
-- Residuals of days are corrected already.
clustered as (
    select
        *,
        accounts >= 10 as is_clustered_by_account,
        coalesce(case when accounts >= 10 then accounts else days end, 0) as clusters,
        case
            when accounts >= 10
                then accounts / (accounts - 1) * (
                    a_dd - 2 * a_d * a_dn / nullif(comparable, 0) + a_d * a_d * a_nn / nullif(comparable * comparable, 0)
                )
            else dd - 2 * d * dn / nullif(comparable, 0) + d * d * nn / nullif(comparable * comparable, 0)
        end as squares
    from carriers
),

variances as (
    select
        *,
        case when clusters >= 10 then squares end as variance,
        sum(k) over scope / sum(n) over scope as overall_rate
    from clustered
    window scope as (partition by account, is_every_account)
),

-- The tolerance is that of rate_intervals.
effects as (
    select
        *,
        case
            when v = 0 then null
            when clusters < 10 then 1 + (nn / nullif(comparable, 0) - 1) / 3
            when variance > 1.000000001 * v then variance / nullif(v, 0)
            else 1
        end as design_effect,
        clusters - 1 as df,
        coalesce(v > 0 and variance > 1.000000001 * v, false) as is_estimated
    from variances
),

-- The window function keeps PostgreSQL from repeating the expressions above (see rate_intervals).
quantiles as (
    select
        *,
        case when is_estimated then 1 / df else 0 end as x,
        count(*) over (partition by account, is_every_account) as carriers_in_scope
    from effects
),

errors as (
    select
        *,
        sqrt(design_effect * v) as standard_error,
        (k - e) / nullif(sqrt(design_effect * v), 0) as errors,
        -- Student's t by degrees of freedom, as in rate_intervals
        1.959963984540054 + x * (
            2.3722712304926996 + x * (
                2.822498490309585 + x * (
                    2.55586257303223 + x * (1.5890629256712985 + x * (0.7401502063551798 + x * 0.5891102514117579))
                )
            )
        ) as t
    from quantiles
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
        comparable / n as comparable_share,
        k / nullif(e, 0) as ratio,
        case
            when v > 0 then (
                2 * k * e + t * t * standard_error * standard_error
                - t * standard_error * sqrt(t * t * standard_error * standard_error + 4 * k * e)
            ) / (2 * e * e)
        end as ratio_low,
        case
            when v > 0 then (
                2 * k * e + t * t * standard_error * standard_error
                + t * standard_error * sqrt(t * t * standard_error * standard_error + 4 * k * e)
            ) / (2 * e * e)
        end as ratio_high,
        overall_rate,
        k / nullif(e, 0) * overall_rate as standardized_rate,
        case when v > 0 then greatest(1 - 1.959963984540054 * standard_error / e, 0) end as funnel_95_low,
        case when v > 0 then 1 + 1.959963984540054 * standard_error / e end as funnel_95_high,
        case when v > 0 then greatest(1 - 3.090232306167813 * standard_error / e, 0) end as funnel_998_low,
        case when v > 0 then 1 + 3.090232306167813 * standard_error / e end as funnel_998_high,
        errors as score,
        cast(clusters as bigint) as clusters,
        case
            when score is null then null
            when clusters < 10 then 'assumption'
            when is_clustered_by_account then 'account'
            else 'account and day'
        end as clustered_by,
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
