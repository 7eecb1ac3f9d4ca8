package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// A DemoClient is one credential pair of `gatehouse dev`, as dev prints it.
type DemoClient struct {
	Name         string           `json:"name"`
	Dialect      string           `json:"dialect"`
	Environment  string           `json:"environment"`
	ClientID     string           `json:"client_id"` // as it goes on the wire
	ClientSecret admin.Credential `json:"client_secret"`
	Scopes       []string         `json:"scopes"`
}

// demo is what dev keeps in its directory, so that the next start prints the
// same. dev alone does: real secrets are never kept.
type demo struct {
	ID         string           `json:"id,omitempty"` // of the directory, on a database that others share
	AdminToken admin.Credential `json:"admin_token"`
	Secrets    []demoSecret     `json:"secrets"`
	// Users are those that dev made, by name.
	Users map[string]demoSignIn `json:"users,omitempty"`
}

type demoSignIn struct {
	UserID   string           `json:"user_id"`
	Password admin.Credential `json:"password"`
	Since    time.Time        `json:"since"`
}

type demoSecret struct {
	SecretID string           `json:"secret_id"`
	Secret   admin.Credential `json:"secret"`
}

const demoFile = "dev.json"

// demoDomain identifies the demo clients whose dialect knows them by a domain
// name (RFC 2606).
const demoDomain = "demo.example"

// DemoAdminToken returns the admin token of `gatehouse dev` on dir, which is
// made at its first start.
func DemoAdminToken(dir string) (secret.Text, error) {
	if _, err := makeDir(dir); err != nil {
		return secret.Text{}, err
	}
	kept, err := loadDemo(dir)
	if err != nil {
		return secret.Text{}, err
	}
	if kept.AdminToken.IsZero() {
		kept.AdminToken = admin.Credential{Text: secret.New(rand.Text())}
		err = kept.save(dir)
	}
	return kept.AdminToken.Text, err
}

// Demo makes a client for standard OAuth 2.0 and one for each dialect, in each
// environment, and returns their credentials in that order. What an earlier
// start made and nobody deleted is returned as it is. On a database that others
// share the first directory has the demo clients; another joins and knows none
// of their secrets.
func (n *Node) Demo(ctx context.Context) ([]DemoClient, error) {
	kept, err := loadDemo(n.settings.Dir)
	if err != nil {
		return nil, err
	}
	if !n.settings.Postgres.IsZero() {
		if first, err := n.firstOnDatabase(ctx, kept); err != nil || !first {
			return []DemoClient{}, err
		}
	}
	var out []DemoClient
	for _, d := range append([]*dialect.Dialect{nil}, n.Dialects()...) {
		c, err := n.demoClient(ctx, d, kept)
		if err != nil {
			return nil, fmt.Errorf("making the demo client of %s: %w", dialectName(d), err)
		}
		if c == nil {
			continue
		}
		for _, env := range c.EnvironmentsOf() {
			value, err := n.demoSecret(ctx, c, env, kept)
			if err != nil {
				return nil, fmt.Errorf("making the demo client of %s: %w", dialectName(d), err)
			}
			id, _ := c.WireID(env)
			shown := DemoClient{
				Name: c.Name, Dialect: c.Dialect, Environment: string(env), ClientID: string(id),
				ClientSecret: admin.Credential{Text: value}, Scopes: append([]string{}, c.Scopes...),
			}
			if d != nil {
				shown.ClientID = d.WireForm(dialect.ClientID, string(id))
			}
			if err := n.addDemoApp(ctx, d, c, shown); err != nil {
				return nil, fmt.Errorf("making the demo client of %s: %w", dialectName(d), err)
			}
			out = append(out, shown)
		}
	}
	return out, kept.save(n.settings.Dir)
}

// settingDev names the directory of the first dev on a database.
const settingDev = "dev directory"

