package bearer_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/bearer"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// Each contract: a token is obtained in the vendor's words, used on the
// vendor's API, and kept.
func TestContracts(t *testing.T) {
	for name := range contracts {
		t.Run(name, func(t *testing.T) {
			f := newFake(name)
			url := serve(t, f)
			s := newSource(t, configFor(t, name, url))
			base := http.DefaultTransport.(*http.Transport).Clone()
			defer base.CloseIdleConnections()
			client := &http.Client{Transport: &bearer.Transport{Source: s, Base: base}}
			for range 5 {
				resp, err := client.Post(url+"/data/x", "application/json", nil)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != 200 {
					t.Fatalf("the API answered %s", resp.Status)
				}
			}
			if n := f.count(""); n != 1 {
				t.Errorf("%d visits to the token endpoint, want 1", n)
			}
			tok, err := s.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			left := time.Until(tok.ExpiresAt)
			if f.life == 0 && !tok.ExpiresAt.IsZero() || f.life > 0 && (left > f.life || left < f.life-65*time.Second) {
				t.Errorf("it ends in %v, want %v", left, f.life)
			}
		})
	}
}

// 200 callers at once make one request, and get one token.
func TestOneFlight(t *testing.T) {
	f := newFake("dogpay")
	f.slow = 50 * time.Millisecond
	s := newSource(t, configFor(t, "dogpay", serve(t, f)))
	var wg sync.WaitGroup
	tokens := make([]*bearer.Token, 200)
	start := make(chan struct{})
	for i := range tokens {
		wg.Go(func() {
			<-start
			tok, err := s.Token(t.Context())
			if err != nil {
				t.Error(err)
			}
			tokens[i] = tok
		})
	}
	close(start)
	wg.Wait()
	for _, tok := range tokens {
		if tok != tokens[0] {
			t.Fatal("the callers got different tokens")
		}
	}
	if n := f.count(""); n != 1 {
		t.Errorf("%d visits to the token endpoint, want 1", n)
	}
}

// A caller gives up by its context, at once; the visit goes on for the rest.
func TestGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("dogpay")
		f.slow = 10 * time.Second
		c, _ := inBubble(t, "dogpay", f)
		s := newSource(t, c)
		defer s.Close()
		first, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		patient := make(chan error)
		go func() {
			time.Sleep(500 * time.Millisecond)
			_, err := s.Token(t.Context())
			patient <- err
		}()
		began := time.Now()
		if _, err := s.Token(first); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("after %v: %v, want the deadline after 1s", time.Since(began), err)
		}
		if err := <-patient; err != nil || f.count("") != 1 {
			t.Errorf("the patient caller: %v, after %d visits", err, f.count(""))
		}
	})
}

// Renewal starts at a share of the life, jittered, and nobody waits for it.
func TestRenewalIsEarly(t *testing.T) {
	for _, tc := range []struct{ life, earliest, latest time.Duration }{
		{2 * time.Hour, 10 * time.Minute, 5 * time.Minute},
		{6 * time.Second, 1500 * time.Millisecond, 600 * time.Millisecond},
		{15 * time.Minute, 90 * time.Second, 30 * time.Second},
		{24 * time.Hour, 2 * time.Hour, time.Hour},
	} {
		t.Run(tc.life.String(), func(t *testing.T) {
			seen := map[time.Duration]bool{}
			for range 10 {
				synctest.Test(t, func(t *testing.T) {
					f := newFake("dogpay")
					f.life = tc.life
					c, _ := inBubble(t, "dogpay", f)
					s := newSource(t, c)
					defer s.Close()
					began := time.Now()
					if _, err := s.Token(t.Context()); err != nil {
						t.Fatal(err)
					}
					time.Sleep(tc.life)
					synctest.Wait()
					if f.count("") != 2 {
						t.Fatalf("%d visits, want 2: the renewal comes by itself, once", f.count(""))
					}
					before := tc.life - f.visits[1].at.Sub(began)
					if before > tc.earliest || before < tc.latest {
						t.Errorf("renewed %v before the end, want between %v and %v", before, tc.latest, tc.earliest)
					}
					seen[before] = true
				})
			}
			if len(seen) < 5 {
				t.Errorf("only %d different moments in 10 runs: no jitter", len(seen))
			}
		})
	}
}

