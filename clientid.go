package gatehouse

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// chosenEnvironments checks the list and puts it in the usual order.
func chosenEnvironments(asked []Environment) ([]Environment, error) {
	if asked == nil {
		return Environments, nil
	}
	for _, env := range asked {
		if !slices.Contains(Environments, env) {
			return nil, wrongField("environments", fmt.Sprintf("unknown environment %q: use sandbox or live", env))
		}
	}
	out := slices.DeleteFunc(slices.Clone(Environments), func(env Environment) bool { return !slices.Contains(asked, env) })
	if len(out) == 0 {
		return nil, wrongField("environments", "a client needs an environment: sandbox, live or both")
	}
	return out, nil
}

var givenID = regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]{1,200}$`)

// clientIDs gives a client its id, or one for each environment.
func clientIDs(c *Client, policy *Policy, environments []Environment, given map[Environment]ClientID) (map[Environment]ClientID, error) {
	ids := map[Environment]ClientID{}
	shared := newClientID(c, policy)
	for _, env := range environments {
		ids[env] = shared
		if policy.SeparateIDs {
			ids[env] = newClientID(c, policy)
		}
		id, ok := given[env]
		if !ok {
			continue
		}
		if !givenID.MatchString(string(id)) {
			return nil, wrongField("id", "an id is 1 to 200 printable ASCII characters without space, quote and backslash")
		}
		if policy.IDForm == IDDomain && string(id) != c.Domain {
			return nil, wrongField("id", fmt.Sprintf("clients of %s are known by their domain name: give only that", c.Dialect))
		}
		ids[env] = id
	}
	for env, id := range given {
		if !slices.Contains(environments, env) {
			return nil, wrongField("id", fmt.Sprintf("the client has no environment %s", env))
		}
		if policy.SeparateIDs {
			continue
		}
		if len(given) == 1 {
			for _, env := range environments {
				ids[env] = id
			}
		} else if ids[environments[0]] != id {
			return nil, wrongField("id", fmt.Sprintf("clients of %s have one id for all environments", c.Dialect))
		}
	}
	if policy.SeparateIDs && len(environments) > 1 && ids[Sandbox] == ids[Live] {
		return nil, wrongField("id", fmt.Sprintf("clients of %s have another id in each environment", c.Dialect))
	}
	return ids, nil
}

func newClientID(c *Client, policy *Policy) ClientID {
	switch policy.IDForm {
	case IDDomain:
		return ClientID(c.Domain)
	case IDUUID:
		return ClientID(uuid.NewString())
	}
	var raw [15]byte
	_, _ = rand.Read(raw[:])
	return ClientID(strings.ToLower(base32.StdEncoding.EncodeToString(raw[:])))
}
