-- One row per carrier, local weekday (ISO, 1 = Monday) and local start hour at which at least one window opens.
-- Every booked window counts, whatever became of the pickup. Left out: pickups without a window, and those in a
-- country without a zone of ours, whose local hour nobody knows (carrier_windows counts both).

with pickups as (
    select * from analytics.pickups
),

opened as (
    select
        carrier,
        window_opens_isodow_local,
        window_opens_hour_local
    from pickups
    where has_window and has_local_time
),

final as (
    select
        carrier,
        window_opens_isodow_local,
        window_opens_hour_local,
        count(*) as pickups
    from opened
    group by carrier, window_opens_isodow_local, window_opens_hour_local
)

select * from final
