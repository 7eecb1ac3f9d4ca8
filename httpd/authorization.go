package httpd

import (
	"encoding/base64"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// clientProof reads the client's credentials by RFC 6749 §2.3.1: Basic or the
// body, never both, even when equal. A client_id beside Basic is no second
// method as long as it names the same client.
func (c *call) clientProof() (gatehouse.ClientProof, *gatehouse.Error) {
	id, key := c.form.get("client_id"), c.form.get("client_secret")
	headers := c.r.Header["Authorization"]
	if len(headers) > 1 {
		return gatehouse.ClientProof{}, malformed("more than one Authorization header")
	}
	if len(headers) == 1 {
		if key != "" {
			return gatehouse.ClientProof{}, malformed("more than one method of client authentication")
		}
		basicID, basicKey, ok := readBasic(headers[0])
		if !ok {
			return gatehouse.ClientProof{}, gatehouse.Refuse(gatehouse.InvalidClient, gatehouse.ReasonMalformed, "")
		}
		if id != "" && id != basicID {
			return gatehouse.ClientProof{}, malformed("client_id names another client than the Authorization header")
		}
		id, key = basicID, basicKey
	}
	if id == "" || key == "" {
		return gatehouse.ClientProof{}, gatehouse.Refuse(gatehouse.InvalidClient, gatehouse.ReasonMalformed, "")
	}
	return gatehouse.ClientProof{Dialect: gatehouse.OAuth2, ClientID: gatehouse.ClientID(id), Secret: secret.New(key)}, nil
}

// readBasic reads RFC 7617 credentials whose halves are form-urlencoded, as
// RFC 6749 §2.3.1 has it.
func readBasic(header string) (id, key string, ok bool) {
	scheme, value, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimLeft(value, " "))
	if err != nil || !utf8.Valid(raw) {
		return "", "", false
	}
	id, key, ok = strings.Cut(string(raw), ":")
	if !ok {
		return "", "", false
	}
	if id, ok = decodeForm(id); !ok {
		return "", "", false
	}
	key, ok = decodeForm(key)
	return id, key, ok
}

// hasCredential reports whether a query holds what must never be in a URL,
// where logs and histories keep it.
func hasCredential(rawQuery string) bool {
	if rawQuery == "" {
		return false
	}
	for pair := range strings.SplitSeq(rawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return true // it can't be told what this is
		}
		switch name {
		case "client_id", "client_secret", "refresh_token", "access_token", "token", "code", "grant_type", "client_assertion":
			return true
		}
	}
	return false
}
