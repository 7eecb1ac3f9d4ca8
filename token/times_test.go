package token

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

func TestReadTimes(t *testing.T) {
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0) }
	for claims, want := range map[string]Times{
		`{}`:                                {},
		`{"sub":"a","n":[1,{"exp":"x"}]}`:   {},
		`{"exp":1780318800}`:                {ExpiresAt: at(1780318800)},
		`{"iat":1,"nbf":2,"exp":3,"Exp":9}`: {IssuedAt: at(1), NotBefore: at(2), ExpiresAt: at(3)},
		`{"exp":0}`:                         {ExpiresAt: at(0)},
		`{"exp":1e9}`:                       {ExpiresAt: at(1_000_000_000)},
		`{"exp":1.5}`:                       {ExpiresAt: time.Unix(1, 500_000_000)},
		`{"exp":253402300799}`:              {ExpiresAt: at(endOfTime)},
	} {
		got, err := ReadTimes(jsontext.Value(claims))
		if err != nil || !got.IssuedAt.Equal(want.IssuedAt) || !got.NotBefore.Equal(want.NotBefore) || !got.ExpiresAt.Equal(want.ExpiresAt) {
			t.Errorf("%s: %+v, %v", claims, got, err)
		}
	}
	for _, value := range []string{
		`"1780318800"`, `null`, `true`, `[1]`, `{}`, `1e400`, `-1e400`, `1e308`, `-1`, `-0`, `-0.0`, `-1e-9`,
		`253402300800`, `253402300799.5`, `9223372036854775807`, `9223372036854775808`, `99999999999999999999999`, `01`, `+1`, `1.`, `.5`, `0x10`, `NaN`, `Infinity`, ``,
	} {
		for _, name := range []string{"iat", "nbf", "exp"} {
			claims := `{"sub":"a","` + name + `":` + value + `}`
			if got, err := ReadTimes(jsontext.Value(claims)); !errors.Is(err, ErrMalformed) || got != (Times{}) {
				t.Errorf("%s: %+v, %v", claims, got, err)
			}
		}
	}
	for _, claims := range []string{``, `null`, `[]`, `7`, `{"exp":1,"exp":2}`, `{"exp":1}{}`, `{"exp":1`} {
		if _, err := ReadTimes(jsontext.Value(claims)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", claims, err)
		}
	}
}

func TestCheckTimes(t *testing.T) {
	for name, c := range map[string]struct {
		times Times
		want  error
	}{
		"none at all":              {Times{}, nil},
		"expires in a nanosecond":  {Times{ExpiresAt: noon.Add(1)}, nil},
		"expires now":              {Times{ExpiresAt: noon}, ErrExpired},
		"expired a second ago":     {Times{ExpiresAt: noon.Add(-time.Second)}, ErrExpired},
		"expires at the epoch":     {Times{ExpiresAt: time.Unix(0, 0)}, ErrExpired},
		"issued 10 s ahead":        {Times{IssuedAt: noon.Add(10 * time.Second)}, nil},
		"issued 11 s ahead":        {Times{IssuedAt: noon.Add(11 * time.Second)}, ErrNotYet},
		"issued 60 s ahead":        {Times{IssuedAt: noon.Add(time.Minute)}, ErrNotYet},
		"valid from 10 s ahead":    {Times{NotBefore: noon.Add(10 * time.Second)}, nil},
		"valid from 11 s ahead":    {Times{NotBefore: noon.Add(11 * time.Second)}, ErrNotYet},
		"expired and issued ahead": {Times{IssuedAt: noon.Add(time.Hour), ExpiresAt: noon.Add(-time.Hour)}, ErrExpired},
	} {
		if err := c.times.Check(noon, ClockSkew); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func FuzzReadTimes(f *testing.F) {
	f.Add([]byte(`{"iat":1,"nbf":2.5,"exp":1e9}`))
	f.Add([]byte(`{"exp":1e400}`))
	f.Add([]byte(`{"exp":"1"}`))
	f.Fuzz(func(t *testing.T, claims []byte) {
		got, err := ReadTimes(claims)
		if err != nil {
			if got != (Times{}) {
				t.Fatal("times beside an error")
			}
			return
		}
		// The same numbers by the library's own conversion.
		var read struct {
			IssuedAt  *float64 `json:"iat"`
			NotBefore *float64 `json:"nbf"`
			ExpiresAt *float64 `json:"exp"`
		}
		if err := json.Unmarshal(claims, &read); err != nil {
			t.Fatalf("%s: %v", claims, err)
		}
		for _, pair := range []struct {
			seconds *float64
			at      time.Time
		}{{read.IssuedAt, got.IssuedAt}, {read.NotBefore, got.NotBefore}, {read.ExpiresAt, got.ExpiresAt}} {
			if (pair.seconds == nil) != pair.at.IsZero() {
				t.Fatalf("%s: absent and present are mixed up", claims)
			}
			if pair.seconds != nil && (*pair.seconds < 0 || math.Abs(float64(pair.at.UnixNano()/1000)/1e6-*pair.seconds) > 1e-3) && *pair.seconds < 9e9 {
				t.Fatalf("%s: %v became %v", claims, *pair.seconds, pair.at)
			}
		}
	})
}
