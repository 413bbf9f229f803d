-- One row per outcome, breakdown, group and account, as in rates, which adds the shrunken rate and the rank. This view defines
-- the intervals.
-- rate = k / n. The intervals allow for pickups that are cancelled together. A cluster is an account's pickups that were
-- booked on one local day or, with ten or more accounts, all pickups of an account (clustered_by).
-- design_effect is the variance of the rate, estimated from the differences between clusters, divided by the variance of
-- independent pickups. It is at least 1. With fewer than ten clusters, the variance can't be estimated. The view then
-- assumes that a third of it lies between clusters: design_effect = 1 + (average cluster size - 1) / 3, where the average
-- is weighted by size (clustered_by = 'assumption').
-- rate_low and rate_high bound the Wilson interval for n / design_effect pickups. If the variance is estimated, Student's
-- t with clusters - 1 degrees of freedom replaces the normal quantile (Korn and Graubard 1998).
-- difference = rate - others_rate, where others_rate is the rate of the other groups together. difference_low and
-- difference_high bound Newcombe's hybrid interval for correlated rates (Newcombe 1998, method 10).
-- stands_out is 'higher', 'lower' or 'no': whether the difference is more than chance after Holm's correction for the
-- number of groups, by Student's t if a variance is estimated. In a family without differences, at most 5 % of families
-- have a group that stands out.

with moments as (
    select
        *,
        outcome in ('cancelled', 'failed') and breakdown in ('carrier', 'country', 'carrier and country', 'band')
            as is_compared
    from analytics.rate_moments
),

-- Only the families of compared groups need sums of fractions, which are summed as decimals (see rates).
fractions as (
    select
        *,
        case when is_compared then cast(family_kk as decimal(38, 15)) end as exact_kk,
        case when is_compared then cast(family_days as decimal(38, 15)) end as exact_days,
        case when is_compared then cast(a_family_kk as decimal(38, 15)) end as exact_a_kk,
        case when is_compared then cast(a_family_kn as decimal(38, 15)) end as exact_a_kn,
        case when is_compared then cast(a_family_nn as decimal(38, 15)) end as exact_a_nn,
        case when is_compared then cast(a_family_clusters as decimal(38, 15)) end as exact_a_clusters
    from moments
),

totalled as (
    select
        *,
        sum(k) over family as family_k,
        sum(n) over family as family_n,
        cast(sum(exact_kk) over family as double) as day_kk,
        sum(family_kn) over family as day_kn,
        sum(family_nn) over family as day_nn,
        cast(sum(exact_days) over family as double) as day_clusters,
        cast(sum(exact_a_kk) over family as double) as account_kk,
        cast(sum(exact_a_kn) over family as double) as account_kn,
        cast(sum(exact_a_nn) over family as double) as account_nn,
        cast(sum(exact_a_clusters) over family as double) as account_clusters
    from fractions
    window family as (partition by outcome, breakdown, family, account, is_every_account)
),

-- p is the group's rate, and q is the rate of the m pickups of the other groups. Neither early cancellations nor
-- weeks nor the bands of a single carrier are compared.
shares as (
    select
        *,
        k / n as p,
        case when is_compared then nullif(family_n - n, 0) end as m,
        case when is_compared then (family_k - k) / nullif(family_n - n, 0) end as q,
        case when is_clustered_by_account then account_kk else day_kk end as all_kk,
        case when is_clustered_by_account then account_kn else day_kn end as all_kn,
        case when is_clustered_by_account then account_nn else day_nn end as all_nn,
        round(case when is_clustered_by_account then account_clusters else day_clusters end) as all_clusters
    from totalled
),

-- Sums of squared residuals: k - p * n in the group's clusters, and o - q * m in the other groups' clusters.
residuals as (
    select
        *,
        all_clusters - clusters_alone as other_clusters,
        greatest(kk - 2 * p * kn + p * p * nn, 0) as squares,
        greatest(
            all_kk - 2 * q * all_kn + q * q * all_nn
            - (kk + 2 * ok) + 2 * q * (kn + mk + o_n) - q * q * (nn + 2 * mn),
            0
        ) as other_squares,
        ok - q * mk - p * o_n + p * q * mn as cross_products,
        all_nn - nn - 2 * mn as other_nn
    from shares
),

variances as (
    select
        *,
        case when clusters >= 10 then clusters / (clusters - 1) * squares / (n * n) end as variance,
        case when other_clusters >= 10 then other_clusters / (other_clusters - 1) * other_squares / (m * m) end
            as other_variance,
        p * (1 - p) / nullif(n - 1, 0) as independent_variance,
        q * (1 - q) / nullif(m - 1, 0) as other_independent_variance
    from residuals
),

-- The tolerance makes pickups that were booked on separate days independent, whatever the last digit says. If all pickups
-- have the outcome or none has it, the last digit of the variance isn't evidence either.
clustered as (
    select
        *,
        coalesce(independent_variance > 0 and variance > 1.000000001 * independent_variance, false) as is_estimated,
        coalesce(
            other_independent_variance > 0 and other_variance > 1.000000001 * other_independent_variance, false
        ) as is_other_estimated
    from variances
),

effects as (
    select
        *,
        case
            when clusters < 10 then 1 + (nn / n - 1) / 3
            when is_estimated then variance / independent_variance
            else 1
        end as design_effect,
        case
            when other_clusters < 10 then 1 + (other_nn / m - 1) / 3
            when is_other_estimated then other_variance / other_independent_variance
            else 1
        end as other_design_effect,
        case when is_estimated then 1 / (clusters - 1) else 0 end as x,
        case when is_other_estimated then 1 / (other_clusters - 1) else 0 end as y,
        cast(1.959963984540054 as double) as z
    from clustered
),

