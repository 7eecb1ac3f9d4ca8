package webhook

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// waits are those after each failure of an endpoint, before jitter. After the
// last one it stays.
var waits = []time.Duration{
	5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour,
}

const (
	// attemptTimeout and patience are the limits outside of tests.
	attemptTimeout = 15 * time.Second
	patience       = 3 * 24 * time.Hour
	// doneKept and deadKept are how long a delivery can be looked at and
	// replayed.
	doneKept = 7 * 24 * time.Hour
	deadKept = 30 * 24 * time.Hour
	// longestRetryAfter bounds what an endpoint may ask for, and is longer than any of waits.
	longestRetryAfter = 12 * time.Hour
	// leaseLife is how long an endpoint waits for a node that died. It is longer
	// than a turn and the try that it ends with.
	leaseLife = 30 * time.Second
	// turn bounds how long one endpoint is seen to before the next look.
	turn = 10 * time.Second
)

// errElsewhere: another node sees to the endpoint.
var errElsewhere = errors.New("another node sees to it")

// see delivers what is pending of an endpoint, in order, until there is no more,
// something fails or the turn is over. It returns before when there is no use in
// looking again.
func (s *Sender) see(ctx context.Context, id string) (until time.Time, err error) {
	release, err := s.hold(ctx, id)
	if err != nil {
		return time.Now().Add(s.poll), err
	}
	defer release()
	h, err := s.health(ctx, id)
	if err != nil {
		return time.Time{}, err
	}
	for begun := time.Now(); time.Since(begun) < min(turn, s.lease/3) && ctx.Err() == nil; {
		// Nobody waits for longer than longestRetryAfter: a later time was
		// written by a clock that has been set back since.
		if wait := time.Until(h.NextTry); wait > 0 && wait <= longestRetryAfter {
			return h.NextTry, nil
		}
		ep, err := s.endpoint(ctx, id)
		if err != nil && gatehouse.AsError(err).Code != gatehouse.NotFound {
			return time.Time{}, err
		}
		if err != nil || ep.Disabled {
			return time.Time{}, s.drop(ctx, id)
		}
		head, err := s.head(ctx, id)
		if err != nil || head == nil {
			return time.Time{}, err
		}
		if err := s.deliver(ctx, ep, h, head); err != nil {
			return time.Time{}, err
		}
	}
	return time.Time{}, nil
}

// hold takes an endpoint's lease: a document that is there while somebody holds
// it. Where its holder has died it expires.
func (s *Sender) hold(ctx context.Context, id string) (release func(), err error) {
	mine := rand.Text()
	lease := document(kindLease, id, "", 0, mine)
	lease.ExpiresAt = time.Now().Add(s.lease)
	if s.alone {
		left, err := s.store.Document(ctx, kindLease, id)
		if err == nil {
			lease.Version = left.Version
		} else if !errors.Is(err, gatehouse.ErrNotFound) {
			return nil, err
		}
	}
	err = s.store.Keep(ctx, nil, lease)
	if errors.Is(err, gatehouse.ErrExists) {
		return nil, errElsewhere
	} else if err != nil {
		return nil, err
	}
	return func() {
		// A node that stops lets go, too.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		held, err := s.store.Document(ctx, kindLease, id)
		if err == nil && bytes.Equal(held.Value, lease.Value) {
			_ = s.store.Keep(ctx, nil, gone(kindLease, id, held.Version)) // else it expires
		}
	}, nil
}

func (s *Sender) health(ctx context.Context, id string) (*health, error) {
	doc, err := s.store.Document(ctx, kindHealth, id)
	if errors.Is(err, gatehouse.ErrNotFound) {
		return &health{}, nil
	} else if err != nil {
		return nil, err
	}
	h, err := decode[health](doc)
	if err == nil {
		h.version = doc.Version
	}
	return h, err
}

// head is the oldest delivery that is pending, or nil.
func (s *Sender) head(ctx context.Context, id string) (*delivery, error) {
	list, err := s.list(ctx, kindPending, id, "", 1)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}

func (s *Sender) list(ctx context.Context, kind, endpoint, after string, limit int) ([]*delivery, error) {
	docs, err := s.store.Documents(ctx, kind, endpoint, after, limit)
	if err != nil {
		return nil, err
	}
	list := make([]*delivery, 0, len(docs))
	for i := range docs {
		d, err := decode[delivery](&docs[i])
		if err != nil {
			return nil, err
		}
		d.version = docs[i].Version
		list = append(list, d)
	}
	return list, nil
}