// A token that nobody uses is let go, and the next caller gets a new one.
func TestUnusedTokensAreLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("dogpay")
		c, _ := inBubble(t, "dogpay", f)
		s := newSource(t, c)
		defer s.Close()
		if _, err := s.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(240 * time.Hour)
		if n := f.count(""); n != 2 { // the first was used, its successor wasn't
			t.Errorf("%d visits in ten idle days, want 2", n)
		}
		tok, err := s.Token(t.Context())
		if err != nil || !time.Now().Before(tok.ExpiresAt) {
			t.Errorf("after the pause: %v, a token that ends %v", err, tok.ExpiresAt)
		}
	})
}

// By refresh token where there is one, and by the credentials when that fails.
func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("quidkey")
		c, _ := inBubble(t, "quidkey", f)
		s := newSource(t, c)
		defer s.Close()
		use := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Second) {
				tok, err := s.Token(t.Context())
				if err != nil || !time.Now().Before(tok.ExpiresAt) {
					t.Fatalf("%v, a token that ends %v", err, tok.ExpiresAt)
				}
			}
		}
		use(time.Hour)
		if f.count("issue") != 1 || f.count("refresh") != 4 {
			t.Fatalf("in an hour %d issued, %d refreshed: want 1 and 4", f.count("issue"), f.count("refresh"))
		}
		f.set(func(f *fake) { clear(f.refreshes) })
		use(20 * time.Minute)
		if f.count("issue") != 2 {
			t.Errorf("%d issued after the refresh token was refused, want 2", f.count("issue"))
		}
		// The refresh token's own end is known: it isn't tried after it.
		use(51 * time.Hour)
		if n := f.count("issue"); n != 4 {
			t.Errorf("%d issued after two more refresh lives, want 4", n)
		}
	})
}

// While the old token lives, its users notice nothing of a dead endpoint.
func TestFailuresBehindALiveToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("dogpay")
		c, _ := inBubble(t, "dogpay", f)
		s := newSource(t, c)
		defer s.Close()
		if _, err := s.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.set(func(f *fake) {
			f.answer = func(w http.ResponseWriter) bool { send(w, 503, `{}`); return true }
		})
		time.Sleep(f.life - 10*time.Minute)
		for range 590 { // until the last seconds
			time.Sleep(time.Second)
			began := time.Now()
			if _, err := s.Token(t.Context()); err != nil || time.Since(began) > 0 {
				t.Fatalf("a caller waited %v and got %v", time.Since(began), err)
			}
		}
		if n := f.count(""); n < 5 || n > 40 {
			t.Errorf("%d visits while the endpoint failed", n)
		}
		f.set(func(f *fake) { f.answer = nil })
		time.Sleep(time.Minute)
		if tok, err := s.Token(t.Context()); err != nil || time.Until(tok.ExpiresAt) < time.Hour {
			t.Errorf("after it was well again: %v", err)
		}
	})
}

// 200 callers that never stop asking make at most 10 visits in 30 s.
func TestEndpointDown(t *testing.T) {
	for range 5 {
		synctest.Test(t, func(t *testing.T) {
			f := newFake("dogpay")
			f.answer = func(w http.ResponseWriter) bool { send(w, 503, `{}`); return true }
			c, _ := inBubble(t, "dogpay", f)
			s := newSource(t, c)
			defer s.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			var wg sync.WaitGroup
			for range 200 {
				wg.Go(func() {
					for ctx.Err() == nil {
						_, err := s.Token(ctx)
						var failed *bearer.Error
						if ctx.Err() == nil && (!errors.As(err, &failed) || failed.Refused) {
							t.Errorf("got %v", err)
						}
						time.Sleep(10 * time.Millisecond)
					}
				})
			}
			wg.Wait()
			if n := f.count(""); n > 10 || n < 4 {
				t.Errorf("%d visits in 30 s, want 4 to 10", n)
			}
			f.set(func(f *fake) { f.answer = nil })
			time.Sleep(longestPause)
			if _, err := s.Token(t.Context()); err != nil {
				t.Errorf("after it came back: %v", err)
			}
		})
	}
}

