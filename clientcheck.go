package gatehouse

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

var (
	scopeToken = regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]{1,200}$`) // RFC 6749 §3.3
	fieldName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,63}$`)
	domainName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// longestMaxTTL keeps keys from having to verify for longer than people plan.
const longestMaxTTL = 366 * 24 * time.Hour

// checkClient holds what an operator may set to its forms.
func checkClient(c *Client, policy *Policy) error {
	switch {
	case !printable(c.Name, 200) || c.Name == "":
		return wrongField("name", "a client needs a name of at most 200 printable characters")
	case c.Domain != "" && (len(c.Domain) > 253 || !domainName.MatchString(c.Domain)):
		return wrongField("domain", fmt.Sprintf("%q is not a domain name such as shop.example", c.Domain))
	case policy.IDForm == IDDomain && c.Domain == "":
		return wrongField("domain", fmt.Sprintf("clients of %s are known by their domain name: give one", c.Dialect))
	case c.MaxTTL < 0 || c.MaxTTL%time.Second != 0 || c.MaxTTL > longestMaxTTL:
		return wrongField("max_ttl", "the longest life is a whole number of seconds, at most 366 days")
	case c.MaxTTL > 0 && policy.Permanent:
		return wrongField("max_ttl", fmt.Sprintf("tokens of %s are permanent: they have no longest life", c.Dialect))
	case c.Refresh && c.Dialect != OAuth2:
		return wrongField("refresh", "only for standard OAuth 2.0: in a dialect its file says who gets refresh tokens")
	case c.Limit.Count < 0 || c.Limit.Count > 0 && c.Limit.Per < time.Second:
		return wrongField("limit", "a limit is a count for a time of at least a second, such as 60/m")
	case len(c.Fields) > 50:
		return wrongField("fields", "at most 50 fields")
	}
	for i, s := range c.Scopes {
		if !scopeToken.MatchString(s) {
			return wrongField("scopes", fmt.Sprintf("%q is not a scope: printable ASCII without space, quote and backslash (RFC 6749, section 3.3)", s))
		}
		if slices.Contains(c.Scopes[:i], s) {
			return wrongField("scopes", fmt.Sprintf("scope %q is given twice", s))
		}
	}
	for name, value := range c.Fields {
		if !fieldName.MatchString(name) || !printable(value, 1000) {
			return wrongField("fields", fmt.Sprintf("field %q: a name is letters, digits, dot, dash and underscore, a value at most 1,000 printable characters", name))
		}
	}
	return nil
}

// printable reports whether s is valid text without control characters.
func printable(s string, longest int) bool {
	return len(s) <= longest && strings.ToValidUTF8(s, "\x00") == s && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || 0x80 <= r && r < 0xa0 || r == 0x2028 || r == 0x2029 })
}
