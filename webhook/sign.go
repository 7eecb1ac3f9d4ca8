package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// The form of secrets and signatures (Standard Webhooks, "Signature scheme").
const (
	secretPrefix = "whsec_"
	secretBytes  = 32
)

func newSecret() secret.Text {
	b := make([]byte, secretBytes)
	_, _ = rand.Read(b)
	return secret.New(secretPrefix + base64.StdEncoding.EncodeToString(b))
}

// sign is the value of webhook-signature: one signature for each secret, so
// that a receiver may have either while they are rotated.
func sign(secrets []secret.Text, id string, at time.Time, body []byte) (string, error) {
	var all []string
	for _, s := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.Reveal(), secretPrefix))
		if err != nil {
			return "", err
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		mac.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(all, " "), nil
}
