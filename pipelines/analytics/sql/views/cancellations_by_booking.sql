-- One row per carrier (is_every_carrier: all carriers), measure and band, for all accounts (is_every_account) and for each
-- account: the cancellation rate of mature pickups (see carrier_cancellations).
-- measure is 'lead time' (hours from the booking to the start of the window), 'window length' (hours), 'booking weekday'
-- (ISO, 1 = Monday, local), 'booking hour' (local) or 'contract' (its id). The last three are for all carriers only.
-- For lead times and window lengths, a band covers from_hours <= hours < until_hours, and the last band has no end. Otherwise, from_hours and
-- until_hours are null, and band is the weekday, the hour or the contract.
-- A window that opens before the booking has no lead time, and an open-ended or invalid window has no length. The view
-- leaves such pickups out of that measure. A pickup without a contract or a local time is left out in the same way.
-- Columns that end in _low or _high bound the 95 % interval, which allows for pickups that are cancelled together (see
-- rate_intervals). stands_out is 'higher' or 'lower' only if the band differs from the other bands by more than chance.
-- Bands are compared for all carriers together. To compare those of one carrier, filter by carrier.
-- A longer lead time also leaves more time to cancel, so a difference between bands doesn't prove a cause.

with rates as (
    select * from analytics.rate_intervals
    where breakdown in ('band', 'carrier and band') and outcome = 'cancelled'
),

final as (
    select
        account,
        is_every_account,
        carrier,
        breakdown = 'band' as is_every_carrier,
        measure,
        band,
        case when measure in ('lead time', 'window length') then band end as from_hours,
        cast(case
            when measure = 'lead time'
                then case band when 0 then 6 when 6 then 12 when 12 then 24 when 24 then 48 when 48 then 96 end
            when measure = 'window length' and band < 8 then band + 2
        end as bigint) as until_hours,
        n as rated,
        k as mature_cancelled,
        rate as cancellation_rate,
        rate_low as cancellation_rate_low,
        rate_high as cancellation_rate_high,
        clusters,
        clustered_by,
        design_effect,
        difference,
        difference_low,
        difference_high,
        stands_out
    from rates
)

select * from final
