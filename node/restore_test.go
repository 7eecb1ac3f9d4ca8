package node

import (
	"context"
	"encoding/base64"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/credential"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/sqlite"
	"github.com/gatehouse-auth/gatehouse/token"
)

// A servedLedger is a ledger with a client, whose admin API can be called.
type servedLedger struct {
	*gatehouse.Engine
	api    *admin.Caller
	client *gatehouse.Client
	kek    secret.Text
}

func serveLedger(t *testing.T) *servedLedger {
	t.Helper()
	p := &servedLedger{kek: secret.New(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32))))}
	kek, err := credential.ParseKEK(p.kek.Reveal())
	must(t, err)
	sealer, err := credential.NewSealer(kek)
	must(t, err)
	store, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	p.Engine, err = gatehouse.Open(t.Context(), gatehouse.Config{Store: store, Sealer: sealer, DefaultIssuer: "https://auth.example.com"})
	must(t, err)
	adminToken := secret.New("an admin token of the tests")
	server := httptest.NewServer(admin.New(admin.Config{
		Engine: p.Engine, Dialects: func() []*dialect.Dialect { return nil }, Environments: gatehouse.Environments, Token: adminToken,
		Logger: slog.New(slog.DiscardHandler), Ready: func(context.Context) error { return nil },
	}))
	t.Cleanup(server.Close)
	p.api, err = admin.DialURL(server.URL, adminToken)
	must(t, err)
	created, err := p.CreateClient(t.Context(), gatehouse.System("test"), gatehouse.NewClient{Name: "one", Dialect: gatehouse.OAuth2}, nil)
	must(t, err)
	p.client = created.Client
	return p
}

func (p *servedLedger) issue(t *testing.T) *gatehouse.Issued {
	t.Helper()
	issued, err := p.IssueFor(t.Context(), gatehouse.System("test"), p.client.ID, gatehouse.Live, 0, "", nil, nil)
	must(t, err)
	return issued
}

func (p *servedLedger) backup(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "backup.tar")
	f, err := os.Create(path)
	must(t, err)
	must(t, p.api.Backup(t.Context(), f))
	must(t, f.Close())
	return path
}

// journal writes a journal file that begins now; more adds what has come.
func (p *servedLedger) journal(t *testing.T) (path string, more func()) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "journal")
	w, err := OpenJournal(path, func() (admin.Journal, error) { return p.api.Journal(t.Context(), -1) })
	must(t, err)
	t.Cleanup(func() { must(t, w.Close()) })
	return path, func() {
		j, err := p.api.Journal(t.Context(), w.Seq)
		must(t, err)
		must(t, w.Append(j))
	}
}

func (p *servedLedger) change(t *testing.T) {
	t.Helper()
	_, err := p.Revoke(t.Context(), gatehouse.System("test"), gatehouse.Selection{Token: p.issue(t).Record.ID})
	must(t, err)
}

