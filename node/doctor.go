package node

import (
	"context"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/doctor"
	"github.com/gatehouse-auth/gatehouse/postgres"
	"github.com/gatehouse-auth/gatehouse/sqlite"
)

// Sources are where settings came from, for who looks after the files.
type Sources struct {
	File        string   // the settings file; "" is none
	FileSecrets []string // the settings in it that are secrets
	SecretFiles []string // files that hold a secret each
}

// sourcesOf notes what is secret in a settings file, and beside it.
func sourcesOf(path string, file values, layers ...values) Sources {
	s := Sources{File: path}
	for _, known := range known {
		if _, ok := file[known.key]; ok && known.secret {
			s.FileSecrets = append(s.FileSecrets, known.key)
		}
		for _, layer := range append([]values{file}, layers...) {
			if name, ok := layer[known.key+"_file"].(string); ok && known.secret {
				s.SecretFiles = append(s.SecretFiles, name)
			}
		}
	}
	if text, ok := file["database"].(string); ok {
		if u, err := url.Parse(text); err == nil && u.User != nil {
			if _, ok := u.User.Password(); ok {
				s.FileSecrets = append(s.FileSecrets, "the password of database")
			}
		}
	}
	return s
}

// Examine looks at a deployment by its settings alone, whether it is served now
// or not. It changes nothing.
func Examine(ctx context.Context, s Settings) []doctor.Finding {
	return doctor.Examine(deployment(ctx, s))
}

func deployment(ctx context.Context, s Settings) *doctor.Deployment {
	ledger := s.Ledger
	if ledger == "" {
		ledger = s.Dir
	}
	d := &doctor.Deployment{
		Now: time.Now(),
		Settings: &doctor.Settings{
			Listen: s.Listen, AdminListen: s.AdminListen, Issuer: s.Issuer, TLS: s.Cert != "" || s.ACME != nil, TrustedProxies: s.TrustedProxies,
			LagOpen: s.OnLagOpen, Unlimited: !s.Limits, Dev: s.Dev,
		},
		Files: &doctor.Files{
			Dirs: []string{s.Dir}, Secrets: s.Sources.SecretFiles, Config: s.Sources.File, ConfigSecrets: s.Sources.FileSecrets,
			DemoSecrets: filepath.Join(s.Dir, demoFile), Dev: s.Dev, Socket: s.AdminSocket, Certificate: s.Cert, CertificateKey: s.Key,
		},
		Host: &doctor.Host{},
	}
	paths := []string{s.Dir}
	if ledger != s.Dir {
		d.Files.Dirs, paths = append(d.Files.Dirs, ledger), append(paths, ledger)
	}
	for _, path := range paths {
		if free, ok := freeSpace(path); ok {
			d.Host.Disks = append(d.Host.Disks, doctor.Disk{Path: path, Free: free})
		}
	}
	if s.Postgres.IsZero() {
		d.Database = sqliteFacts(ctx, ledger)
	} else {
		d.Database = postgresFacts(ctx, s.Postgres.Reveal())
	}
	return d
}

// patience bounds how long a database is waited for.
const patience = 5 * time.Second

func sqliteFacts(ctx context.Context, dir string) *doctor.Database {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	f := &doctor.Database{Place: "sqlite:" + dir}
	seen, err := sqlite.Diagnose(ctx, dir)
	if err != nil {
		f.Err = err.Error()
		return f
	}
	f.Schema, f.KnownSchema, f.TooNew = seen.Schema, seen.KnownSchema, seen.Schema > seen.KnownSchema
	return f
}

func postgresFacts(ctx context.Context, text string) *doctor.Database {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	f := &doctor.Database{Place: postgres.Place(text), Postgres: true}
	if route, err := postgres.RouteOf(text); err == nil {
		f.Far, f.SSLMode = !near(route.Host), route.SSLMode
	}
	seen, err := postgres.Diagnose(ctx, text)
	if err != nil {
		f.Err = err.Error()
		return f
	}
	f.Schema, f.KnownSchema, f.TooNew, f.Params, f.Clock = seen.Schema, seen.KnownSchema, seen.TooNew, seen.Params, seen.Clock
	return f
}

// near reports whether a database's host is this machine.
func near(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.HasPrefix(host, "/") || host == "localhost" || err == nil && addr.IsLoopback()
}

// examine looks at the running node.
func (n *Node) examine(ctx context.Context) ([]doctor.Finding, error) {
	d := deployment(ctx, n.settings)
	if d.Settings.Issuer == "" {
		d.Settings.Issuer = n.engine.Issuer("live")
	}
	d.Settings.Listen, d.Settings.AdminListen = n.publicListener.Addr().String(), n.adminListener.Addr().String()
	if limit, ok := coreLimit(); ok {
		d.Host.CoreLimit = limit
	}
	vitals := n.engine.Vitals()
	d.Journal = &doctor.Journal{Lag: vitals.Lag, Bound: vitals.Bound, Behind: vitals.Behind}
	for _, k := range n.engine.Keys() {
		d.Keys = append(d.Keys, doctor.Key{
			ID: k.ID, Environment: k.Realm.Environment, Format: k.Realm.Format, Algorithm: string(k.Realm.Algorithm), State: string(k.State),
			SignsFrom: k.SignsFrom, Life: vitals.KeyLife,
		})
	}
	cards, err := n.engine.NodeCards(ctx)
	if err != nil {
		return nil, err
	}
	d.Now = time.Now()
	for _, c := range cards {
		d.Nodes = append(d.Nodes, doctor.Node{Name: c.Name, Issuer: c.Issuer, Keys: c.Keys, Clock: c.Clock})
	}
	return doctor.Examine(d), nil
}
