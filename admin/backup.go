package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/gatehouse-auth/gatehouse"
)

func (s *server) backupRoutes(api huma.API) {
	tags := []string{"Backup"}
	huma.Register(api, huma.Operation{
		OperationID: "make-backup", Method: http.MethodPost, Path: "/admin/v1/backup", DefaultStatus: http.StatusOK, Tags: tags,
		Summary: "Copy the ledger as of one commit, while it is served",
		Description: "The answer is a tar that ends with manifest.json; one that was cut off has none. Where the ledger is in PostgreSQL " +
			"the manifest is all: a mark for the copy that pg_dump makes.",
		Responses: map[string]*huma.Response{"200": {
			Description: "OK", Content: map[string]*huma.MediaType{"application/x-tar": {Schema: &huma.Schema{Type: "string", Format: "binary"}}},
		}},
	}, s.backup)

	route(s, api, huma.Operation{
		OperationID: "read-journal", Method: http.MethodGet, Path: "/journal", Tags: tags,
		Summary: "Read the journal with all that a restore needs of it",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct {
		Since int64 `query:"since" default:"-1" doc:"the position to go on from; none, or -1, asks for the newest position only"`
		Limit int   `query:"limit" default:"500" minimum:"1" maximum:"1000"`
	}) (Journal, error) {
		records, seq, heard, err := s.engine.Journal(ctx, in.Since, in.Limit)
		if errors.Is(err, gatehouse.ErrJournalGone) {
			e := gatehouse.Refuse(gatehouse.Conflict, gatehouse.ReasonMalformed, "the journal has no entries from that position on any more, or it is another ledger's: make a new backup, and begin the journal anew")
			e.Field = "since"
			return Journal{}, e
		}
		if err != nil {
			return Journal{}, err
		}
		out := Journal{Entries: []JournalEntry{}, Seq: seq, HeardAt: heard.UTC()}
		for i := range records {
			entry, err := shownEntry(&records[i])
			if err != nil {
				return Journal{}, err
			}
			out.Entries = append(out.Entries, entry)
		}
		return out, nil
	})
}

// writePatience is how long the taker of a backup may let the server wait: for
// that long its log grows.
const writePatience = time.Minute

// backup streams: a copy has the size of the ledger.
func (s *server) backup(ctx context.Context, _ *struct{}) (*huma.StreamResponse, error) {
	by, ok := ctx.Value(actorKey).(gatehouse.Actor)
	if !ok {
		return nil, problemOf(gatehouse.Refuse(gatehouse.AccessDenied, gatehouse.ReasonInternal, "nobody is asking"))
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		r, w := humago.Unwrap(c)
		to := &patientWriter{w: w, control: http.NewResponseController(w)}
		err := s.engine.Backup(r.Context(), by, to)
		switch {
		case err == nil:
		case errors.Is(err, gatehouse.ErrConflict):
			writeProblem(w, problemOf(gatehouse.Refuse(gatehouse.Conflict, gatehouse.ReasonBusy, "another backup is being made: wait until it is complete")))
		default:
			s.log.Error("a backup failed", "request_id", by.Request, "error", err)
			if to.wrote {
				panic(http.ErrAbortHandler) // the taker must not think that it is whole
			}
			writeProblem(w, problemOf(err))
		}
	}}, nil
}

// patientWriter lets an answer take as long as it goes on.
type patientWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	wrote   bool
	until   time.Time
}

func (p *patientWriter) Write(b []byte) (int, error) {
	if !p.wrote {
		p.wrote = true
		p.w.Header().Set("Content-Type", "application/x-tar")
	}
	if now := time.Now(); p.until.Sub(now) < writePatience/2 { // not for each page
		p.until = now.Add(writePatience)
		if err := p.control.SetWriteDeadline(p.until); err != nil {
			return 0, err
		}
	}
	return p.w.Write(b)
}

// Backup has the server write a copy of its ledger to w: see
// gatehouse.ReadBackup. What was written before an error is worth nothing.
func (c *Caller) Backup(ctx context.Context, w io.Writer) error {
	req, err := c.request(ctx, http.MethodPost, "/backup", nil, nil)
	if err != nil {
		return err
	}
	endless := *c.http
	endless.Timeout = 0
	resp, err := endless.Do(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		answer, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
		if err != nil {
			return c.unreachable(err)
		}
		return c.problem(resp, answer)
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("the copy broke off: %w", err)
	}
	return nil
}

// Journal reads the journal after since; below 0 it asks for the newest position.
func (c *Caller) Journal(ctx context.Context, since int64) (out Journal, err error) {
	return out, c.call(ctx, http.MethodGet, "/journal", url.Values{"since": {strconv.FormatInt(since, 10)}}, "", nil, &out)
}
