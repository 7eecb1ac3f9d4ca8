package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/credential"
	"github.com/gatehouse-auth/gatehouse/postgres"
	"github.com/gatehouse-auth/gatehouse/sqlite"
)

// A RestoreJob restores a ledger for a node with these settings. No node may run
// on it meanwhile.
type RestoreJob struct {
	Settings
	Backup         string // file of `gatehouse backup`; with PostgreSQL it is the mark, and may be ""
	Journal        string // file of `gatehouse backup --journal`, or ""
	DisableClients bool
	// Complete says of a PostgreSQL ledger that was copied here that nothing
	// has happened since: nothing is ended.
	Complete bool
	Log      *slog.Logger
	Step     func(string) // told what is being done; nil tells nobody
}

// RestoreDone says what a RestoreJob did.
type RestoreDone struct {
	*gatehouse.Restored // nil where it was complete
	Manifest            *gatehouse.Manifest
	Clients             map[gatehouse.ClientID]*gatehouse.Client // by whole id
	HeardAt             time.Time                                // up to when the journal that was given tells
	Ledger              string
}

// Run checks everything first: what is refused has changed nothing.
func (j *RestoreJob) Run(ctx context.Context) (*RestoreDone, error) {
	if j.Step == nil {
		j.Step = func(string) {}
	}
	if !j.Postgres.IsZero() {
		return j.inPostgres(ctx)
	}
	return j.inDir(ctx)
}

func (j *RestoreJob) sealer() (*credential.Sealer, error) {
	path := filepath.Join(j.Dir, keyFile)
	if _, err := os.Stat(path); j.KEK.IsZero() && errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("key_encryption_key: no backup holds the one that it is sealed under: put it into %s (mode 0600), or set GATEHOUSE_KEY_ENCRYPTION_KEY", path)
	}
	kek, err := (&Node{settings: j.Settings}).keyEncryptionKey(false)
	if err != nil {
		return nil, err
	}
	return credential.NewSealer(kek)
}

// ledgerFile is the store's database in its directory.
const ledgerFile = "gatehouse.db"

// restoringDir is where a ledger is prepared, beside where it will be.
const restoringDir = ".restoring"

// inDir makes a SQLite ledger of a backup, aside, and puts it into its place in
// one step.
func (j *RestoreJob) inDir(ctx context.Context) (done *RestoreDone, err error) {
	if j.Backup == "" || j.Complete {
		return nil, errors.New("a ledger in a directory is restored from the file that `gatehouse backup` has written: name it")
	}
	in, err := os.Open(j.Backup)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	leave, err := j.enter()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, leave(err == nil)) }()
	sealer, err := j.sealer()
	if err != nil {
		return nil, err
	}
	aside := filepath.Join(j.Dir, restoringDir)
	j.Step("reading " + j.Backup)
	m, err := extract(in, aside)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", j.Backup, err)
	}
	if err := sqlite.Adopt(ctx, aside); err != nil {
		return nil, fmt.Errorf("%s: %w", j.Backup, err)
	}
	store, err := sqlite.Open(ctx, aside, sqlite.Options{Logger: j.Log})
	if err != nil {
		return nil, err
	}
	done, err = j.restore(ctx, store, sealer, m, func(r *gatehouse.Restore) error {
		if err := store.IntegrityCheck(ctx); err != nil {
			return fmt.Errorf("%w: %w", gatehouse.ErrBackup, err)
		}
		return r.CheckCopy(ctx)
	})
	if err := errors.Join(err, store.Close()); err != nil {
		return nil, err
	}
	return done, place(aside, j.Dir)
}

// enter makes sure that there is no ledger where one is to be restored, and makes
// room beside it.
func (j *RestoreJob) enter() (leave func(done bool) error, err error) {
	_, err = os.Stat(j.Dir)
	made := errors.Is(err, fs.ErrNotExist)
	fresh, err := makeDir(j.Dir)
	if err != nil {
		return nil, err
	}
	aside := filepath.Join(j.Dir, restoringDir)
	leave = func(done bool) error {
		err := os.RemoveAll(aside)
		if made && !done {
			err = errors.Join(err, os.Remove(j.Dir))
		}
		return err
	}
	if !fresh {
		return nil, fmt.Errorf("there is a ledger in %s, and it may be newer than the backup: restore into another directory, or move this one away", j.Dir)
	}
	err = os.Mkdir(aside, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s is there: another restore is under way, or one was broken off; in that case remove it and try again", aside)
	}
	return leave, err
}

