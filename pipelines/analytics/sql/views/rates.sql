-- One row per outcome, breakdown, group and account (is_every_account: all accounts): the share of pickups with the outcome,
-- its 95 % interval, how it differs from the other groups, and its rank.
-- outcome is 'cancelled' (of the mature pickups that were cancelled or kept), 'failed' (of the mature pickups that aren't
-- pending) or 'cancelled within 48 hours' (of the pickups that were booked at least 48 hours before as_of). k of n pickups
-- have the outcome, and rate = k / n.
-- breakdown names how the pickups are divided into groups: 'total', 'carrier', 'country', 'carrier and country', 'week',
-- 'carrier and week', 'band' or 'carrier and band' (see cancellations_by_booking). A column that the breakdown doesn't use
-- is 'all', 'none' or null. Always select one breakdown and one outcome, because every pickup is counted in each.
-- rate_low and rate_high bound the 95 % interval, which allows for pickups that are cancelled together (see rate_intervals
-- for clusters, clustered_by and design_effect).
-- difference = rate - others_rate, where others_rate is the rate of the other groups of the family together. The family of
-- a carrier, a country or a band contains all carriers, countries or bands, within the carrier if the breakdown names one.
-- Early cancellations, weeks and the bands of single carriers aren't compared.
-- stands_out is 'higher' or 'lower' only if the difference is more than chance.
-- rate_shrunken pulls the rate towards the overall rate. The fewer pickups a group has, the further its rate is pulled, so
-- a group with one cancellation out of two pickups doesn't top the list. The result is the mean of a beta-binomial
-- posterior. Its prior is estimated from all groups of the breakdown by the method of moments with Kleinman's weights
-- n / (1 + spread * (n - 1)), where spread is the share of the variance that lies between the groups (Kleinman 1973). Each
-- of four steps computes the weights from the spread of the step before. n is divided by the design effect, so that pickups
-- that are cancelled together don't count as independent evidence.
-- rank is 1 for the highest shrunken rate of the breakdown, whatever the family. Equal shrunken rates are ranked by the rate itself and then by n. The rank alone
-- is no evidence of a difference (see stands_out).

-- DuckDB plans everything below a window function twice, so six of them make planning slow. It plans a CTE that is read
-- twice only once, and still applies a filter on breakdown inside it. A second reader without rows is therefore enough: it
-- shortens queries from 0.5 to 0.1 s. `materialized` has the same effect, but files in the format of DuckDB 1.0 don't keep
-- it (duckdb 1.5.5, 2026-11).
with intervals as materialized (
    select * from analytics.rate_intervals
),

weights_1 as (
    select
        *,
        n / design_effect as effective_n,
        n / design_effect as w_1
    from intervals
    union all
    select
        *,
        n / design_effect,
        n / design_effect
    from intervals
    where false
),

-- Sums of doubles depend on the order of the rows, which changes from query to query. Sums of decimals don't, so rates and
-- ranks are the same in every query.
-- expected_squares is the weighted sum of squares if all groups had the same true rate, divided by mean * (1 - mean).
sums_1 as (
    select
        *,
        cast(sum(cast(w_1 as decimal(38, 15))) over kind as double) as sum_w_1,
        cast(sum(cast(w_1 * rate as decimal(38, 15))) over kind as double) as sum_wr_1,
        cast(sum(cast(w_1 * rate * rate as decimal(38, 15))) over kind as double) as sum_wrr_1,
        cast(sum(cast(w_1 * w_1 as decimal(38, 15))) over kind as double) as sum_ww_1,
        cast(sum(cast(w_1 / effective_n as decimal(38, 15))) over kind as double) as sum_wv_1,
        cast(sum(cast(w_1 * w_1 / effective_n as decimal(38, 15))) over kind as double) as sum_wwv_1
    from weights_1
    window kind as (partition by outcome, breakdown, account, is_every_account)
),

moments_1 as (
    select
        *,
        sum_wr_1 / sum_w_1 as mean_1,
        sum_wrr_1 - sum_wr_1 * sum_wr_1 / sum_w_1 as squares_1,
        sum_wv_1 - sum_wwv_1 / sum_w_1 as expected_squares_1,
        sum_w_1 - sum_ww_1 / sum_w_1 as weight_1
    from sums_1
),

spreads_1 as (
    select
        *,
        least(
            greatest(
                coalesce(
                    (squares_1 - mean_1 * (1 - mean_1) * expected_squares_1)
                    / nullif(mean_1 * (1 - mean_1) * (weight_1 - expected_squares_1), 0),
                    0
                ),
                0
            ),
            1
        ) as spread_1
    from moments_1
),

weights_2 as (
    select
        *,
        effective_n / (1 + spread_1 * (effective_n - 1)) as w_2
    from spreads_1
),

sums_2 as (
    select
        *,
        cast(sum(cast(w_2 as decimal(38, 15))) over kind as double) as sum_w_2,
        cast(sum(cast(w_2 * rate as decimal(38, 15))) over kind as double) as sum_wr_2,
        cast(sum(cast(w_2 * rate * rate as decimal(38, 15))) over kind as double) as sum_wrr_2,
        cast(sum(cast(w_2 * w_2 as decimal(38, 15))) over kind as double) as sum_ww_2,
        cast(sum(cast(w_2 / effective_n as decimal(38, 15))) over kind as double) as sum_wv_2,
        cast(sum(cast(w_2 * w_2 / effective_n as decimal(38, 15))) over kind as double) as sum_wwv_2
    from weights_2
    window kind as (partition by outcome, breakdown, account, is_every_account)
),

