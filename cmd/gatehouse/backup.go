package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/charmbracelet/x/term"
	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/node"
)

func backupCommand() *cobra.Command {
	var journal string
	var follow bool
	c := &cobra.Command{
		Use: "backup [FILE]", Short: "Copy the ledger of a running server, or keep its journal", Args: cobra.MaximumNArgs(1),
		Long: "Writes a copy of the ledger, as of one commit, to FILE, which must not be there. The server goes\n" +
			"on serving. The key-encryption key is not in it: keep that elsewhere. Of a ledger in PostgreSQL\n" +
			"FILE is a mark, by which `restore` knows a dump that is older or damaged: make it before pg_dump.\n\n" +
			"With --journal it appends to a file what `restore --journal` needs to bring back what was\n" +
			"revoked after the copy, so that not every token has to end. Begin it before the copy; with\n" +
			"--follow it goes on until it is stopped, and keeps up within a second.",
		Example: "gatehouse backup /backup/monday.tar\n\n" +
			"# On another machine, for as long as the server runs\ngatehouse backup --journal /backup/journal --follow --admin-url https://auth.internal:8081",
	}
	c.Flags().StringVar(&journal, "journal", "", "append the journal to this file instead")
	c.Flags().BoolVar(&follow, "follow", false, "with --journal: go on until stopped")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if (len(args) == 1) == (journal != "") {
			return wrongUsage("name the file to write the copy to, or --journal FILE")
		}
		if follow && journal == "" {
			return wrongUsage("--follow goes with --journal FILE")
		}
		api, err := dial(cmd)
		if err != nil {
			return err
		}
		if journal != "" {
			return keepJournal(cmd, api, journal, follow)
		}
		return writeBackup(cmd, api, args[0])
	}
	return administers(c)
}

// backupWritten is what `backup --json` prints.
type backupWritten struct {
	File     string                   `json:"file"`
	Bytes    int64                    `json:"bytes"`
	Store    string                   `json:"store"`
	Schema   int                      `json:"schema"`
	TakenAt  time.Time                `json:"taken_at"`
	Journal  int64                    `json:"journal_seq"`
	EventSeq int64                    `json:"event_seq"`
	Head     string                   `json:"event_head"`
	Chains   int                      `json:"chains"`
	Counts   gatehouse.ManifestCounts `json:"counts"`
	Files    []gatehouse.ManifestFile `json:"files"`
}

func writeBackup(cmd *cobra.Command, api *admin.Caller, path string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there already, and a backup overwrites nothing: choose another name", path)
	} else if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(path))
		}
	}()
	m, err := receiveBackup(cmd.Context(), api, f, newProgress(cmd, "copied"))
	if err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	said := backupWritten{path, size, m.Store, m.Schema, m.TakenAt, m.JournalSeq, m.EventSeq, m.EventHead, len(m.Chains), m.Counts, m.Files}
	if said.Files == nil {
		said.Files = []gatehouse.ManifestFile{}
	}
	return show(cmd, said, func(w io.Writer) {
		n := m.Counts
		if len(m.Files) == 0 {
			fmt.Fprintf(w, "%s marks the ledger as of %s: journal %d, %s.\n", path, when(m.TakenAt), m.JournalSeq, count(int(n.Tokens), "token"))
			fmt.Fprintln(w, "It is no copy. Make that now, with pg_dump --format=custom, and keep both.")
			return
		}
		fmt.Fprintf(w, "%s has the ledger as of %s: %s, %s, journal %d.\n", path, when(m.TakenAt), count(int(n.Clients), "client"), count(int(n.Tokens), "token"), m.JournalSeq)
		fmt.Fprintln(w, "The key-encryption key is not in it.")
	})
}

// receiveBackup writes what the server sends to w and checks it on the way, as
// restore will.
func receiveBackup(ctx context.Context, api *admin.Caller, w io.Writer, p *progress) (*gatehouse.Manifest, error) {
	checked, check := io.Pipe()
	type result struct {
		m   *gatehouse.Manifest
		err error
	}
	read := make(chan result, 1)
	go func() {
		m, err := gatehouse.ReadBackup(checked, func(_ string, size int64) (io.Writer, error) {
			p.total = size
			return p, nil
		})
		if err == nil {
			_, err = io.Copy(io.Discard, checked) // the padding of the tar
		}
		checked.CloseWithError(err)
		read <- result{m, err}
	}()
	sent := api.Backup(ctx, io.MultiWriter(w, check))
	check.Close()
	got := <-read
	p.end()
	if sent != nil {
		return nil, sent
	}
	return got.m, got.err
}

// progress tells people how far a long copy is.
type progress struct {
	to          io.Writer // nil: nobody reads it
	what        string
	done, total int64
	said        time.Time
}

func newProgress(cmd *cobra.Command, what string) *progress {
	p := &progress{what: what, said: time.Now()}
	if f, ok := cmd.ErrOrStderr().(*os.File); ok && term.IsTerminal(f.Fd()) {
		p.to = f
	}
	return p
}

func (p *progress) Write(b []byte) (int, error) {
	p.done += int64(len(b))
	if p.due() {
		fmt.Fprintf(p.to, "\r%s %d of %d MiB", p.what, p.done>>20, p.total>>20)
	}
	return len(b), nil
}

// due reports whether it is time to say something.
func (p *progress) due() bool {
	now := time.Now()
	if p.to == nil || now.Sub(p.said) < 200*time.Millisecond {
		return false
	}
	p.said = now
	return true
}

func (p *progress) end() {
	if p.to != nil {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}

// journalKept is what `backup --journal --json` prints.
type journalKept struct {
	File    string    `json:"file"`
	Seq     int64     `json:"journal_seq"`
	HeardAt time.Time `json:"heard_at"`
}

const (
	followEvery = time.Second
	// heardEvery is how often a journal that doesn't grow says that it was read.
	heardEvery = 10 * time.Second
)

func keepJournal(cmd *cobra.Command, api *admin.Caller, path string, follow bool) error {
	ctx, stop := untilAsked(cmd.Context())
	defer stop()
	w, err := node.OpenJournal(path, func() (admin.Journal, error) { return api.Journal(ctx, -1) })
	if err != nil {
		return err
	}
	kept := journalKept{File: path, Seq: w.Seq}
	err = followJournal(ctx, api, w, &kept, follow, cmd.ErrOrStderr())
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	return show(cmd, kept, func(out io.Writer) {
		fmt.Fprintf(out, "%s has the journal up to %d, as of %s\n", path, kept.Seq, when(kept.HeardAt))
	})
}

func followJournal(ctx context.Context, api *admin.Caller, w *node.JournalWriter, kept *journalKept, follow bool, log io.Writer) error {
	down := false
	for {
		j, err := api.Journal(ctx, w.Seq)
		var unreachable *admin.UnreachableError
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			if down {
				fmt.Fprintln(log, "the server answers again")
			}
			down = false
		case follow && errors.As(err, &unreachable):
			if !down {
				fmt.Fprintln(log, err, "- trying again until it does")
			}
			down = true
		default:
			return err
		}
		if err == nil && (len(j.Entries) > 0 || j.HeardAt.Sub(kept.HeardAt) >= heardEvery || !follow) {
			if err := w.Append(j); err != nil {
				return err
			}
			if kept.Seq = w.Seq; w.Seq >= j.Seq {
				kept.HeardAt = j.HeardAt
			}
			if w.Seq < j.Seq {
				continue // there is more
			}
		}
		if err == nil && !follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followEvery):
		}
	}
}
