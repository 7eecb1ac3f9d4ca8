package admin

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/token"
)

// dialect returns the dialect in use under this name, nil for none: standard
// OAuth 2.0 is none.
func (s *server) dialect(name string) *dialect.Dialect {
	for _, d := range s.dialects() {
		if d.Name == name {
			return d
		}
	}
	return nil
}

// client finds a client by an id as we print it, which is as it goes on the
// wire, or by the id itself.
func (s *server) client(id string) (*gatehouse.Client, error) {
	_, c, err := s.named(id)
	return c, err
}

// named is client, and the id itself behind the one that was given.
func (s *server) named(id string) (gatehouse.ClientID, *gatehouse.Client, error) {
	if c, ok := s.engine.Client(gatehouse.ClientID(id)); ok {
		return gatehouse.ClientID(id), c, nil
	}
	for _, d := range s.dialects() {
		decoded, ok := d.FromWire(dialect.ClientID, id)
		if !ok {
			continue
		}
		if c, ok := s.engine.Client(gatehouse.ClientID(decoded)); ok && c.Dialect == d.Name {
			return gatehouse.ClientID(decoded), c, nil
		}
	}
	e := gatehouse.Refuse(gatehouse.NotFound, gatehouse.ReasonUnknownClient,
		fmt.Sprintf("no client has the id %q: `gatehouse client list` shows those there are", id))
	e.Field = "client_id"
	return "", nil, e
}

// selected reads a client and an environment to select by; both may be empty.
// The engine takes an id that a client has in one environment only for that
// environment's.
func (s *server) selected(client, env string) (id gatehouse.ClientID, in gatehouse.Environment, err error) {
	if in, err = environment("environment", env); err != nil || client == "" {
		return "", in, err
	}
	id, _, err = s.named(client)
	return id, in, err
}

// wire writes a client's id as it goes on the wire.
func (s *server) wire(dialectName string, id gatehouse.ClientID) string {
	if d := s.dialect(dialectName); d != nil {
		return d.WireForm(dialect.ClientID, string(id))
	}
	return string(id)
}

func environment(field, name string) (gatehouse.Environment, error) {
	if name == "" {
		return "", nil
	}
	env, err := gatehouse.ParseEnvironment(name)
	if err != nil {
		e := *gatehouse.AsError(err)
		e.Field = field
		return "", &e
	}
	return env, nil
}

// parseID reads an id of ours, a UUID; "" is the zero one.
func parseID(field, s string) (token.ID, error) {
	if s == "" {
		return token.ID{}, nil
	}
	id, err := token.ParseID(s)
	if err != nil {
		return id, refuse(field, "%q is no id: ids are UUIDs, as the lists show them", s)
	}
	return id, nil
}

// ParseRate reads "60/m": a count, and s, m, h, d or a duration such as 10s.
// "" is the zero rate.
func ParseRate(text string) (gatehouse.Rate, error) {
	if text == "" {
		return gatehouse.Rate{}, nil
	}
	count, per, ok := strings.Cut(text, "/")
	n, err := strconv.Atoi(count)
	if !ok || err != nil || n < 1 {
		return gatehouse.Rate{}, refuse("limit_rate", "%q is no rate: write it like 60/m or 100/10s", text)
	}
	unit, ok := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[per]
	if !ok {
		if unit, err = time.ParseDuration(per); err != nil || unit <= 0 {
			return gatehouse.Rate{}, refuse("limit_rate", "%q is no rate: write it like 60/m or 100/10s", text)
		}
	}
	return gatehouse.Rate{Count: n, Per: unit}, nil
}

func formatRate(r gatehouse.Rate) string {
	if r.IsZero() {
		return ""
	}
	per := r.Per.String()
	switch r.Per {
	case time.Second:
		per = "s"
	case time.Minute:
		per = "m"
	case time.Hour:
		per = "h"
	case 24 * time.Hour:
		per = "d"
	}
	return strconv.Itoa(r.Count) + "/" + per
}

// moment is nil for the zero time, which stands for "never" and "not yet".
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

// longestPage leaves room for the one row more that says whether a page
// follows, within what a store returns at once.
const longestPage = 999

// page reads a cursor. One item more than limit is to be read, to know whether
// a page follows.
func (s *server) page(kind string, p Page) (position string, limit int, err error) {
	limit = min(p.Limit, longestPage)
	if p.Cursor == "" {
		return "", limit, nil
	}
	position, err = s.engine.ReadCursor(kind, p.Cursor)
	if err != nil {
		return "", 0, refuse("cursor", "that is no cursor of this list: use `next` of the page before, or none")
	}
	return position, limit, nil
}

// list cuts the item too many off and makes the cursor of the page after.
func list[T, R any](s *server, kind string, rows []R, limit int, position func(*R) string, item func(*R) T) List[T] {
	out := List[T]{Items: []T{}}
	if len(rows) > limit {
		rows = rows[:limit]
		out.Next = s.engine.Cursor(kind, position(&rows[limit-1]))
	}
	for i := range rows {
		out.Items = append(out.Items, item(&rows[i]))
	}
	return out
}