-- PostgreSQL replaces each column by its expression, so without a window function in between, the bounds would repeat the
-- expressions of all stages above: 6.9 s instead of 0.1 s for 850 groups (PostgreSQL 18, 2026-11). groups_in_family serves
-- only this purpose, and the other engines skip it.
-- The quantile of Student's t for x = 1 / degrees of freedom is within 3e-11 of scipy's for 9 degrees of freedom or more.
quantiles as (
    select
        *,
        z + x * (
            2.3722712304926996 + x * (
                2.822498490309585 + x * (
                    2.55586257303223 + x * (1.5890629256712985 + x * (0.7401502063551798 + x * 0.5891102514117579))
                )
            )
        ) as t,
        z + y * (
            2.3722712304926996 + y * (
                2.822498490309585 + y * (
                    2.55586257303223 + y * (1.5890629256712985 + y * (0.7401502063551798 + y * 0.5891102514117579))
                )
            )
        ) as u,
        n / design_effect as effective_n,
        m / other_design_effect as effective_m,
        count(*) over (partition by outcome, breakdown, family, account, is_every_account) as groups_in_family
    from effects
),

-- The bounds of the Wilson interval for p of n are (2np + t² ± t·√(t² + 4np(1 − p))) / 2(n + t²).
intervals as (
    select
        *,
        (2 * effective_n * p + t * t - t * sqrt(t * t + 4 * effective_n * p * (1 - p))) / (2 * (effective_n + t * t))
            as low,
        (2 * effective_n * p + t * t + t * sqrt(t * t + 4 * effective_n * p * (1 - p))) / (2 * (effective_n + t * t))
            as high,
        (2 * effective_m * q + u * u - u * sqrt(u * u + 4 * effective_m * q * (1 - q))) / (2 * (effective_m + u * u))
            as other_low,
        (2 * effective_m * q + u * u + u * sqrt(u * u + 4 * effective_m * q * (1 - q))) / (2 * (effective_m + u * u))
            as other_high,
        greatest(
            least(
                coalesce(
                    all_clusters / nullif(all_clusters - 1, 0) * cross_products / (n * m)
                    / nullif(
                        sqrt(p * (1 - p) / effective_n * q * (1 - q) / effective_m),
                        0
                    ),
                    0
                ),
                1
            ),
            -1
        ) as correlation
    from quantiles
),

differences as (
    select
        *,
        p - q as difference,
        p - q - sqrt(
            greatest(
                (p - low) * (p - low) - 2 * correlation * (p - low) * (other_high - q)
                + (other_high - q) * (other_high - q),
                0
            )
        ) as difference_low,
        p - q + sqrt(
            greatest(
                (high - p) * (high - p) - 2 * correlation * (high - p) * (q - other_low)
                + (q - other_low) * (q - other_low),
                0
            )
        ) as difference_high
    from intervals
),

-- reach is the difference, divided by its distance to the bound that lies towards 0. It is more than 1 if 0 is outside.
reaches as (
    select
        *,
        greatest(x, y) as w,
        greatest(t, u) as v,
        case
            when q is null then null
            when difference = 0 then 0
            when difference > 0 then difference / nullif(difference - difference_low, 0)
            else difference / nullif(difference - difference_high, 0)
        end as reach
    from differences
),

-- score is the normal score that is as likely as reach * v by Student's t with 1 / w degrees of freedom (Wallace 1959),
-- multiplied by a constant so that a reach of 1 has the score z.
scores as (
    select
        *,
        case
            when w > 0 then z * sqrt(ln(1 + w * v * v * reach * reach) / ln(1 + w * v * v))
            else z * reach
        end as score
    from reaches
),

placed as (
    select
        *,
        row_number() over (
            partition by outcome, breakdown, family, account, is_every_account order by coalesce(score, -1) desc, n desc
        ) as place,
        count(score) over (partition by outcome, breakdown, family, account, is_every_account) as members
    from scores
),

-- Holm compares the largest score with the quantile of 0.025 / members, the next with that of 0.025 / (members - 1) and
-- so on. Two groups make a single comparison.
tested as (
    select
        *,
        sqrt(-2 * ln(0.025 / case when members = 2 then 1 else greatest(members - place + 1, 1) end)) as r
    from placed
),

-- The normal quantile is Acklam's approximation, whose relative error is below 1.2e-9. Its tail formula begins at
-- 0.02425, so 0.025 has its value written out.
exceeding as (
    select
        *,
        case
            when score is null then null
            when score > case
                when members = 2 or place = members then z
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
        outcome,
        breakdown,
        family,
        account,
        is_every_account,
        carrier,
        country,
        week_local_start,
        measure,
        band,
        cast(n as bigint) as n,
        cast(k as bigint) as k,
        p as rate,
        low as rate_low,
        high as rate_high,
        cast(clusters as bigint) as clusters,
        case
            when clusters < 10 then 'assumption'
            when is_clustered_by_account then 'account'
            else 'account and day'
        end as clustered_by,
        design_effect,
        q as others_rate,
        difference,
        difference_low,
        difference_high,
        case
            when score is null then null
            when min(exceeds) over (
                partition by outcome, breakdown, family, account, is_every_account
                order by place
                rows between unbounded preceding and current row
            ) = 0 then 'no'
            when difference > 0 then 'higher'
            else 'lower'
        end as stands_out
    from exceeding
)

select * from final
