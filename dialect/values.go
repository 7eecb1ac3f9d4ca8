package dialect

import (
	"time"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// Values holds what a message's holes were filled with. The zero value is
// empty and ready. A getter returns the zero value of its type when the hole
// is unset. Values prints as the names of its holes and nothing else. It is
// not safe for concurrent changes; Clone before changing a copy.
type Values struct {
	entries []entry
	fields  []FieldError
}

type entry struct {
	hole  Hole
	value any
}

// NewValues returns Values with room for n holes.
func NewValues(n int) Values { return Values{entries: make([]entry, 0, n)} }

// Clone returns a copy that shares nothing with v but list contents.
func (v Values) Clone() Values {
	return Values{append(make([]entry, 0, len(v.entries)+4), v.entries...), v.fields}
}

// Has reports whether h is set.
func (v Values) Has(h Hole) bool { return v.get(h) != nil }

// Holes lists the holes that are set, in the order in which they were set.
func (v Values) Holes() []Hole {
	names := make([]Hole, len(v.entries))
	for i, e := range v.entries {
		names[i] = e.hole
	}
	return names
}

// Text returns a text hole.
func (v Values) Text(h Hole) string { s, _ := v.get(h).(string); return s }

// Secret returns a secret hole: client_secret, access_token, refresh_token,
// access_code or user_secret.
func (v Values) Secret(h Hole) secret.Text { s, _ := v.get(h).(secret.Text); return s }

// Time returns a time hole.
func (v Values) Time(h Hole) time.Time { t, _ := v.get(h).(time.Time); return t }

// Duration returns a duration hole: life, refresh_life, retry_after.
func (v Values) Duration(h Hole) time.Duration { d, _ := v.get(h).(time.Duration); return d }

// Bool returns a boolean hole.
func (v Values) Bool(h Hole) bool { b, _ := v.get(h).(bool); return b }

// List returns a list hole. The caller must not change it.
func (v Values) List(h Hole) []string { l, _ := v.get(h).([]string); return l }

// Number returns a number hole.
func (v Values) Number(h Hole) int64 { n, _ := v.get(h).(int64); return n }

// Literal returns an error row's value: string, int64, float64, bool or nil.
func (v Values) Literal(h Hole) any { return v.get(h) }

// SetText sets a text hole; the empty text unsets it.
func (v *Values) SetText(h Hole, s string) {
	if s == "" {
		v.Unset(h)
		return
	}
	v.set(h, s)
}

// SetSecret sets a secret hole; the zero secret unsets it.
func (v *Values) SetSecret(h Hole, s secret.Text) {
	if s.IsZero() {
		v.Unset(h)
		return
	}
	v.set(h, s)
}

// SetTime sets a time hole; the zero time unsets it.
func (v *Values) SetTime(h Hole, t time.Time) {
	if t.IsZero() {
		v.Unset(h)
		return
	}
	v.set(h, t)
}

// SetDuration sets a duration hole.
func (v *Values) SetDuration(h Hole, d time.Duration) { v.set(h, d) }

// SetBool sets a boolean hole.
func (v *Values) SetBool(h Hole, b bool) { v.set(h, b) }

// SetList sets a list hole; an empty list unsets it. The list is kept, not
// copied.
func (v *Values) SetList(h Hole, l []string) {
	if len(l) == 0 {
		v.Unset(h)
		return
	}
	v.set(h, l)
}

// SetNumber sets a number hole.
func (v *Values) SetNumber(h Hole, n int64) { v.set(h, n) }

// SetFields sets the refused fields, which an error's {errors} list repeats.
// The list is kept, not copied.
func (v *Values) SetFields(fields []FieldError) { v.fields = fields }

// Fields returns the refused fields.
func (v Values) Fields() []FieldError { return v.fields }

// Unset empties a hole.
func (v *Values) Unset(h Hole) {
	for i := range v.entries {
		if v.entries[i].hole == h {
			v.entries = append(v.entries[:i], v.entries[i+1:]...)
			return
		}
	}
}

func (v Values) get(h Hole) any {
	for i := range v.entries {
		if v.entries[i].hole == h {
			return v.entries[i].value
		}
	}
	return nil
}

func (v *Values) set(h Hole, value any) {
	for i := range v.entries {
		if v.entries[i].hole == h {
			v.entries[i].value = value
			return
		}
	}
	v.entries = append(v.entries, entry{h, value})
}
