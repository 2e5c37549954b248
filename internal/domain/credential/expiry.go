package credential

import (
	"slices"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/moment"
)

// Periods are the days that an access token may be asked for instead of a date.
var Periods = []int{30, 90, 365}

// Date is a day of the calendar, in whatever time zone it is looked at.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// DateOf is the day of an instant in a time zone.
func DateOf(t time.Time, zone *time.Location) Date {
	y, m, d := t.In(zone).Date()
	return Date{y, m, d}
}

// String writes it as 2026-11-22.
func (d Date) String() string {
	return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
}

// ParseDate reads 2026-11-22.
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || !moment.InRange(t) {
		return Date{}, fault.Invalidf("expiry_date", "must be a date of the years 1970 to 9999, such as 2026-12-31")
	}
	return DateOf(t, time.UTC), nil
}

// InDays is the day some days after the one of an instant.
func InDays(now time.Time, days int, zone *time.Location) (Date, error) {
	if !slices.Contains(Periods, days) {
		return Date{}, fault.Invalidf("period", "must be 30, 90 or 365 days")
	}
	d := DateOf(now, zone)
	return DateOf(time.Date(d.Year, d.Month, d.Day+days, 0, 0, 0, 0, time.UTC), time.UTC), nil
}

// widestOffset is more than any zone is or was away from UTC.
const widestOffset = 26 * time.Hour

// Closing is the midnight that closes the day in a time zone: from that instant on it is a later day there. Where
// clocks jump over midnight it is the jump; where they are set back over it, the last of the midnights.
func (d Date) Closing(zone *time.Location) time.Time {
	midnight := time.Date(d.Year, d.Month, d.Day+1, 0, 0, 0, 0, time.UTC) // as a clock on the wall shows it
	last := midnight.Add(-widestOffset)
	for at := last.In(zone); !at.After(midnight.Add(widestOffset)); {
		begin, end := at.ZoneBounds()
		_, offset := at.Zone()
		shown := midnight.Add(-time.Duration(offset) * time.Second) // when that clock shows it, if it is in use then
		if begin.IsZero() || shown.After(begin) {
			// some of the stretch is still in the day, or before
			until := shown
			if !end.IsZero() && end.Before(shown) {
				until = end
			}
			last = later(last, until)
		}
		if end.IsZero() {
			break
		}
		at = end
	}
	return last.UTC()
}
