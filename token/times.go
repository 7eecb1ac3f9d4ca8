package token

import (
	"math"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ClockSkew is how far ahead of ours the clock of an issuing node may be.
const ClockSkew = 10 * time.Second

// Times are the registered time claims of a token (RFC 7519 §4.1). A zero time
// is a claim that isn't there; "exp": 0 is not zero but 1970.
type Times struct {
	IssuedAt  time.Time // iat
	NotBefore time.Time // nbf
	ExpiresAt time.Time // exp; absent in a permanent token
}

// ReadTimes reads the times of a JSON object of claims. Each must be a JSON
// number from 0 to the end of year 9999; text, null, negative numbers and what
// overflows are ErrMalformed.
func ReadTimes(claims jsontext.Value) (Times, error) {
	var read claimTimes
	if err := json.Unmarshal(claims, &read); err != nil {
		// The library's error would quote the token.
		return Times{}, malformed("a time claim is not a number of seconds since 1970")
	}
	return Times(read), nil
}

// Check judges t at now. A token may have been issued, or become valid, up to
// skew in the future, because nodes' clocks differ; its expiry is exact.
func (t Times) Check(now time.Time, skew time.Duration) error {
	if reached(t.ExpiresAt, now) {
		return ErrExpired
	}
	if latest := now.Add(skew); t.IssuedAt.After(latest) || t.NotBefore.After(latest) {
		return ErrNotYet
	}
	return nil
}

type claimTimes Times

// UnmarshalJSONFrom reads the three claims and passes over the others.
func (t *claimTimes) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	return readObject(dec, func(name string) error {
		switch name {
		case "iat":
			return readNumericDate(dec, &t.IssuedAt)
		case "nbf":
			return readNumericDate(dec, &t.NotBefore)
		case "exp":
			return readNumericDate(dec, &t.ExpiresAt)
		}
		return dec.SkipValue()
	})
}

// endOfTime is 9999-12-31T23:59:59Z, the last second that RFC 3339 can write.
const endOfTime = 253402300799

// readNumericDate reads a NumericDate (RFC 7519 §2), which may have a fraction.
func readNumericDate(dec *jsontext.Decoder, to *time.Time) error {
	if dec.PeekKind() != '0' {
		return errJSONType
	}
	number, err := dec.ReadValue()
	if err != nil {
		return err
	}
	// Refuses "-0" too, which no writer of times means.
	if number[0] == '-' {
		return errJSONType
	}
	if seconds, err := strconv.ParseInt(string(number), 10, 64); err == nil && seconds <= endOfTime {
		*to = time.Unix(seconds, 0).UTC()
		return nil
	}
	seconds, err := strconv.ParseFloat(string(number), 64)
	if err != nil || seconds > endOfTime {
		return errJSONType
	}
	whole, fraction := math.Modf(seconds)
	*to = time.Unix(int64(whole), int64(fraction*1e9)).UTC()
	return nil
}
