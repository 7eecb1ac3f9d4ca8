package token

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestIDAgreesWithUUIDLibrary(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 891_234_567, time.UTC)
	for range 1000 {
		id := NewID(now)
		other, err := uuid.Parse(id.String())
		if err != nil || other != uuid.UUID(id) || other.Version() != 7 || other.Variant() != uuid.RFC4122 {
			t.Fatalf("%s: the uuid package reads it as %v, %v", id, other, err)
		}
		if !id.Time().Equal(now.Truncate(time.Millisecond)) {
			t.Fatalf("Time is %v", id.Time())
		}
		if back, err := ParseID(id.String()); err != nil || back != id {
			t.Fatalf("ParseID(%s) = %v, %v", id, back, err)
		}
	}
}

func TestIDsSortByTimeAndDiffer(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var ids []string
	for i := range 2000 {
		ids = append(ids, NewID(start.Add(time.Duration(i)*time.Millisecond)).String())
	}
	if !slices.IsSorted(ids) {
		t.Error("ids made one after another don't sort so")
	}
	seen := map[ID]bool{}
	for range 10000 {
		id := NewID(start)
		if seen[id] {
			t.Fatalf("%s came twice", id)
		}
		seen[id] = true
	}
}

// Every random bit must take both values, or the id has less entropy than it says.
func TestIDRandomBits(t *testing.T) {
	now := time.Unix(0, 0)
	or, and := NewID(now), NewID(now)
	for range 2000 {
		id := NewID(now)
		for i := range id {
			or[i] |= id[i]
			and[i] &= id[i]
		}
	}
	varying := 0
	for i := range or {
		for bit := or[i] &^ and[i]; bit != 0; bit &= bit - 1 {
			varying++
		}
	}
	if varying != 74 {
		t.Errorf("%d bits vary, want 74", varying)
	}
}

func TestParseIDRefuses(t *testing.T) {
	good := "01890a5d-ac96-774b-bcce-b302099a8057"
	if _, err := ParseID(good); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		"", good[1:], good + "0", strings.ToUpper(good), "{" + good + "}", "urn:uuid:" + good,
		strings.ReplaceAll(good, "-", ""), strings.Replace(good, "-", "_", 1), "g" + good[1:], good[:35] + "G",
		"01890a5da-c96-774b-bcce-b302099a8057", good[:35] + "\n", good[:35] + "\x00",
	} {
		if id, err := ParseID(bad); err == nil || !id.IsZero() {
			t.Errorf("ParseID(%q) = %v, %v", bad, id, err)
		}
	}
}

func TestIDText(t *testing.T) {
	id := NewID(time.Now())
	text, err := id.MarshalText()
	if err != nil || string(text) != id.String() {
		t.Fatalf("MarshalText = %s, %v", text, err)
	}
	var back ID
	if err := back.UnmarshalText(text); err != nil || back != id {
		t.Fatalf("UnmarshalText = %v, %v", back, err)
	}
	if err := back.UnmarshalText(bytes.ToUpper(text)); err == nil && !bytes.Equal(text, bytes.ToUpper(text)) {
		t.Error("UnmarshalText took upper case")
	}
	if back != id {
		t.Error("a refused text changed the id")
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("01890a5d-ac96-774b-bcce-b302099a8057")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := ParseID(s); err == nil && id.String() != s {
			t.Errorf("%q was read as %s", s, id)
		}
	})
}

func BenchmarkNewID(b *testing.B) {
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		NewID(now)
	}
}
