package sqlite

import (
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/clientjson"
)

// FuzzClientBody: what is read of a client's JSON is written again as the same
// client, and damaged JSON is an error.
func FuzzClientBody(f *testing.F) {
	c := newClient("one")
	c.Fields, c.MaxTTL = map[string]string{"owner.id": "organisation-1"}, 48*time.Hour
	text, err := clientjson.Marshal(c)
	must(f, err)
	f.Add(text)
	f.Add(`{"ids":{},"secrets":[{"id":"not an id"}]}`)
	f.Add(`{"state":"enabled","state":"deleted"}`)
	f.Fuzz(func(t *testing.T, text string) {
		read, err := clientjson.Unmarshal("one", 1, text)
		if err != nil {
			if read != nil {
				t.Fatal("a client beside an error")
			}
			return
		}
		once, err := clientjson.Marshal(read)
		must(t, err)
		again, err := clientjson.Unmarshal("one", 1, once)
		must(t, err)
		twice, err := clientjson.Marshal(again)
		must(t, err)
		if once != twice {
			t.Fatalf("%s\n%s", once, twice)
		}
	})
}
