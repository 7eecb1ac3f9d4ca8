package bearer_test

import (
	"context"
	"fmt"
	"testing"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

func sprint(format string, v any) string { return fmt.Sprintf(format, v) }

// The cached token, here and in x/oauth2, alone and with 64 goroutines.
func BenchmarkToken(b *testing.B) {
	f := newFake("oauth2")
	s := newSource(b, configFor(b, "oauth2", serve(b, f)))
	ctx := context.Background()
	if _, err := s.Token(ctx); err != nil {
		b.Fatal(err)
	}
	yardstick := (&clientcredentials.Config{
		ClientID: fakeID, ClientSecret: fakeSecret, TokenURL: serve(b, f) + "/oauth2/token", AuthStyle: oauth2.AuthStyleInHeader,
	}).TokenSource(ctx)
	if _, err := yardstick.Token(); err != nil {
		b.Fatal(err)
	}
	for name, get := range map[string]func() error{
		"bearer":           func() error { _, err := s.Token(ctx); return err },
		"ReuseTokenSource": func() error { _, err := yardstick.Token(); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := get(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/64", func(b *testing.B) {
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := get(); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// A token at hand costs no allocation.
func TestTokenAllocates(t *testing.T) {
	s := newSource(t, configFor(t, "dogpay", serve(t, newFake("dogpay"))))
	if n := testing.AllocsPerRun(100, func() { _, _ = s.Token(context.Background()) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
