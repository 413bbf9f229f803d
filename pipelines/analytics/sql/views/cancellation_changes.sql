-- One row per carrier, for all accounts (is_every_account) and for each account: the cancellation rate of the latest four
-- whole weeks, how it differs from the four weeks before, and whether the difference is more than chance.
-- A pickup belongs to the week in which its window ended, so all pickups of both periods are mature. A week begins on
-- Monday at 00:00 UTC. The later period ends at the last such Monday at or before as_of. For all accounts, as_of is that of
-- the account that was observed longest ago. The rows therefore change once a week.
-- before_ and now_ columns cover the two periods. n counts the pickups that were cancelled or kept, and k those cancelled.
-- The rates at one mix compare like with like. A stratum contains the pickups of an account, country and lead time (less
-- than 24 hours, 24 to 96 hours, or other). Both rates weight each stratum by n1 * n0 / (n1 + n0), where n1 and n0 are its
-- pickups in the two periods (Mantel-Haenszel), and difference is the later rate minus the earlier rate. comparable_share
-- is the share of the pickups whose stratum has pickups in both periods.
-- difference_low and difference_high bound Newcombe's hybrid interval, which allows for pickups that are cancelled
-- together. clusters, clustered_by and design_effect are as in rate_intervals, but describe the difference. If either
-- period has fewer than ten clusters, clustered_by is 'assumption'.
-- is_more_than_chance is true if the difference is more than chance after Holm's correction for the number of carriers. If
-- nothing changed, at most 5 % of accounts have such a carrier. For is_alarm, the limit is 1 %, because the rows change
-- about four times a month.

with pickups as (
    select * from analytics.pickups
),

accounts as (
    select
        account,
        cast(date_trunc('week', max(as_of_utc)) as date) as ends
    from pickups
    where as_of_utc is not null
    group by account
),

oldest as (
    select min(ends) as ends from accounts
),

scopes as (
    select
        account,
        account as scope,
        false as is_every_account,
        ends
    from accounts
    union all
    select
        accounts.account,
        'all',
        true,
        oldest.ends
    from accounts
    cross join oldest
),

bounds as (
    select
        accounts.account,
        cast(oldest.ends - interval 56 days as date) as since
    from accounts
    cross join oldest
),

-- Counts per week come first, because they are far fewer than the pickups.
weeks as (
    select
        pickups.account,
        pickups.carrier,
        coalesce(pickups.country, 'unknown') as country,
        case
            when pickups.is_window_before_booking then 96
            when pickups.lead_time_hours < 24 then 0
            when pickups.lead_time_hours < 96 then 24
            else 96
        end as lead_band,
        pickups.booked_day_local,
        cast(date_trunc('week', pickups.window_ends_at_utc) as date) as week,
        cast(count(*) as double) as n,
        cast(count(*) filter (where pickups.is_cancelled) as double) as k
    from pickups
    inner join bounds on bounds.account = pickups.account
    where pickups.is_mature
        and (pickups.is_cancelled or pickups.is_kept)
        and pickups.window_ends_at_utc >= bounds.since
    group by 1, 2, 3, 4, 5, 6
),

cells as (
    select
        scopes.scope,
        scopes.is_every_account,
        scopes.ends,
        weeks.carrier,
        weeks.account,
        weeks.country,
        weeks.lead_band,
        weeks.booked_day_local,
        sum(case when weeks.week >= cast(scopes.ends - interval 28 days as date) then weeks.n else 0 end) as n1,
        sum(case when weeks.week >= cast(scopes.ends - interval 28 days as date) then weeks.k else 0 end) as k1,
        sum(case when weeks.week < cast(scopes.ends - interval 28 days as date) then weeks.n else 0 end) as n0,
        sum(case when weeks.week < cast(scopes.ends - interval 28 days as date) then weeks.k else 0 end) as k0
    from weeks
    inner join scopes on scopes.account = weeks.account
    where weeks.week < scopes.ends and weeks.week >= cast(scopes.ends - interval 56 days as date)
    group by 1, 2, 3, 4, 5, 6, 7, 8
),

