package credential

import (
	"testing"
	"time"
)

// C4: a day ends at the midnight that closes it in the time zone, also on the days when clocks change, and where
// midnight does not exist, or comes twice.
func TestC4_Closing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ zone, day, want string }{
		{"UTC", "2026-11-22", "2026-11-23T00:00:00Z"},
		{"Europe/Madrid", "2026-07-01", "2026-07-01T22:00:00Z"},
		{"Europe/Madrid", "2026-03-28", "2026-03-28T23:00:00Z"}, // the night before clocks go forward
		{"Europe/Madrid", "2026-03-29", "2026-03-29T22:00:00Z"}, // a day of 23 hours
		{"Europe/Madrid", "2026-10-25", "2026-10-25T23:00:00Z"}, // a day of 25 hours
		{"America/New_York", "2026-12-31", "2027-01-01T05:00:00Z"},
		{"Pacific/Kiritimati", "2026-11-22", "2026-11-22T10:00:00Z"}, // UTC+14
		{"Pacific/Niue", "2026-11-22", "2026-11-23T11:00:00Z"},
		{"Asia/Kathmandu", "2026-11-22", "2026-11-22T18:15:00Z"},
		// midnight did not exist: clocks went from 24:00 to 01:00
		{"America/Sao_Paulo", "2018-11-03", "2018-11-04T03:00:00Z"},
		// at 24:00 clocks went back to 23:00: the day closed the second time
		{"America/Sao_Paulo", "2018-02-17", "2018-02-18T03:00:00Z"},
		{"Asia/Beirut", "2026-03-28", "2026-03-28T22:00:00Z"},  // midnight does not exist
		{"Africa/Cairo", "2026-04-23", "2026-04-23T22:00:00Z"}, // midnight does not exist
		{"Africa/Cairo", "2026-10-29", "2026-10-29T22:00:00Z"}, // 24:00 comes twice
		// 00:00 to 01:00 comes twice: the first one closes, the day does not come back
		{"America/Havana", "2026-10-31", "2026-11-01T04:00:00Z"},
		// one minute past midnight clocks went back to 23:01 of the day
		{"America/St_Johns", "2010-11-06", "2010-11-07T03:30:00Z"},
		{"Pacific/Apia", "2011-12-29", "2011-12-30T10:00:00Z"}, // the next day was skipped
		{"Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z"}, // the day that never was
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		day, err := ParseDate(c.day)
		if err != nil {
			t.Fatal(err)
		}
		got := day.Closing(zone)
		if got.Format(time.RFC3339) != c.want {
			t.Errorf("%s in %s closes at %s, want %s", c.day, c.zone, got.Format(time.RFC3339), c.want)
		}
		// Whatever the zone does: at the instant it is a later day there, and just before it was not.
		if at := DateOf(got, zone); at.String() <= c.day {
			t.Errorf("%s in %s: at %s it is still %s", c.day, c.zone, got, at)
		}
		if before := DateOf(got.Add(-time.Nanosecond), zone); before.String() > c.day {
			t.Errorf("%s in %s: before %s it is %s already", c.day, c.zone, got, before)
		}
	}
}

// C4: the same for every day of a year in every zone that changes its clocks at or near midnight.
func TestC4_ClosingEveryDay(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Africa/Cairo", "America/Havana", "America/Sao_Paulo", "America/Asuncion",
		"America/Santiago", "America/St_Johns", "Asia/Amman", "Asia/Beirut", "Asia/Damascus", "Asia/Gaza",
		"Asia/Tehran", "Atlantic/Azores", "Pacific/Apia", "Antarctica/Troll"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, year := range []int{2008, 2011, 2018, 2026} {
			for n := range 365 {
				day := DateOf(time.Date(year, 1, 1+n, 12, 0, 0, 0, time.UTC), time.UTC)
				got := day.Closing(zone)
				if DateOf(got, zone).String() <= day.String() || DateOf(got.Add(-time.Second), zone).
					String() > day.String() {
					t.Fatalf("%s %s: %s", name, day, got)
				}
				for h := range 30 { // and never is it that day or an earlier one again
					if at := got.Add(time.Duration(h) * time.Hour / 2); DateOf(at, zone).String() <= day.String() {
						t.Fatalf("%s %s: at %s it is %s", name, day, at, DateOf(at, zone))
					}
				}
			}
		}
	}
}
