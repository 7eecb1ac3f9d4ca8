package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// serveYardsticks serves what Gatehouse is measured against: hello, which does
// nothing, and mint, a token endpoint that stores nothing. mint parses the form
// and the credentials, compares a SHA-256 in memory and signs an Ed25519 JWT.
func serveYardsticks() error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	known := sha256.Sum256([]byte("secret"))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("hello\n"))
	})
	mux.HandleFunc("POST /mint", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.PostForm.Get("grant_type") != "client_credentials" {
			http.Error(w, "invalid_request", http.StatusBadRequest)
			return
		}
		id, secret, ok := r.BasicAuth()
		if id, err := url.QueryUnescape(id); err != nil || !ok || id == "" {
			http.Error(w, "invalid_client", http.StatusUnauthorized)
			return
		}
		// Any secret is let through after the comparison: what is measured is its cost.
		sum := sha256.Sum256([]byte(secret))
		_ = subtle.ConstantTimeCompare(sum[:], known[:])
		now := time.Now()
		token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
			"iss": "http://" + r.Host, "sub": id, "aud": "http://" + r.Host, "client_id": id, "scope": "read write",
			"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": rand.Text(),
		})
		token.Header["kid"] = "yardstick"
		signed, err := token.SignedString(key)
		if err != nil {
			http.Error(w, "server_error", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"access_token": signed, "token_type": "Bearer", "expires_in": 3600, "scope": strings.Join([]string{"read", "write"}, " "),
		})
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", listener.Addr())
	return (&http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}).Serve(listener)
}