strata as (
    select
        scope,
        is_every_account,
        ends,
        carrier,
        account,
        country,
        lead_band,
        sum(n1) as m1,
        sum(k1) as j1,
        sum(n0) as m0,
        sum(k0) as j0,
        sum(n1) * sum(n0) / (sum(n1) + sum(n0)) as w
    from cells
    group by 1, 2, 3, 4, 5, 6, 7
),

-- Fractions are summed as decimals, so that the sums don't depend on the order of the rows (see rates).
weighted as (
    select
        scope,
        is_every_account,
        ends,
        carrier,
        sum(m1) as n1,
        sum(j1) as k1,
        sum(m0) as n0,
        sum(j0) as k0,
        sum(case when w > 0 then m1 + m0 else 0 end) / sum(m1 + m0) as comparable_share,
        count(distinct case when w > 0 then account end) as accounts,
        cast(sum(cast(w as decimal(38, 15))) as double) as weight,
        cast(sum(cast(case when w > 0 then w * j1 / m1 else 0 end as decimal(38, 15))) as double) as weighted_k1,
        cast(sum(cast(case when w > 0 then w * j0 / m0 else 0 end as decimal(38, 15))) as double) as weighted_k0,
        cast(sum(cast(case when w > 0 then w * w / m1 else 0 end as decimal(38, 15))) as double) as squares_1,
        cast(sum(cast(case when w > 0 then w * w / m0 else 0 end as decimal(38, 15))) as double) as squares_0
    from strata
    group by 1, 2, 3, 4
),

-- effective_1 and effective_0 are the numbers of pickups in an unweighted rate with the same variance.
carriers as (
    select
        *,
        weighted_k1 / nullif(weight, 0) as p1,
        weighted_k0 / nullif(weight, 0) as p0,
        weight * weight / nullif(squares_1, 0) as effective_1,
        weight * weight / nullif(squares_0, 0) as effective_0
    from weighted
),

-- The difference is the slope of a regression of the outcome on the period, with a constant for each stratum. x is the
-- share of the stratum's pickups that belong to the later period, and a the constant.
fitted as (
    select
        strata.scope,
        strata.is_every_account,
        strata.carrier,
        strata.account,
        strata.country,
        strata.lead_band,
        strata.m1 + strata.m0 as m,
        strata.m1 / (strata.m1 + strata.m0) as x,
        (strata.j1 + strata.j0 - strata.m1 * (carriers.p1 - carriers.p0)) / (strata.m1 + strata.m0) as a,
        carriers.p1 - carriers.p0 as d,
        carriers.accounts >= 10 as is_clustered_by_account
    from strata
    inner join carriers
        on carriers.scope = strata.scope
        and carriers.is_every_account = strata.is_every_account
        and carriers.carrier = strata.carrier
    where strata.w > 0
),

-- e is the sum of the cell's residuals, and e1 that of its pickups of the later period. The residuals of a sparse stratum
-- are too small, because the constant follows them. A cell with n of the stratum's m pickups is corrected by
-- sqrt(m / (m - n)) (Bell and McCaffrey 2002).
residuals as (
    select
        fitted.scope,
        fitted.is_every_account,
        fitted.carrier,
        fitted.account,
        case when not fitted.is_clustered_by_account then cells.booked_day_local end as booked_day_local,
        fitted.x,
        fitted.m,
        fitted.is_clustered_by_account,
        cells.n1 as n1,
        cells.n0 as n0,
        cells.k1 - cells.n1 * (fitted.a + fitted.d) as e1,
        cells.k1 + cells.k0 - (cells.n1 + cells.n0) * fitted.a - cells.n1 * fitted.d as e,
        fitted.country,
        fitted.lead_band
    from fitted
    inner join cells
        on cells.scope = fitted.scope
        and cells.is_every_account = fitted.is_every_account
        and cells.carrier = fitted.carrier
        and cells.account = fitted.account
        and cells.country = fitted.country
        and cells.lead_band = fitted.lead_band
),

