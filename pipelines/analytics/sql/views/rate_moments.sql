-- One row per outcome, breakdown, group and account (is_every_account: all accounts): the sums from which analytics.rates
-- computes a rate, its interval and its difference from the other groups.
-- A breakdown divides the pickups into groups, for example by carrier or by carrier and week. The family of a group
-- contains the groups with which it is compared: all carriers, a carrier's countries, weeks or bands.
-- k of n pickups have the outcome.
-- A cluster is an account's pickups that were booked on one local day. With ten or more accounts, a cluster is an
-- account. kk, kn and nn are sums over the group's clusters of k * k, k * n and n * n. In ok, o_n, mk and mn, the other
-- groups' counts in the same cluster take part: o of m pickups have the outcome.
-- The columns with family_ in their names sum to the family's totals, by day or (a_) by account.
-- The view is an intermediate step. Its columns are not meant for reports.

with days as (
    select * from analytics.booking_days
),

bands as (
    select * from analytics.booking_bands
),

-- Each breakdown is a branch with a constant name, so that DuckDB and PostgreSQL skip the branches that a query leaves
-- out (where breakdown = 'carrier').
-- The outcomes are c (cancelled), f (failed), s (cancelled by status) and e (early: cancelled within 48 hours).
-- Each breakdown is a branch with a constant name, so that DuckDB and PostgreSQL skip the branches that a query leaves
-- out (where breakdown = 'carrier').
clusters as (
    select
        'total' as breakdown,
        'all' as family,
        'all' as carrier,
        'all' as country,
        cast(null as date) as week_local_start,
        'none' as measure,
        cast(null as bigint) as band,
        account,
        booked_day_local,
        cast(sum(mature_cancelled) as double) as c_k,
        cast(sum(rated) as double) as c_n,
        cast(sum(mature_failed) as double) as f_k,
        cast(sum(failure_n) as double) as f_n,
        cast(sum(mature_cancelled - mature_status_conflicts) as double) as s_k,
        cast(sum(cancelled_within_48_hours) as double) as e_k,
        cast(sum(watched_48_hours) as double) as e_n
    from days
    group by account, booked_day_local
    union all
    select
        'carrier', 'all', carrier, 'all', null, 'none', null, account, booked_day_local,
        cast(sum(mature_cancelled) as double), cast(sum(rated) as double), cast(sum(mature_failed) as double),
        cast(sum(failure_n) as double), cast(sum(mature_cancelled - mature_status_conflicts) as double),
        cast(sum(cancelled_within_48_hours) as double), cast(sum(watched_48_hours) as double)
    from days
    group by carrier, account, booked_day_local
    union all
    select
        'country', 'all', 'all', country, null, 'none', null, account, booked_day_local,
        cast(sum(mature_cancelled) as double), cast(sum(rated) as double), cast(sum(mature_failed) as double),
        cast(sum(failure_n) as double), cast(sum(mature_cancelled - mature_status_conflicts) as double),
        cast(sum(cancelled_within_48_hours) as double), cast(sum(watched_48_hours) as double)
    from days
    group by country, account, booked_day_local
    union all
    select
        'carrier and country', carrier, carrier, country, null, 'none', null, account, booked_day_local,
        cast(sum(mature_cancelled) as double), cast(sum(rated) as double), cast(sum(mature_failed) as double),
        cast(sum(failure_n) as double), cast(sum(mature_cancelled - mature_status_conflicts) as double),
        cast(sum(cancelled_within_48_hours) as double), cast(sum(watched_48_hours) as double)
    from days
    group by carrier, country, account, booked_day_local
    union all
    select
        'week', 'all', 'all', 'all', cast(date_trunc('week', booked_day_local) as date), 'none', null, account, booked_day_local,
        cast(sum(mature_cancelled) as double), cast(sum(rated) as double), cast(sum(mature_failed) as double),
        cast(sum(failure_n) as double), cast(sum(mature_cancelled - mature_status_conflicts) as double),
        cast(sum(cancelled_within_48_hours) as double), cast(sum(watched_48_hours) as double)
    from days
    group by account, booked_day_local
    union all
    select
        'carrier and week', carrier, carrier, 'all', cast(date_trunc('week', booked_day_local) as date), 'none', null, account, booked_day_local,
        cast(sum(mature_cancelled) as double), cast(sum(rated) as double), cast(sum(mature_failed) as double),
        cast(sum(failure_n) as double), cast(sum(mature_cancelled - mature_status_conflicts) as double),
        cast(sum(cancelled_within_48_hours) as double), cast(sum(watched_48_hours) as double)
    from days
    group by carrier, account, booked_day_local
    union all
    select
        'band', case when is_every_carrier then measure else measure || ' of ' || carrier end, carrier, 'all', null, measure, band, account, booked_day_local,
        cast(mature_cancelled as double), cast(rated as double), 0, 0, 0, 0, 0
    from bands
),

-- Only cancelled and failed pickups are compared between groups.
families as (
    select
        *,
        sum(c_k) over cluster as c_all_k,
        sum(c_n) over cluster as c_all_n,
        sum(case when c_n > 0 then 1 else 0 end) over cluster as c_members,
        sum(f_k) over cluster as f_all_k,
        sum(f_n) over cluster as f_all_n,
        sum(case when f_n > 0 then 1 else 0 end) over cluster as f_members
    from clusters
    window cluster as (partition by breakdown, family, account, booked_day_local)
),