// extract writes the backup's database into dir, durably.
func extract(in io.Reader, dir string) (*gatehouse.Manifest, error) {
	var file *os.File
	m, err := gatehouse.ReadBackup(in, func(name string, size int64) (w io.Writer, err error) {
		if name != ledgerFile || file != nil {
			return nil, fmt.Errorf("%w: %q does not belong into it", gatehouse.ErrBackup, name)
		}
		file, err = os.OpenFile(filepath.Join(dir, ledgerFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		return file, err
	})
	if file != nil {
		err = errors.Join(err, file.Sync(), file.Close())
	}
	switch {
	case err != nil:
		return nil, err
	case file == nil:
		return nil, fmt.Errorf("%w: it is the mark of a ledger in PostgreSQL: restore the dump with pg_restore, and run this with --database postgres://…", gatehouse.ErrBackup)
	}
	return m, nil
}

// place moves the prepared database to where it is served. It replaces none.
func place(aside, dir string) error {
	from := filepath.Join(aside, ledgerFile)
	if rest, err := os.Stat(from + "-wal"); err == nil && rest.Size() > 0 {
		return errors.New("the restored ledger was not closed well; try again")
	}
	if err := os.Link(from, filepath.Join(dir, ledgerFile)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// inPostgres makes a ledger that pg_restore has brought back fit to be served.
func (j *RestoreJob) inPostgres(ctx context.Context) (done *RestoreDone, err error) {
	sealer, err := j.sealer()
	if err != nil {
		return nil, err
	}
	var mark *gatehouse.Manifest
	if j.Backup != "" {
		if mark, err = readMark(j.Backup); err != nil {
			return nil, fmt.Errorf("%s: %w", j.Backup, err)
		}
	}
	store, err := postgres.Open(ctx, j.Postgres.Reveal(), postgres.Options{Logger: j.Log, Offline: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	checkMark := func(*gatehouse.Restore) error {
		if mark == nil {
			return nil
		}
		faults, err := store.Lacks(ctx, mark)
		if err == nil && len(faults) > 0 {
			err = fmt.Errorf("%w: the database is older than the mark, or not of one moment: %s", gatehouse.ErrBackup, faults[0])
		}
		return err
	}
	if j.Complete {
		r := gatehouse.Restore{Store: store, Sealer: sealer, Now: time.Now()}
		j.Step("checking the hash chains")
		if err := errors.Join(checkMark(nil), r.Check(ctx)); err != nil {
			return nil, err
		}
		err := store.Adopt(ctx, gatehouse.Act{At: time.Now(), By: restorer, Action: "adopt", Subject: "ledger"})
		return &RestoreDone{Manifest: mark, Ledger: postgres.Place(j.Postgres.Reveal())}, err
	}
	return j.restore(ctx, store, sealer, mark, checkMark)
}

func readMark(path string) (*gatehouse.Manifest, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return gatehouse.ReadBackup(in, func(string, int64) (io.Writer, error) {
		return nil, fmt.Errorf("%w: it is the backup of a ledger in a directory: restore it with --data DIR", gatehouse.ErrBackup)
	})
}

var restorer = gatehouse.System("restore")

// restore checks a store and brings it up to date.
func (j *RestoreJob) restore(ctx context.Context, store gatehouse.Store, sealer *credential.Sealer, m *gatehouse.Manifest, check func(*gatehouse.Restore) error) (*RestoreDone, error) {
	r := &gatehouse.Restore{Store: store, Sealer: sealer, Now: time.Now(), By: restorer, From: m, DisableClients: j.DisableClients}
	done := &RestoreDone{Manifest: m, Ledger: j.Dir, Clients: map[gatehouse.ClientID]*gatehouse.Client{}}
	if !j.Postgres.IsZero() {
		done.Ledger = postgres.Place(j.Postgres.Reveal())
	}
	j.Step("checking the copy and its hash chains")
	if err := check(r); err != nil {
		return nil, err
	}
	if err := r.Check(ctx); err != nil {
		return nil, err
	}
	j.Step("ending what may have been revoked since")
	var err error
	const tries = 10
	for try := 1; ; try++ {
		done.Restored, done.HeardAt, err = j.run(ctx, r)
		if err == nil {
			break
		}
		// A database that is slow now can be asked again.
		if try == tries || !errors.Is(err, gatehouse.ErrStore) || errors.Is(err, gatehouse.ErrUnknownOutcome) || ctx.Err() != nil {
			return nil, err
		}
	}
	snap, err := store.Load(ctx, r.Now)
	if err != nil {
		return nil, err
	}
	for i := range snap.Clients {
		done.Clients[snap.Clients[i].ID] = &snap.Clients[i]
	}
	return done, nil
}

// run runs r, with the journal where one was given, and returns up to when that
// tells.
func (j *RestoreJob) run(ctx context.Context, r *gatehouse.Restore) (*gatehouse.Restored, time.Time, error) {
	if j.Journal == "" {
		done, err := r.Run(ctx)
		return done, time.Time{}, err
	}
	f, err := os.Open(j.Journal)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer f.Close()
	journal, err := NewJournalReader(f)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("%s: %w", j.Journal, err)
	}
	r.Journal, r.Since = journal.Records(), journal.Since
	done, err := r.Run(ctx)
	return done, journal.HeardAt, err
}