-- The cells of an account become one cell if the account is the cluster.
merged as (
    select
        scope,
        is_every_account,
        carrier,
        account,
        booked_day_local,
        is_clustered_by_account,
        x,
        m,
        sum(n1) as n1,
        sum(n0) as n0,
        cast(sum(cast(e1 as decimal(38, 15))) as double) as e1,
        cast(sum(cast(e as decimal(38, 15))) as double) as e
    from residuals
    group by scope, is_every_account, carrier, account, booked_day_local, is_clustered_by_account, country, lead_band, x, m
),

clusters as (
    select
        scope,
        is_every_account,
        carrier,
        is_clustered_by_account,
        cast(
            sum(cast(
                e1 - n1 / (n1 + n0) * e
                + (n1 / (n1 + n0) - x) * e * coalesce(sqrt(m / nullif(m - n1 - n0, 0)), 1)
                as decimal(38, 15)
            )) as double
        ) as score,
        cast(sum(cast(n1 * (1 - x) - n0 * x as decimal(38, 15))) as double) as size,
        sum(n1) as n1,
        sum(n0) as n0
    from merged
    group by scope, is_every_account, carrier, is_clustered_by_account, account, booked_day_local
),

sums as (
    select
        scope,
        is_every_account,
        carrier,
        is_clustered_by_account,
        cast(count(*) as double) as clusters,
        count(case when n1 > 0 then 1 end) as clusters_1,
        count(case when n0 > 0 then 1 end) as clusters_0,
        cast(sum(cast(score * score as decimal(38, 15))) as double) as squares,
        cast(sum(cast(size * size as decimal(38, 15))) as double) as sizes
    from clusters
    group by scope, is_every_account, carrier, is_clustered_by_account
),

variances as (
    select
        carriers.*,
        sums.clusters,
        sums.is_clustered_by_account,
        sums.clusters_1 < 10 or sums.clusters_0 < 10 as is_assumed,
        greatest(1 + (sums.sizes / carriers.weight - 1) / 3, 1) as assumed_effect,
        sums.clusters / nullif(sums.clusters - 1, 0) * sums.squares / (carriers.weight * carriers.weight) as variance,
        carriers.p1 * (1 - carriers.p1) / nullif(carriers.effective_1 - 1, 0)
        + carriers.p0 * (1 - carriers.p0) / nullif(carriers.effective_0 - 1, 0) as independent_variance
    from carriers
    left join sums
        on sums.scope = carriers.scope
        and sums.is_every_account = carriers.is_every_account
        and sums.carrier = carriers.carrier
),

clustered as (
    select
        *,
        coalesce(not is_assumed and variance > 1.000000001 * independent_variance, false) as is_estimated
    from variances
),

effects as (
    select
        *,
        case
            when is_assumed then assumed_effect
            when is_estimated then variance / independent_variance
            when weight > 0 then 1
        end as design_effect,
        case when is_estimated then 1 / (clusters - 1) else 0 end as y,
        cast(1.959963984540054 as double) as z
    from clustered
),

-- The window function keeps PostgreSQL from repeating the expressions above (see rate_intervals, also for the quantile).
quantiles as (
    select
        *,
        z + y * (
            2.3722712304926996 + y * (
                2.822498490309585 + y * (
                    2.55586257303223 + y * (1.5890629256712985 + y * (0.7401502063551798 + y * 0.5891102514117579))
                )
            )
        ) as t,
        effective_1 / design_effect as r1,
        effective_0 / design_effect as r0,
        count(*) over (partition by scope, is_every_account) as carriers_in_scope
    from effects
),

intervals as (
    select
        *,
        (2 * r1 * p1 + t * t - t * sqrt(t * t + 4 * r1 * p1 * (1 - p1))) / (2 * (r1 + t * t)) as low_1,
        (2 * r1 * p1 + t * t + t * sqrt(t * t + 4 * r1 * p1 * (1 - p1))) / (2 * (r1 + t * t)) as high_1,
        (2 * r0 * p0 + t * t - t * sqrt(t * t + 4 * r0 * p0 * (1 - p0))) / (2 * (r0 + t * t)) as low_0,
        (2 * r0 * p0 + t * t + t * sqrt(t * t + 4 * r0 * p0 * (1 - p0))) / (2 * (r0 + t * t)) as high_0
    from quantiles
),