outcomes as (
    select 'cancelled' as outcome
    union all
    select 'failed'
    union all
    select 'cancelled by status'
    union all
    select 'cancelled within 48 hours'
),

-- k of n pickups of the group have the outcome, and o of m pickups of the other groups in the cluster. members is the
-- number of groups in the cluster.
compared as (
    select
        outcomes.outcome,
        families.breakdown,
        families.family,
        families.carrier,
        families.country,
        families.week_local_start,
        families.measure,
        families.band,
        families.account,
        case outcome when 'cancelled' then c_k when 'failed' then f_k when 'cancelled by status' then s_k else e_k end as k,
        case outcome when 'failed' then f_n when 'cancelled within 48 hours' then e_n else c_n end as n,
        case outcome when 'cancelled' then c_all_k - c_k when 'failed' then f_all_k - f_k else 0 end as o,
        case outcome when 'cancelled' then c_all_n - c_n when 'failed' then f_all_n - f_n else 0 end as m,
        cast(case outcome when 'cancelled' then c_members when 'failed' then f_members else 1 end as double) as members
    from families
    cross join outcomes
),

-- Sums over each account's days. A product of the whole family's counts (k + o, n + m) is divided among the members of
-- its cluster, so that summing it over the family counts each cluster once.
accounts as (
    select
        outcome,
        breakdown,
        family,
        carrier,
        country,
        week_local_start,
        measure,
        band,
        account,
        sum(k) as k,
        sum(n) as n,
        cast(count(*) as double) as days,
        sum(k * k) as kk,
        sum(k * n) as kn,
        sum(n * n) as nn,
        sum(o * k) as ok,
        sum(o * n) as o_n,
        sum(m * k) as mk,
        sum(m * n) as mn,
        sum((k + o) * (k + o) / members) as family_kk,
        sum((k + o) * (n + m) / members) as family_kn,
        sum((n + m) * (n + m) / members) as family_nn,
        sum(1 / members) as family_days,
        cast(sum(case when m = 0 then 1 else 0 end) as double) as days_alone
    from compared
    where n > 0
    group by outcome, breakdown, family, carrier, country, week_local_start, measure, band, account
),

compared_accounts as (
    select
        *,
        sum(k) over (partition by outcome, breakdown, family, account) - k as o,
        sum(n) over (partition by outcome, breakdown, family, account) - n as m,
        cast(count(*) over (partition by outcome, breakdown, family, account) as double) as members
    from accounts
),

-- The columns that begin with a_ treat each account as one cluster.
scopes as (
    select
        outcome,
        breakdown,
        family,
        carrier,
        country,
        week_local_start,
        measure,
        band,
        account,
        grouping(account) = 1 as is_every_account,
        sum(k) as k,
        sum(n) as n,
        cast(count(*) as double) as accounts,
        sum(days) as days,
        sum(kk) as kk,
        sum(kn) as kn,
        sum(nn) as nn,
        sum(ok) as ok,
        sum(o_n) as o_n,
        sum(mk) as mk,
        sum(mn) as mn,
        sum(family_kk) as family_kk,
        sum(family_kn) as family_kn,
        sum(family_nn) as family_nn,
        sum(family_days) as family_days,
        sum(days_alone) as days_alone,
        sum(k * k) as a_kk,
        sum(k * n) as a_kn,
        sum(n * n) as a_nn,
        sum(o * k) as a_ok,
        sum(o * n) as a_on,
        sum(m * k) as a_mk,
        sum(m * n) as a_mn,
        sum((k + o) * (k + o) / members) as a_family_kk,
        sum((k + o) * (n + m) / members) as a_family_kn,
        sum((n + m) * (n + m) / members) as a_family_nn,
        sum(1 / members) as a_family_clusters,
        cast(sum(case when m = 0 then 1 else 0 end) as double) as accounts_alone
    from compared_accounts
    group by
        grouping sets (
            (outcome, breakdown, family, carrier, country, week_local_start, measure, band, account),
            (outcome, breakdown, family, carrier, country, week_local_start, measure, band)
        )
),

final as (
    select
        outcome,
        breakdown,
        family,
        carrier,
        country,
        week_local_start,
        measure,
        band,
        coalesce(account, 'all') as account,
        is_every_account,
        accounts >= 10 as is_clustered_by_account,
        k,
        n,
        case when accounts >= 10 then accounts else days end as clusters,
        case when accounts >= 10 then accounts_alone else days_alone end as clusters_alone,
        case when accounts >= 10 then a_kk else kk end as kk,
        case when accounts >= 10 then a_kn else kn end as kn,
        case when accounts >= 10 then a_nn else nn end as nn,
        case when accounts >= 10 then a_ok else ok end as ok,
        case when accounts >= 10 then a_on else o_n end as o_n,
        case when accounts >= 10 then a_mk else mk end as mk,
        case when accounts >= 10 then a_mn else mn end as mn,
        family_kk,
        family_kn,
        family_nn,
        family_days,
        a_family_kk,
        a_family_kn,
        a_family_nn,
        a_family_clusters
    from scopes
)

select * from final