// deliver makes one try, and records what came of it.
func (s *Sender) deliver(ctx context.Context, ep *endpoint, h *health, d *delivery) error {
	d.Tries++
	d.TriedAt = time.Now().UTC()
	var retryAfter time.Duration
	d.Status, retryAfter, d.Error = s.post(ctx, ep, d)
	if ctx.Err() != nil && d.Error != "" {
		return ctx.Err() // stopped in the middle: it doesn't count
	}
	if d.Error == "" {
		return s.delivered(ctx, ep, h, d)
	}
	s.counts.failed.Add(1)
	now := time.Now().UTC()
	h.Failures++
	if h.FailingSince.IsZero() {
		h.FailingSince = now
		s.log.Warn("a webhook's endpoint does not take its messages", "webhook", ep.ID, "client", ep.Client, "error", d.Error)
	}
	h.LastError = d.Error
	h.NextTry = now.Add(max(jittered(s.waits[min(h.Failures, len(s.waits))-1]), retryAfter))
	if d.Status == http.StatusGone {
		return s.refusedForGood(ctx, ep, h)
	}
	if now.Sub(d.QueuedAt) >= s.limit.patience {
		return s.bury(ctx, ep, h, d)
	}
	if err := s.store.Keep(ctx, nil, h.document(ep.ID), d.pending(ep.ID)); err != nil {
		return err
	}
	h.version++
	return nil
}

func (s *Sender) delivered(ctx context.Context, ep *endpoint, h *health, d *delivery) error {
	s.counts.delivered.Add(1)
	done := document(kindDone, doneKey(ep.ID, d.Seq), ep.ID, 0, d)
	done.ExpiresAt = time.Now().Add(doneKept)
	if before, err := s.store.Document(ctx, kindDone, done.Key); err == nil {
		done.Version = before.Version // it was replayed
	} else if !errors.Is(err, gatehouse.ErrNotFound) {
		return err
	}
	docs := []gatehouse.Document{gone(kindPending, deliveryKey(ep.ID, d.Seq), d.version), done}
	if h.Failures > 0 {
		s.log.Info("a webhook's endpoint takes its messages again", "webhook", ep.ID, "client", ep.Client)
		*h = health{version: h.version}
		docs = append(docs, h.document(ep.ID))
		defer func() { h.version++ }()
	}
	return s.store.Keep(ctx, nil, docs...)
}

// jittered is a wait give or take a fifth, so that endpoints that failed
// together don't come back together.
func jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*mathrand.Float64()))
}

// maxAnswer is how much of an answer is read: nothing in it matters.
const maxAnswer = 8 << 10

// post sends a message, and returns what is wrong with the answer, "" for
// nothing: any 2xx is good.
func (s *Sender) post(ctx context.Context, ep *endpoint, d *delivery) (status int, retryAfter time.Duration, problem string) {
	u, err := url.Parse(ep.URL)
	if err != nil {
		return 0, 0, "the URL can't be read"
	}
	secrets, err := s.liveSecrets(ep)
	if err != nil {
		s.log.Error("a webhook's secret can't be opened", "webhook", ep.ID, "error", err)
		return 0, 0, "the message can't be signed: see the server's log"
	}
	ctx, cancel := context.WithTimeout(ctx, s.limit.attempt)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, ep.URL, bytes.NewReader([]byte(d.Body)))
	if err != nil {
		return 0, 0, "the URL can't be read"
	}
	signature, err := sign(secrets, d.ID, d.TriedAt, []byte(d.Body))
	if err != nil {
		return 0, 0, "the message can't be signed"
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", s.agent)
	req.Header.Set("webhook-id", d.ID)
	req.Header.Set("webhook-timestamp", strconv.FormatInt(d.TriedAt.Unix(), 10))
	req.Header.Set("webhook-signature", signature)
	resp, err := s.http[u.Scheme].Do(req)
	if err != nil {
		return 0, 0, fmt.Sprintf("%.300s", withoutURL(err).Error())
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp.StatusCode, 0, ""
	}
	problem = "the endpoint answered " + strconv.Itoa(resp.StatusCode)
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		problem += ": redirects are not followed; register the URL where it leads"
	}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
		retryAfter = min(time.Duration(min(n, 1<<20))*time.Second, longestRetryAfter)
	}
	return resp.StatusCode, retryAfter, problem
}

const sealedSecret = "webhook secret"

// liveSecrets are those that a message is signed with, the newest first.
func (s *Sender) liveSecrets(ep *endpoint) (live []secret.Text, err error) {
	for _, k := range ep.Secrets {
		if !k.ExpiresAt.IsZero() && !time.Now().Before(k.ExpiresAt) {
			continue
		}
		plain, err := s.sealer.Open(sealedSecret, k.Sealed)
		if err != nil {
			return nil, err
		}
		live = append(live, secret.New(string(plain)))
	}
	return live, nil
}
