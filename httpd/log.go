package httpd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

// panicText says what a panic was, without printing values of the program's
// own, which may hold a credential.
func panicText(p any) string {
	if e, ok := p.(runtime.Error); ok {
		return e.Error()
	}
	return fmt.Sprintf("a %T", p)
}

// logCall writes one line: refusals at info, failures of ours at error, the
// rest at debug. Never a query, a path of the caller's, a header or a body.
func (s *Server) logCall(c *call, took time.Duration) {
	level, message := slog.LevelDebug, "answered"
	if c.refusal != nil {
		level, message = slog.LevelInfo, "refused"
		switch {
		case errors.Is(c.refusal.Err, context.Canceled):
			level, message = slog.LevelDebug, "the caller went away"
		case c.status >= http.StatusInternalServerError:
			level, message = slog.LevelError, "failed"
		}
	}
	ctx := c.r.Context()
	if !s.log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 10)
	attrs = append(attrs, slog.String("request_id", c.id), slog.String("route", c.route.label),
		slog.Int("status", c.status), slog.Duration("took", took), slog.String("addr", c.addr.String()))
	if e := c.refusal; e != nil {
		attrs = append(attrs, slog.String("code", string(e.Code)), slog.String("reason", string(e.Reason)))
		if e.Client != "" {
			attrs = append(attrs, slog.String("client", string(e.Client)))
		}
		if !e.Token.IsZero() {
			attrs = append(attrs, slog.String("token_id", e.Token.String()))
		}
		if e.Err != nil {
			attrs = append(attrs, slog.String("err", e.Err.Error()))
		}
	}
	s.log.LogAttrs(ctx, level, message, attrs...)
}

// keepRefusal keeps why c was refused, for its owner to ask.
func (s *Server) keepRefusal(c *call) {
	if c.refusal == nil {
		return
	}
	r := gatehouse.RefusalOf(c.refusal)
	r.ID, r.At, r.Route, r.Status, r.Addr = c.id, c.began.UTC(), c.route.label, c.status, c.addr
	s.engine.Refused(r)
}