const longestPause = 40 * time.Second

// A fault that is over in a moment costs its callers a moment.
func TestShortFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("dogpay")
		faults := 2
		f.answer = func(w http.ResponseWriter) bool {
			faults--
			if faults >= 0 {
				send(w, 502, "<html>bad gateway</html>")
			}
			return faults >= 0
		}
		c, _ := inBubble(t, "dogpay", f)
		s := newSource(t, c)
		defer s.Close()
		began := time.Now()
		if _, err := s.Token(t.Context()); err != nil || time.Since(began) > 2*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("dogpay")
		f.answer = func(w http.ResponseWriter) bool {
			w.Header().Set("Retry-After", "100")
			send(w, 429, `{"code":42900,"message":"slow down"}`)
			return true
		}
		c, _ := inBubble(t, "dogpay", f)
		s := newSource(t, c)
		defer s.Close()
		for range 99 {
			_, err := s.Token(t.Context())
			var failed *bearer.Error
			if !errors.As(err, &failed) || failed.Refused {
				t.Fatalf("got %v", err)
			}
			time.Sleep(time.Second)
		}
		if n := f.count(""); n != 1 {
			t.Errorf("%d visits before the time that the endpoint named, want 1", n)
		}
		f.set(func(f *fake) { f.answer = nil })
		time.Sleep(2 * time.Second)
		if _, err := s.Token(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Refused credentials are not tried again for 30 s.
func TestRefusedCredentials(t *testing.T) {
	for name := range contracts {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(name)
				c, _ := inBubble(t, name, f)
				c.ClientSecret = secret.New("wrong")
				s := newSource(t, c)
				defer s.Close()
				for range 29 {
					_, err := s.Token(t.Context())
					var failed *bearer.Error
					var refusal *dialect.Refusal
					if !errors.As(err, &failed) || !failed.Refused || !errors.As(err, &refusal) || refusal.Status != 401 {
						t.Fatalf("got %v, want a refusal", err)
					}
					time.Sleep(time.Second)
				}
				if n := f.count(""); n != 1 {
					t.Fatalf("%d visits in 29 s, want 1", n)
				}
				time.Sleep(2 * time.Second)
				_, _ = s.Token(t.Context())
				if n := f.count(""); n != 2 {
					t.Errorf("%d visits after 31 s, want 2", n)
				}
			})
		})
	}
}

// Clocks may differ by any amount; nothing that has ended is handed out.
func TestClockSkew(t *testing.T) {
	for _, name := range []string{"papaya", "dogpay"} {
		for _, skew := range []time.Duration{-10 * time.Minute, 10 * time.Minute, 48 * time.Hour, -48 * time.Hour} {
			for _, life := range []time.Duration{6 * time.Second, 5 * time.Minute, 24 * time.Hour} {
				t.Run(name+" "+skew.String()+" "+life.String(), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						f := newFake(name)
						f.skew, f.life = skew, life
						c, transport := inBubble(t, name, f)
						s := newSource(t, c)
						defer s.Close()
						transport.Source = s
						for range 200 {
							r, _ := http.NewRequestWithContext(t.Context(), "GET", "https://vendor.example/data/x", nil)
							resp, err := transport.RoundTrip(r)
							if err != nil || resp.StatusCode != 200 {
								t.Fatalf("%v %v", resp, err)
							}
							time.Sleep(life / 50)
						}
						if f.refused > 0 || f.count("") < 4 || f.count("") > 12 {
							t.Errorf("%d calls refused, %d visits over four lives", f.refused, f.count(""))
						}
					})
				})
			}
		}
	}
}

