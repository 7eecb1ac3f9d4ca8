package sqlite

import (
	"testing"
	"time"
)

// FuzzClientBody: what is read of a client's JSON is written again as the same
// client, and damaged JSON is an error.
func FuzzClientBody(f *testing.F) {
	c := newClient("one")
	c.Fields, c.MaxTTL = map[string]string{"owner.id": "organisation-1"}, 48*time.Hour
	text, err := marshalClient(c)
	must(f, err)
	f.Add(text)
	f.Add(`{"ids":{},"secrets":[{"id":"not an id"}]}`)
	f.Add(`{"state":"enabled","state":"deleted"}`)
	f.Fuzz(func(t *testing.T, text string) {
		read, err := unmarshalClient("one", 1, text)
		if err != nil {
			if read != nil {
				t.Fatal("a client beside an error")
			}
			return
		}
		once, err := marshalClient(read)
		must(t, err)
		again, err := unmarshalClient("one", 1, once)
		must(t, err)
		twice, err := marshalClient(again)
		must(t, err)
		if once != twice {
			t.Fatalf("%s\n%s", once, twice)
		}
	})
}