differences as (
    select
        *,
        p1 - p0 as difference,
        p1 - p0 - sqrt((p1 - low_1) * (p1 - low_1) + (high_0 - p0) * (high_0 - p0)) as difference_low,
        p1 - p0 + sqrt((high_1 - p1) * (high_1 - p1) + (p0 - low_0) * (p0 - low_0)) as difference_high
    from intervals
),

-- errors is the difference in standard errors. The standard error comes from the bound that lies towards 0.
scores as (
    select
        *,
        case
            when difference = 0 then 0
            when difference > 0 then t * difference / nullif(difference - difference_low, 0)
            else t * difference / nullif(difference - difference_high, 0)
        end as errors
    from differences
),

-- Wallace's (1959) approximation turns Student's t into the normal score that is equally likely.
normalised as (
    select
        *,
        case
            when is_estimated
                then (8 * (clusters - 1) + 1) / (8 * (clusters - 1) + 3)
                    * sqrt((clusters - 1) * ln(1 + errors * errors / (clusters - 1)))
            else errors
        end as score
    from scores
),

placed as (
    select
        *,
        row_number() over (
            partition by scope, is_every_account order by coalesce(score, -1) desc, carrier
        ) as place,
        count(score) over (partition by scope, is_every_account) as members
    from normalised
),

-- Holm compares the largest score with the quantile of 0.025 / members, the next with that of 0.025 / (members - 1) and
-- so on. For alarms, 0.005 replaces 0.025.
tested as (
    select
        *,
        sqrt(-2 * ln(0.025 / greatest(members - place + 1, 1))) as r,
        sqrt(-2 * ln(0.005 / greatest(members - place + 1, 1))) as s
    from placed
),

-- Acklam's approximation of the normal quantile (see rate_intervals).
exceeding as (
    select
        *,
        case
            when score is null then null
            when score > case
                when place >= members then z
                else -(
                    ((((-0.007784894002430293 * r - 0.3223964580411365) * r - 2.400758277161838) * r - 2.549732539343734)
                    * r + 4.374664141464968) * r + 2.938163982698783
                ) / (
                    (((0.007784695709041462 * r + 0.3224671290700398) * r + 2.445134137142996) * r + 3.754408661907416)
                    * r + 1
                )
            end then 1
            else 0
        end as exceeds,
        case
            when score is null then null
            when score > -(
                ((((-0.007784894002430293 * s - 0.3223964580411365) * s - 2.400758277161838) * s - 2.549732539343734)
                * s + 4.374664141464968) * s + 2.938163982698783
            ) / (
                (((0.007784695709041462 * s + 0.3224671290700398) * s + 2.445134137142996) * s + 3.754408661907416)
                * s + 1
            ) then 1
            else 0
        end as alarms
    from tested
),

final as (
    select
        scope as account,
        is_every_account,
        carrier,
        cast(ends - interval 56 days as date) as before_starts_utc,
        cast(ends - interval 28 days as date) as now_starts_utc,
        ends as now_ends_utc,
        cast(n0 as bigint) as before_n,
        cast(k0 as bigint) as before_k,
        k0 / nullif(n0, 0) as before_rate,
        cast(n1 as bigint) as now_n,
        cast(k1 as bigint) as now_k,
        k1 / nullif(n1, 0) as now_rate,
        comparable_share,
        p0 as before_rate_at_one_mix,
        p1 as now_rate_at_one_mix,
        difference,
        difference_low,
        difference_high,
        case
            when score is null then null
            else min(exceeds) over (
                partition by scope, is_every_account
                order by place
                rows between unbounded preceding and current row
            ) = 1
        end as is_more_than_chance,
        case
            when score is null then null
            else min(alarms) over (
                partition by scope, is_every_account
                order by place
                rows between unbounded preceding and current row
            ) = 1
        end as is_alarm,
        cast(clusters as bigint) as clusters,
        case
            when score is null then null
            when is_assumed then 'assumption'
            when is_clustered_by_account then 'account'
            else 'account and day'
        end as clustered_by,
        design_effect
    from exceeding
)

select * from final
