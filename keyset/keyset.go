// Package keyset reads the public keys of another issuer: a JSON Web Key Set
// (RFC 7517) from one address or file that an operator has named. Nothing that
// a token says makes it read anything else.
package keyset

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/gatehouse-auth/gatehouse/token"
)

const (
	// readAgain is how old keys may be before they are read again, beside use.
	readAgain = 10 * time.Minute
	// readNotBefore keeps tokens with made-up key ids, and a source that fails,
	// from making more than one reading in this time.
	readNotBefore = 30 * time.Second
	// firstNotBefore is the same while there are no keys at all.
	firstNotBefore = 2 * time.Second
	// tooOld is when keys whose source fails are trusted no more: their issuer
	// may have taken one back.
	tooOld = 24 * time.Hour

	readTimeout = 5 * time.Second
	waitTimeout = 3 * time.Second // what a validation waits for a reading
	maxSize     = 256 << 10
	maxKeys     = 50
)

// Config says where keys are and what they are for.
type Config struct {
	URL         string // https, or http on loopback
	File        string // in place of URL
	Environment string
	Algorithms  []token.Algorithm // those that are taken; nil is all that we have
	Now         func() time.Time  // nil is time.Now
	Logger      *slog.Logger      // nil: none
	Client      *http.Client      // nil: one that follows no redirect and keeps its own time
}

// A Set is the keys of one issuer. It is safe for concurrent use.
type Set struct {
	cfg Config

	mu      sync.Mutex
	ring    *token.Ring
	err     error         // of the last reading
	read    time.Time     // when ring was read
	tried   time.Time     // when the last reading began
	reading chan struct{} // closed when the one under way ends; nil: none is
}

// New makes a Set. It reads nothing yet.
func New(cfg Config) *Set {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{
			Timeout:       readTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	if cfg.Algorithms == nil {
		cfg.Algorithms = []token.Algorithm{token.EdDSA, token.ES256, token.RS256}
	}
	return &Set{cfg: cfg}
}

// Keys returns the keys as they were last read. Only where there are none yet,
// where they are too old, or where newer asks for another reading, does it wait
// for one.
func (s *Set) Keys(ctx context.Context, newer bool) (*token.Ring, error) {
	now := s.cfg.Now()
	s.mu.Lock()
	usable := s.ring != nil && now.Sub(s.read) < tooOld
	since, least := now.Sub(s.tried), readNotBefore
	if !usable {
		least = firstNotBefore
	}
	due := !usable || newer || now.Sub(s.read) >= readAgain
	if due && s.reading == nil && (s.tried.IsZero() || since >= least || since < 0) {
		s.tried, s.reading = now, make(chan struct{})
		go s.readNow(now, s.reading)
	}
	reading := s.reading
	s.mu.Unlock()
	if reading != nil && (!usable || newer) {
		patience := time.NewTimer(waitTimeout)
		defer patience.Stop()
		select {
		case <-reading:
		case <-patience.C:
		case <-ctx.Done():
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ring != nil && now.Sub(s.read) < tooOld:
		return s.ring, nil
	case s.err != nil:
		return nil, s.err
	}
	return nil, errors.New("they have not been read yet")
}

// readNow reads the keys, and keeps the old ones where that fails.
func (s *Set) readNow(now time.Time, done chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	body, err := s.fetch(ctx)
	var ring *token.Ring
	if err == nil {
		ring, err = s.parse(body)
	}
	if err != nil {
		s.cfg.Logger.Warn("an old issuer's keys can't be read; it will be tried again", "from", s.from(), "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err = err; err == nil {
		s.ring, s.read = ring, now
	}
	s.reading = nil
	close(done)
}

func (s *Set) from() string {
	if s.cfg.File != "" {
		return s.cfg.File
	}
	return s.cfg.URL
}

func (s *Set) fetch(ctx context.Context) ([]byte, error) {
	if s.cfg.File != "" {
		f, err := os.Open(s.cfg.File)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return limited(f)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.cfg.URL, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	res, err := s.cfg.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s; a key set is asked for, and no redirect is followed", s.cfg.URL, res.Status)
	}
	return limited(res.Body)
}

func limited(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err == nil && len(body) > maxSize {
		err = fmt.Errorf("the key set is larger than %d KiB", maxSize>>10)
	}
	return body, err
}

// parse takes the keys that are sound and of an algorithm that is taken. The
// others are left out: a set may hold keys for encryption, or for readers that
// know more algorithms.
func (s *Set) parse(body []byte) (*token.Ring, error) {
	var set struct {
		Keys []jsontext.Value `json:"keys"`
		Rest jsontext.Value   `json:",unknown"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, errors.New("not a JSON Web Key Set (RFC 7517)")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("the key set has more than %d keys", maxKeys)
	}
	var keys []*token.Key
	var left error
	for i, raw := range set.Keys {
		k, err := s.key(raw, i)
		if err == nil {
			_, err = token.NewRing(append(slices.Clone(keys), k)) // by itself sound, and neither its id nor itself there already
		}
		if err != nil {
			left = errors.Join(left, fmt.Errorf("key %d: %w", i+1, err))
			continue
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.Join(fmt.Errorf("none of the %d keys can be used", len(set.Keys)), left)
	}
	if left != nil {
		s.cfg.Logger.Info("some of an old issuer's keys are left out", "from", s.from(), "reasons", left.Error())
	}
	ring, err := token.NewRing(keys)
	if err != nil {
		return nil, err
	}
	return ring.TakingUnnamed(), nil
}

func (s *Set) key(raw jsontext.Value, index int) (*token.Key, error) {
	var k jose.JSONWebKey
	if err := k.UnmarshalJSON(raw); err != nil {
		return nil, errors.New("of a kind that isn't known")
	}
	switch {
	case !k.Valid():
		return nil, errors.New("not valid")
	case !k.IsPublic():
		return nil, errors.New("a secret or private key, which nobody may publish")
	case k.Use != "" && k.Use != "sig":
		return nil, fmt.Errorf("for %q and not for signatures", k.Use)
	}
	alg := token.Algorithm(k.Algorithm)
	if alg == "" {
		alg = algorithmOf(k.Key)
	}
	if !alg.Valid() || !slices.Contains(s.cfg.Algorithms, alg) {
		return nil, fmt.Errorf("its algorithm %q is not taken", string(alg))
	}
	if k.KeyID == "" {
		k.KeyID = "unnamed-" + strconv.Itoa(index+1)
	}
	return &token.Key{ID: k.KeyID, Public: k.Key, Realm: token.Realm{Environment: s.cfg.Environment, Format: "old issuer", Algorithm: alg}}, nil
}

// algorithmOf is what a key that names no algorithm is for.
func algorithmOf(public crypto.PublicKey) token.Algorithm {
	switch public.(type) {
	case ed25519.PublicKey:
		return token.EdDSA
	case *ecdsa.PublicKey:
		return token.ES256
	case *rsa.PublicKey:
		return token.RS256
	}
	return ""
}
