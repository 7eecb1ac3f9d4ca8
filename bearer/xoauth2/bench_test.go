package xoauth2_test

import (
	"context"
	"net/http/httptest"
	"testing"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/gatehouse-auth/gatehouse/bearer"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// The cached token, by package bearer and by x/oauth2, alone and with 64
// goroutines.
func BenchmarkToken(b *testing.B) {
	server := httptest.NewServer(endpoint(b))
	defer server.Close()
	ctx := context.Background()
	s, err := bearer.New(bearer.Config{BaseURL: server.URL, ClientID: "bank", ClientSecret: secret.New("s1")})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	other := (&clientcredentials.Config{
		ClientID: "bank", ClientSecret: "s1", TokenURL: server.URL + "/oauth2/token", AuthStyle: oauth2.AuthStyleInHeader,
	}).TokenSource(ctx)
	for _, subject := range []struct {
		name string
		get  func() error
	}{
		{"bearer", func() error { _, err := s.Token(ctx); return err }},
		{"x-oauth2", func() error { _, err := other.Token(); return err }},
	} {
		if err := subject.get(); err != nil {
			b.Fatal(err)
		}
		b.Run(subject.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := subject.get(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(subject.name+"/64", func(b *testing.B) {
			b.SetParallelism(32) // of each of GOMAXPROCS
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := subject.get(); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