// An answer that cuts the end to the minute takes nothing from a token's life
// that the token itself has, at whichever second it is given.
func TestEndCutToTheMinute(t *testing.T) {
	for second := range 60 {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Duration(second) * time.Second)
			f := newFake("papaya")
			f.life = 6 * time.Second
			c, _ := inBubble(t, "papaya", f)
			s := newSource(t, c)
			defer s.Close()
			if left := time.Until(token(t, s).ExpiresAt); left < 5*time.Second || left > 6*time.Second {
				t.Errorf("at second %d: a token of 6 s has %v", second, left)
			}
		})
	}
}

// A token without life left is an error, not a token.
func TestDeadOnArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("papaya")
		f.life = -time.Hour
		c, _ := inBubble(t, "papaya", f)
		s := newSource(t, c)
		defer s.Close()
		if tok, err := s.Token(t.Context()); err == nil {
			t.Errorf("got a token that ends %v", tok.ExpiresAt)
		}
	})
}

// An access code is exchanged once; what is obtained is never asked for again.
func TestSpentCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("dapi")
		c, transport := inBubble(t, "dapi", f)
		s := newSource(t, c)
		defer s.Close()
		transport.Source = s
		if _, err := s.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1000 * time.Hour)
		f.set(func(f *fake) { f.always401 = true })
		r, _ := http.NewRequestWithContext(t.Context(), "POST", "https://vendor.example/data/x", nil)
		resp, err := transport.RoundTrip(r)
		if err != nil || resp.StatusCode != 401 {
			t.Errorf("%v %v, want the API's own 401", resp, err)
		}
		_, err = s.Token(t.Context())
		var failed *bearer.Error
		if !errors.As(err, &failed) || !failed.Refused || f.count("") != 1 {
			t.Errorf("%v after %d visits", err, f.count(""))
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("dogpay")
		f.slow = time.Hour
		c, _ := inBubble(t, "dogpay", f)
		s := newSource(t, c)
		failed := make(chan error)
		go func() {
			_, err := s.Token(t.Context())
			failed <- err
		}()
		synctest.Wait()
		began := time.Now()
		go s.Close()
		if err := <-failed; !errors.Is(err, bearer.ErrClosed) {
			t.Errorf("a waiter got %v", err)
		}
		if d := time.Since(began); d != 5*time.Second {
			t.Errorf("the visit was given up after %v", d)
		}
		if _, err := s.Token(t.Context()); !errors.Is(err, bearer.ErrClosed) {
			t.Errorf("a later caller got %v", err)
		}
		time.Sleep(time.Hour) // the fake's own goroutine
	})
}

// A visit that is nearly done is let done: what it brings may be had only once.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("quidkey")
		f.slow = time.Second
		c, _ := inBubble(t, "quidkey", f)
		s := newSource(t, c)
		got := make(chan error)
		go func() {
			_, err := s.Token(t.Context())
			got <- err
		}()
		synctest.Wait()
		go s.Close()
		if err := <-got; err != nil {
			t.Error(err)
		}
	})
}

// A refresh token whose answer was lost is not used a second time.
func TestRefreshIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("quidkey")
		c, _ := inBubble(t, "quidkey", f)
		s := newSource(t, c)
		defer s.Close()
		if _, err := s.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.set(func(f *fake) {
			f.answer = func(w http.ResponseWriter) bool { send(w, 502, "lost"); f.answer = nil; return true }
		})
		time.Sleep(f.life)
		if f.count("refresh") != 1 || f.count("issue") != 2 {
			t.Errorf("%d refreshed, %d issued: want 1 and 2", f.count("refresh"), f.count("issue"))
		}
	})
}

// A token at hand costs no allocation.
func TestTokenAllocates(t *testing.T) {
	s := newSource(t, configFor(t, "dogpay", serve(t, newFake("dogpay"))))
	if n := testing.AllocsPerRun(100, func() { _, _ = s.Token(context.Background()) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