moments_2 as (
    select
        *,
        sum_wr_2 / sum_w_2 as mean_2,
        sum_wrr_2 - sum_wr_2 * sum_wr_2 / sum_w_2 as squares_2,
        sum_wv_2 - sum_wwv_2 / sum_w_2 as expected_squares_2,
        sum_w_2 - sum_ww_2 / sum_w_2 as weight_2
    from sums_2
),

spreads_2 as (
    select
        *,
        least(
            greatest(
                coalesce(
                    (squares_2 - mean_2 * (1 - mean_2) * expected_squares_2)
                    / nullif(mean_2 * (1 - mean_2) * (weight_2 - expected_squares_2), 0),
                    0
                ),
                0
            ),
            1
        ) as spread_2
    from moments_2
),

weights_3 as (
    select
        *,
        effective_n / (1 + spread_2 * (effective_n - 1)) as w_3
    from spreads_2
),

sums_3 as (
    select
        *,
        cast(sum(cast(w_3 as decimal(38, 15))) over kind as double) as sum_w_3,
        cast(sum(cast(w_3 * rate as decimal(38, 15))) over kind as double) as sum_wr_3,
        cast(sum(cast(w_3 * rate * rate as decimal(38, 15))) over kind as double) as sum_wrr_3,
        cast(sum(cast(w_3 * w_3 as decimal(38, 15))) over kind as double) as sum_ww_3,
        cast(sum(cast(w_3 / effective_n as decimal(38, 15))) over kind as double) as sum_wv_3,
        cast(sum(cast(w_3 * w_3 / effective_n as decimal(38, 15))) over kind as double) as sum_wwv_3
    from weights_3
    window kind as (partition by outcome, breakdown, account, is_every_account)
),

moments_3 as (
    select
        *,
        sum_wr_3 / sum_w_3 as mean_3,
        sum_wrr_3 - sum_wr_3 * sum_wr_3 / sum_w_3 as squares_3,
        sum_wv_3 - sum_wwv_3 / sum_w_3 as expected_squares_3,
        sum_w_3 - sum_ww_3 / sum_w_3 as weight_3
    from sums_3
),

spreads_3 as (
    select
        *,
        least(
            greatest(
                coalesce(
                    (squares_3 - mean_3 * (1 - mean_3) * expected_squares_3)
                    / nullif(mean_3 * (1 - mean_3) * (weight_3 - expected_squares_3), 0),
                    0
                ),
                0
            ),
            1
        ) as spread_3
    from moments_3
),

weights_4 as (
    select
        *,
        effective_n / (1 + spread_3 * (effective_n - 1)) as w_4
    from spreads_3
),

sums_4 as (
    select
        *,
        cast(sum(cast(w_4 as decimal(38, 15))) over kind as double) as sum_w_4,
        cast(sum(cast(w_4 * rate as decimal(38, 15))) over kind as double) as sum_wr_4,
        cast(sum(cast(w_4 * rate * rate as decimal(38, 15))) over kind as double) as sum_wrr_4,
        cast(sum(cast(w_4 * w_4 as decimal(38, 15))) over kind as double) as sum_ww_4,
        cast(sum(cast(w_4 / effective_n as decimal(38, 15))) over kind as double) as sum_wv_4,
        cast(sum(cast(w_4 * w_4 / effective_n as decimal(38, 15))) over kind as double) as sum_wwv_4
    from weights_4
    window kind as (partition by outcome, breakdown, account, is_every_account)
),

moments_4 as (
    select
        *,
        sum_wr_4 / sum_w_4 as mean_4,
        sum_wrr_4 - sum_wr_4 * sum_wr_4 / sum_w_4 as squares_4,
        sum_wv_4 - sum_wwv_4 / sum_w_4 as expected_squares_4,
        sum_w_4 - sum_ww_4 / sum_w_4 as weight_4
    from sums_4
),

spreads_4 as (
    select
        *,
        least(
            greatest(
                coalesce(
                    (squares_4 - mean_4 * (1 - mean_4) * expected_squares_4)
                    / nullif(mean_4 * (1 - mean_4) * (weight_4 - expected_squares_4), 0),
                    0
                ),
                0
            ),
            1
        ) as spread_4
    from moments_4
),

weights_5 as (
    select
        *,
        effective_n / (1 + spread_4 * (effective_n - 1)) as w_5
    from spreads_4
),

-- The shrunken rate is (k + s * mean) / (n + s) with s = 1 / spread - 1. Numerator and denominator are multiplied by the
-- spread, so that a spread of 0 or 1 causes no division by zero.
shrunken as (
    select
        *,
        (
            effective_n * rate * spread_4
            + (1 - spread_4) * cast(sum(cast(w_5 * rate as decimal(38, 15))) over kind as double)
            / cast(sum(cast(w_5 as decimal(38, 15))) over kind as double)
        ) / (effective_n * spread_4 + 1 - spread_4) as rate_shrunken
    from weights_5
    window kind as (partition by outcome, breakdown, account, is_every_account)
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
        n,
        k,
        rate,
        rate_low,
        rate_high,
        clusters,
        clustered_by,
        design_effect,
        others_rate,
        difference,
        difference_low,
        difference_high,
        stands_out,
        rate_shrunken,
        rank() over (
            partition by outcome, breakdown, account, is_every_account order by rate_shrunken desc, rate desc, n desc
        ) as rank
    from shrunken
)

select * from final
