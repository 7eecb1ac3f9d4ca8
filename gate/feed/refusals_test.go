package feed

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/token"
)

func FuzzRefusals(f *testing.F) {
	good, err := MarshalRefusals([]gatehouse.Refusal{{
		ID: "01a20733-900a-7629-ae30-8f1fceed0559", At: time.Unix(1_700_000_000, 0).UTC(), Route: "gate", Status: 401, Addr: netip.MustParseAddr("192.0.2.1"),
		Code: gatehouse.InvalidToken, Reason: gatehouse.ReasonRevoked, Client: "acme", Token: token.NewID(time.Unix(1_700_000_000, 0)),
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`[]`))
	f.Add([]byte(`[{"request_id":"a","request_id":"b"}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := UnmarshalRefusals(b)
		if err != nil {
			return
		}
		if len(list) > MaxRefusals {
			t.Fatalf("%d refusals were read", len(list))
		}
		written, err := MarshalRefusals(list)
		if err != nil {
			return // a time that RFC 3339 can't write
		}
		again, err := UnmarshalRefusals(written)
		if err != nil {
			t.Fatal(err)
		}
		if twice, err := MarshalRefusals(again); err != nil || !bytes.Equal(written, twice) {
			t.Errorf("%s became %s (%v)", written, twice, err)
		}
	})
}
