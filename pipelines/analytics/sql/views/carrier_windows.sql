-- One row per carrier, for all accounts (is_every_account) and for each account.
-- The view describes windows as they were booked. Every pickup counts, regardless of what happened to it later, because
-- its window was set when it was booked.
-- The window_hours columns cover windows_measured. Open-ended windows have no length, and invalid windows (which don't
-- end after they begin) have no meaningful length.
-- The lead_time_hours columns cover lead_times_measured. Windows that open before the booking are left out and counted
-- in windows_before_booking. p10 and p90 interpolate between the two nearest pickups.
-- Hours and weekends are in local time and cover windows_with_zone. Pickups in a country whose time zone is not
-- configured are left out and counted in pickups_without_zone. If several opening hours are equally common, the view
-- names the earliest.

with pickups as (
    select * from analytics.pickups
),

windows as (
    select
        account,
        carrier,
        has_window,
        has_local_time,
        is_open_ended,
        is_window_invalid,
        is_window_before_booking,
        window_hours,
        case when not is_window_before_booking then lead_time_hours end as lead_time_hours,
        case when has_window and has_local_time then window_opens_isodow_local end as isodow_local,
        case when has_window and has_local_time then window_opens_hour_local end as hour_local
    from pickups
),

-- Windows have few different lengths and opening hours, so these rows are few. Computing the percentiles of the lengths
-- from all pickups took 0.6 of 3.5 s of CPU per ten million pickups, and counting the hours 0.3 s (duckdb 1.5.5,
-- 2026-11-30).
parts as (
    select
        account,
        carrier,
        window_hours,
        hour_local,
        count(*) as pickups,
        count(*) filter (where has_window) as with_window,
        count(*) filter (where is_open_ended) as open_ended,
        count(*) filter (where is_window_invalid) as invalid,
        count(*) filter (where is_window_before_booking) as windows_before_booking,
        count(*) filter (where not has_local_time) as pickups_without_zone,
        count(hour_local) as windows_with_zone,
        count(*) filter (where isodow_local in (6, 7)) as weekend_windows
    from windows
    group by account, carrier, window_hours, hour_local
),

lengths as (
    select
        coalesce(account, 'all') as account,
        grouping(account) = 1 as is_every_account,
        carrier,
        window_hours,
        sum(pickups) as pickups,
        case when window_hours is null then 0 else sum(pickups) end as windows_measured,
        sum(with_window) as with_window,
        sum(open_ended) as open_ended,
        sum(invalid) as invalid,
        sum(windows_before_booking) as windows_before_booking,
        sum(pickups_without_zone) as pickups_without_zone,
        sum(windows_with_zone) as windows_with_zone,
        sum(weekend_windows) as weekend_windows
    from parts
    group by grouping sets ((window_hours, carrier), (window_hours, account, carrier))
),

-- up_to counts the windows that are at most this long, and last_place is the place of the longest, counted from 0.
placed as (
    select
        *,
        sum(windows_measured) over (partition by account, is_every_account, carrier order by window_hours) as up_to,
        cast(sum(windows_measured) over (partition by account, is_every_account, carrier) - 1 as double) as last_place
    from lengths
),

counts as (
    select
        account,
        is_every_account,
        carrier,
        last_place,
        cast(sum(pickups) as bigint) as pickups,
        cast(sum(with_window) as bigint) as with_window,
        cast(sum(open_ended) as bigint) as open_ended,
        cast(sum(invalid) as bigint) as invalid,
        cast(sum(windows_measured) as bigint) as windows_measured,
        cast(sum(windows_before_booking) as bigint) as windows_before_booking,
        cast(sum(pickups_without_zone) as bigint) as pickups_without_zone,
        cast(sum(windows_with_zone) as bigint) as windows_with_zone,
        cast(sum(weekend_windows) as bigint) as weekend_windows,
        min(window_hours) filter (where up_to > floor(0.1 * last_place)) as p10_before,
        min(window_hours) filter (where up_to > ceil(0.1 * last_place)) as p10_after,
        min(window_hours) filter (where up_to > floor(0.5 * last_place)) as median_before,
        min(window_hours) filter (where up_to > ceil(0.5 * last_place)) as median_after,
        min(window_hours) filter (where up_to > floor(0.9 * last_place)) as p90_before,
        min(window_hours) filter (where up_to > ceil(0.9 * last_place)) as p90_after
    from placed
    group by account, is_every_account, carrier, last_place
),

lead_times as (
    select
        coalesce(account, 'all') as account,
        grouping(account) = 1 as is_every_account,
        carrier,
        count(lead_time_hours) as lead_times_measured,
        quantile_cont(lead_time_hours, [0.1, 0.5, 0.9]) as hours_p10_p50_p90
    from windows
    group by grouping sets ((carrier), (account, carrier))
),

hours as (
    select
        coalesce(account, 'all') as account,
        grouping(account) = 1 as is_every_account,
        carrier,
        hour_local,
        cast(sum(pickups) as bigint) as opened
    from parts
    where hour_local is not null
    group by grouping sets ((carrier, hour_local), (account, carrier, hour_local))
),

ranked as (
    select
        account,
        is_every_account,
        carrier,
        hour_local,
        opened,
        row_number() over (partition by account, is_every_account, carrier order by opened desc, hour_local) as place
    from hours
),

most_common as (
    select
        account,
        is_every_account,
        carrier,
        hour_local,
        opened
    from ranked
    where place = 1
),

final as (
    select
        counts.account,
        counts.is_every_account,
        counts.carrier,
        counts.pickups,
        counts.with_window,
        counts.open_ended,
        counts.invalid,
        cast(counts.open_ended as double) / nullif(counts.with_window, 0) as open_ended_share,
        counts.windows_measured,
        counts.median_before
        + (counts.median_after - counts.median_before) * (0.5 * counts.last_place - floor(0.5 * counts.last_place))
            as median_window_hours,
        counts.p10_before
        + (counts.p10_after - counts.p10_before) * (0.1 * counts.last_place - floor(0.1 * counts.last_place))
            as p10_window_hours,
        counts.p90_before
        + (counts.p90_after - counts.p90_before) * (0.9 * counts.last_place - floor(0.9 * counts.last_place))
            as p90_window_hours,
        counts.windows_before_booking,
        lead_times.lead_times_measured,
        lead_times.hours_p10_p50_p90[2] as median_lead_time_hours,
        lead_times.hours_p10_p50_p90[1] as p10_lead_time_hours,
        lead_times.hours_p10_p50_p90[3] as p90_lead_time_hours,
        counts.pickups_without_zone,
        counts.windows_with_zone,
        most_common.hour_local as most_common_opening_hour_local,
        cast(most_common.opened as double) / counts.windows_with_zone as most_common_opening_hour_share,
        cast(counts.weekend_windows as double) / nullif(counts.windows_with_zone, 0) as weekend_share
    from counts
    left join lead_times using (account, is_every_account, carrier)
    left join most_common using (account, is_every_account, carrier)
)

select * from final
