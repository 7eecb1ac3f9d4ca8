package gatehouse

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/credential"
)

// An ImportClient is a client of another system, with the ids and the hashes
// of the secrets that it has. No secret is made for it.
type ImportClient struct {
	NewClient // IDs must name one for each environment that has a secret or is listed
	Disabled  bool
}

// ImportClient takes over a client. One that is here already with the same
// properties is left as it is; one with others is refused, since what an
// operator changed since must not be undone. Where dry is set nothing is written.
func (e *Engine) ImportClient(ctx context.Context, by Actor, n ImportClient, dry bool) ImportResult {
	status, err := e.importClient(ctx, by, n, dry)
	if err != nil {
		return ImportResult{ImportRefused, AsError(err)}
	}
	return ImportResult{Status: status}
}

func (e *Engine) importClient(ctx context.Context, by Actor, n ImportClient, dry bool) (ImportStatus, error) {
	c, err := e.clientToImport(n)
	if err != nil {
		return "", err
	}
	var there *Client
	for _, id := range c.IDs {
		if known := e.state.client(id); known != nil {
			there = known
		}
	}
	if there != nil {
		differs, err := e.clientDiffers(there, c, n.Imported)
		if err != nil {
			return "", err
		}
		if differs != "" {
			return "", &Error{Code: Conflict, Reason: ReasonExists, Field: differs, Client: there.ID,
				Message: fmt.Sprintf("client %s is here already, with another %s: correct the line, or the client with `gatehouse client update` and `gatehouse secret`", there.ID, differs)}
		}
		return ImportUnchanged, nil
	}
	if dry {
		return ImportNew, nil
	}
	act := e.act(by, "client.import", string(c.ID), "name", c.Name, "dialect", c.Dialect)
	if err := e.store.SaveClient(ctx, act, c); errors.Is(err, ErrExists) {
		return "", &Error{Code: Conflict, Reason: ReasonExists, Field: "id", Message: fmt.Sprintf("a client has or had the id %s: ids are never used again", c.ID), Err: err}
	} else if err != nil {
		return "", fmt.Errorf("saving a client: %w", err)
	}
	e.settle(ctx)
	return ImportNew, nil
}

// clientToImport makes the client, or says what is wrong with it.
func (e *Engine) clientToImport(n ImportClient) (*Client, error) {
	policy, ok := (*e.policies.Load())[n.Dialect]
	if !ok {
		return nil, wrongField("dialect", fmt.Sprintf("no dialect is called %q: use one of %s", n.Dialect, strings.Join(slices.Sorted(maps.Keys(*e.policies.Load())), ", ")))
	}
	environments, err := chosenEnvironments(n.Environments)
	if err != nil {
		return nil, err
	}
	c := newClient(n.NewClient, e.clock.now())
	if n.Disabled {
		c.State = Disabled
	}
	if err := checkClient(c, policy); err != nil {
		return nil, err
	}
	if policy.IDForm != IDDomain {
		for _, env := range environments {
			if n.IDs[env] == "" && (policy.SeparateIDs || len(n.IDs) == 0) {
				return nil, wrongField("id", fmt.Sprintf("write the id that the client has in %s; a client that needs new credentials is made with `gatehouse client create`", env))
			}
		}
	}
	if c.IDs, err = clientIDs(c, policy, environments, n.IDs); err != nil {
		return nil, err
	}
	if err := checkRedirects(c, policy); err != nil {
		return nil, err
	}
	c.ID = c.IDs[environments[len(environments)-1]]
	for _, s := range n.Imported {
		if _, ok := c.IDs[s.Environment]; !ok {
			return nil, wrongField("secret_hash", fmt.Sprintf("the client has no environment %q", s.Environment))
		}
		if len(c.LiveSecrets(s.Environment)) == liveSecrets {
			return nil, wrongField("secret_hash", fmt.Sprintf("a client has at most %d live secrets in %s: leave the oldest out", liveSecrets, s.Environment))
		}
		made, _, err := e.makeSecret(c, s.Environment, s.Hash)
		if err != nil {
			return nil, err
		}
		c.Secrets = append(c.Secrets, made)
	}
	for _, env := range environments {
		if len(c.LiveSecrets(env)) == 0 {
			return nil, wrongField("secret_hash", fmt.Sprintf("write the hash of the secret that the client has in %s, or leave the environment out", env))
		}
	}
	return c, nil
}

// clientDiffers names what tells a client from the one that is to be imported,
// or "".
func (e *Engine) clientDiffers(is, c *Client, hashes []ImportedSecret) (string, error) {
	switch {
	case is.State == Deleted:
		return "state (it was deleted)", nil
	case !maps.Equal(is.IDs, c.IDs):
		return "id or environment", nil
	case is.Name != c.Name:
		return "name", nil
	case is.Dialect != c.Dialect:
		return "dialect", nil
	case is.Domain != c.Domain:
		return "domain", nil
	case !slices.Equal(slices.Sorted(slices.Values(is.Scopes)), slices.Sorted(slices.Values(c.Scopes))):
		return "scope", nil
	case !maps.Equal(is.Fields, c.Fields):
		return "field", nil
	case is.MaxTTL != c.MaxTTL:
		return "longest life", nil
	case is.Refresh != c.Refresh || is.Limit != c.Limit:
		return "refresh or limit", nil
	case !maps.EqualFunc(is.RedirectURIs, c.RedirectURIs, slices.Equal) || !maps.EqualFunc(is.Origins, c.Origins, slices.Equal):
		return "redirect URI or origin", nil
	}
	for _, h := range hashes {
		known, err := e.hasHash(is, h)
		if err != nil || !known {
			return "secret in " + string(h.Environment), err
		}
	}
	return "", nil
}

// hasHash reports whether a client has, or had, a secret that was imported with
// this hash.
func (e *Engine) hasHash(c *Client, h ImportedSecret) (bool, error) {
	hash, err := credential.ParseHash(h.Hash.Reveal())
	if err != nil {
		return false, wrongField("secret_hash", err.Error())
	}
	digest, fast := hash.Wrap(e.digester, digestSecret)
	for i := range c.Secrets {
		s := &c.Secrets[i]
		switch {
		case s.Environment != h.Environment:
		case fast:
			if s.FastHash != "" && equalDigest(s.Digest, digest) {
				return true, nil
			}
		case s.Imported != nil:
			kept, err := e.sealer.Open(sealedImport+" "+s.ID.String(), s.Imported)
			if err != nil {
				return false, fmt.Errorf("opening the imported hash of secret %s: %w", s.ID, err)
			}
			if string(kept) == hash.Encoded().Reveal() {
				return true, nil
			}
		}
	}
	return false, nil
}