// What can't be brought back as it was is refused, and changes nothing.
func TestRestoreRefuses(t *testing.T) {
	p, other := serveLedger(t), serveLedger(t)
	early, keep := p.journal(t)
	p.change(t)
	keep()
	backup := p.backup(t)
	stale, err := os.ReadFile(early)
	must(t, err)
	p.change(t)
	p.change(t)
	late, keepLate := p.journal(t)
	keep()
	p.change(t)
	keepLate()
	foreign, keepForeign := other.journal(t)
	for range 4 {
		other.change(t)
	}
	keepForeign()
	write := func(b []byte) string {
		path := filepath.Join(t.TempDir(), "journal")
		must(t, os.WriteFile(path, b, 0o600))
		return path
	}
	whole, err := os.ReadFile(early)
	must(t, err)
	lines := strings.SplitAfter(string(whole), "\n")
	gap := write([]byte(strings.Join(append(lines[:1:1], lines[2:]...), "")))
	copied, err := os.ReadFile(backup)
	must(t, err)
	half := write(append([]byte(nil), copied[:len(copied)/2]...))

	for what, c := range map[string]struct {
		kek  secret.Text
		job  RestoreJob
		says string
	}{
		"another key":                       {secret.New(base64.StdEncoding.EncodeToString(make([]byte, 32))), RestoreJob{Backup: backup}, "another key-encryption key"},
		"no key":                            {secret.Text{}, RestoreJob{Backup: backup}, "no backup holds"},
		"no such file":                      {p.kek, RestoreJob{Backup: backup + "x"}, "no such file"},
		"half a backup":                     {p.kek, RestoreJob{Backup: half}, "not a whole backup"},
		"a journal begun later":             {p.kek, RestoreJob{Backup: backup, Journal: late}, "begun before the copy"},
		"a journal that ends before it":     {p.kek, RestoreJob{Backup: backup, Journal: write(stale[:strings.IndexByte(string(stale), '\n')+1])}, "older than the copy"},
		"a journal with a gap":              {p.kek, RestoreJob{Backup: backup, Journal: gap}, "is missing"},
		"the journal of another ledger":     {p.kek, RestoreJob{Backup: backup, Journal: foreign}, "another ledger"},
		"a journal that is none":            {p.kek, RestoreJob{Backup: backup, Journal: backup}, "no journal"},
		"a ledger in a directory, complete": {p.kek, RestoreJob{Backup: backup, Complete: true}, "name it"},
	} {
		dir := filepath.Join(t.TempDir(), "fresh")
		c.job.Dir, c.job.KEK, c.job.Log = dir, c.kek, slog.New(slog.DiscardHandler)
		if _, err := c.job.Run(t.Context()); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s: something was left in %s: %v", what, dir, err)
		}
	}
}

// A restore disables every client where that is asked for, and leaves the chains whole.
func TestRestoreDisablesClients(t *testing.T) {
	p := serveLedger(t)
	p.issue(t)
	backup := p.backup(t)
	dir := filepath.Join(t.TempDir(), "fresh")
	job := RestoreJob{Settings: Settings{Dir: dir, KEK: p.kek}, Backup: backup, DisableClients: true, Log: slog.New(slog.DiscardHandler)}
	done, err := job.Run(t.Context())
	must(t, err)
	if done.Restored.Clients != 0 || done.Tokens() != 1 || done.Keys != 4 {
		t.Errorf("%+v", done.Restored)
	}
	store, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	must(t, err)
	defer store.Close()
	c, err := store.Client(t.Context(), p.client.ID)
	must(t, err)
	if c.State != gatehouse.Disabled {
		t.Errorf("the client is %s", c.State)
	}
	if report, err := store.CheckAudit(t.Context()); err != nil || len(report.Faults) > 0 {
		t.Errorf("%+v %v", report, err)
	}
	if _, err := job.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "there is a ledger") {
		t.Errorf("a ledger was replaced: %v", err)
	}
}

// A JWT of an old issuer is on no copy that was made before it was revoked: where
// the journal revokes one, everything ends.
func TestRestoreEndsForeignTokens(t *testing.T) {
	p := serveLedger(t)
	path, more := p.journal(t)
	backup := p.backup(t)
	p.change(t)
	more()
	restore := func() *RestoreDone {
		job := RestoreJob{Settings: Settings{Dir: filepath.Join(t.TempDir(), "fresh"), KEK: p.kek}, Backup: backup, Journal: path, Log: slog.New(slog.DiscardHandler)}
		done, err := job.Run(t.Context())
		must(t, err)
		return done
	}
	if done := restore(); !done.Epoch.IsZero() {
		t.Errorf("an epoch was written, and the journal has no foreign token: %+v", done.Restored)
	}
	b, err := os.ReadFile(path)
	must(t, err)
	path += "2"
	must(t, os.WriteFile(path, b, 0o600))
	w, err := OpenJournal(path, nil)
	must(t, err)
	foreign := token.DerivedID([32]byte{1, 2, 3})
	must(t, w.Append(admin.Journal{Entries: []admin.JournalEntry{{Seq: w.Seq + 1, Kind: "token_revoked", TokenID: foreign.String()}}}))
	must(t, w.Close())
	if done := restore(); done.Epoch.IsZero() || done.Foreign != 1 {
		t.Errorf("a foreign token that was revoked may pass: %+v", done.Restored)
	}
}
