package reference

import (
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/dialect"
)

// A timeline is a token's life as a picture: bars side by side, each with what
// stands at its beginning.
type timeline struct {
	What  string
	Bars  []bar
	End   string // what stands at the end
	Words string // the same for who can't see it
}

// A bar's class says how wide it is, too. The last stretch of a life is drawn
// wider than it is, or it couldn't be seen.
type bar struct{ Class, Text, From string }

// timelines draws the life of the access token, and of the refresh token that
// it comes from.
func timelines(d *dialect.Dialect) []timeline {
	t := d.Token
	switch {
	case t.Permanent && t.CodeLife > 0:
		return []timeline{{
			What: "From the access code to the token", End: "delinked or revoked",
			Words: "The access code works once and within " + span(t.CodeLife) + ". The access token does not expire. It ends when it is revoked or its link is ended.",
			Bars:  []bar{{"renew", "access code", "sign-in"}, {"stay", "access token", "exchange, within " + short(t.CodeLife)}},
		}}
	case t.Permanent:
		return []timeline{{What: "The access token", Words: "It does not expire. It ends when it is revoked.", Bars: []bar{{"stay", "use it", "issued"}}, End: "revoked"}}
	}
	early, late := renewal(t.Life)
	out := []timeline{{
		What: "The access token", End: short(t.Life),
		Words: fmt.Sprintf("It lives for %s. Use it until %s before its end; renew it between then and %s before the end.", span(t.Life), span(early), span(late)),
		Bars:  []bar{{"stay", "use it", "issued"}, {"renew", "renew it", "−" + short(early)}, {"late", "too late", "−" + short(late)}},
	}}
	end := short(t.Refresh.Life) + ", then credentials"
	switch t.Refresh.Mode {
	case dialect.RefreshReuse:
		out = append(out, timeline{
			What: "The refresh token", Words: "The same one is used again and again, until " + span(t.Refresh.Life) + " after it was first given.",
			Bars: []bar{{"stay", "used again and again", "issued"}}, End: end,
		})
	case dialect.RefreshRotate:
		out = append(out, timeline{
			What: "The refresh token", Words: "Each works once and gives the next one, until " + span(t.Refresh.Life) + " after the first.",
			Bars: []bar{{"turn", "works once", "issued"}, {"turn", "the next", "refresh"}, {"turn", "the next", "refresh"}}, End: end,
		})
	}
	return out
}

// short is a duration for a label.
func short(d time.Duration) string {
	switch {
	case d >= 48*time.Hour && d%(24*time.Hour) == 0:
		return fmt.Sprintf("%d d", d/(24*time.Hour))
	case d%time.Hour == 0:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}
