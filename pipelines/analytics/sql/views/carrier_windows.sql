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

counts as (
    select
        coalesce(account, 'all') as account,
        grouping(account) = 1 as is_every_account,
        carrier,
        count(*) as pickups,
        count(*) filter (where has_window) as with_window,
        count(*) filter (where is_open_ended) as open_ended,
        count(*) filter (where is_window_invalid) as invalid,
        count(window_hours) as windows_measured,
        quantile_cont(window_hours, [0.1, 0.5, 0.9]) as window_hours_p10_p50_p90,
        count(*) filter (where is_window_before_booking) as windows_before_booking,
        count(lead_time_hours) as lead_times_measured,
        quantile_cont(lead_time_hours, [0.1, 0.5, 0.9]) as lead_time_hours_p10_p50_p90,
        count(*) filter (where not has_local_time) as pickups_without_zone,
        count(hour_local) as windows_with_zone,
        count(*) filter (where isodow_local in (6, 7)) as weekend_windows
    from windows
    group by grouping sets ((carrier), (account, carrier))
),

hours as (
    select
        coalesce(account, 'all') as account,
        grouping(account) = 1 as is_every_account,
        carrier,
        hour_local,
        count(*) as opened
    from windows
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
        counts.window_hours_p10_p50_p90[2] as median_window_hours,
        counts.window_hours_p10_p50_p90[1] as p10_window_hours,
        counts.window_hours_p10_p50_p90[3] as p90_window_hours,
        counts.windows_before_booking,
        counts.lead_times_measured,
        counts.lead_time_hours_p10_p50_p90[2] as median_lead_time_hours,
        counts.lead_time_hours_p10_p50_p90[1] as p10_lead_time_hours,
        counts.lead_time_hours_p10_p50_p90[3] as p90_lead_time_hours,
        counts.pickups_without_zone,
        counts.windows_with_zone,
        most_common.hour_local as most_common_opening_hour_local,
        cast(most_common.opened as double) / counts.windows_with_zone as most_common_opening_hour_share,
        cast(counts.weekend_windows as double) / nullif(counts.windows_with_zone, 0) as weekend_share
    from counts
    left join most_common using (account, is_every_account, carrier)
)

select * from final