// firstOnDatabase reports whether this directory was dev's first on the database.
func (n *Node) firstOnDatabase(ctx context.Context, kept *demo) (bool, error) {
	if kept.ID == "" {
		kept.ID = rand.Text()
		if err := kept.save(n.settings.Dir); err != nil {
			return false, err
		}
	}
	first, err := n.store.Setting(ctx, settingDev, []byte(kept.ID))
	return string(first) == kept.ID, err
}

func dialectName(d *dialect.Dialect) string {
	if d == nil {
		return gatehouse.OAuth2
	}
	return d.Name
}

// demoClient finds or makes the demo client of d; nil is standard OAuth 2.0.
// It returns nil where the client was deleted, which is for good.
func (n *Node) demoClient(ctx context.Context, d *dialect.Dialect, kept *demo) (*gatehouse.Client, error) {
	want := gatehouse.NewClient{Name: "demo-" + dialectName(d), Dialect: dialectName(d), Environments: n.settings.Environments}
	switch {
	case d == nil:
		want.Scopes = []string{"read", "write"}
	case d.Rules.ClientIDForm == dialect.DomainID:
		want.Domain = demoDomain
	}
	if d != nil {
		for hole := range d.Rules.Fields {
			if want.Fields == nil {
				want.Fields = map[string]string{}
			}
			want.Fields[string(hole)] = demoField(string(hole))
		}
	}
	const step = 500
	for after := gatehouse.ClientID(""); ; {
		clients := n.engine.Clients(after, step)
		for _, c := range clients {
			if c.Name == want.Name && c.Dialect == want.Dialect {
				return c, nil
			}
		}
		if len(clients) < step {
			break
		}
		after = clients[step-1].ID
	}
	created, err := n.engine.CreateClient(ctx, gatehouse.System("dev"), want, nil)
	if err != nil {
		var refused *gatehouse.Error
		if errors.As(err, &refused) && refused.Reason == gatehouse.ReasonExists {
			return nil, nil
		}
		return nil, err
	}
	for _, s := range created.Secrets {
		kept.Secrets = append(kept.Secrets, demoSecret{s.ID.String(), admin.Credential{Text: s.Secret}})
	}
	return created.Client, nil
}

// demoField makes up what the demo client's owner would have said.
func demoField(name string) string {
	if strings.HasSuffix(name, "email") {
		return "owner@" + demoDomain
	}
	return "demo"
}

// demoSecret returns a live secret of c that was kept, or adds one.
func (n *Node) demoSecret(ctx context.Context, c *gatehouse.Client, env gatehouse.Environment, kept *demo) (secret.Text, error) {
	live := c.LiveSecrets(env)
	for _, s := range live {
		for _, k := range kept.Secrets {
			if k.SecretID == s.ID.String() {
				return k.Secret.Text, nil
			}
		}
	}
	// Nobody knows these any more: an earlier start died before it kept them.
	if len(live) > 1 {
		if _, err := n.engine.RetireSecret(ctx, gatehouse.System("dev"), live[0].ID, false); err != nil {
			return secret.Text{}, err
		}
	}
	added, err := n.engine.AddSecret(ctx, gatehouse.System("dev"), c.ID, env, secret.Text{}, nil)
	if err != nil {
		return secret.Text{}, err
	}
	kept.Secrets = append(kept.Secrets, demoSecret{added.ID.String(), admin.Credential{Text: added.Secret}})
	return added.Secret, nil
}

func loadDemo(dir string) (*demo, error) {
	path := filepath.Join(dir, demoFile)
	kept := &demo{}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return kept, nil
	}
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("others may read %s (mode %04o): run: chmod 600 '%s'", path, mode, path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, kept, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%s is damaged: remove it, and the demo clients get new secrets: %w", path, err)
	}
	return kept, nil
}

// save replaces the file by a whole new one.
func (k *demo) save(dir string) error {
	b, err := json.Marshal(k, jsontext.Multiline(true))
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".dev-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, demoFile))
}
