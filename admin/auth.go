package admin

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// RequestIDHeader carries our id of the request on every answer.
const RequestIDHeader = "Gatehouse-Request-Id"

type contextKey int

const (
	peerKey contextKey = iota
	actorKey
)

// peer is who is at the other end of a unix socket's connection.
type peer struct {
	uid uint32
	err error
}

// ConnContext is the http.Server.ConnContext of a server that serves New's
// handler: it asks the kernel who has connected to a unix socket.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	uid, err := peerUID(u)
	return context.WithValue(ctx, peerKey, peer{uid, err})
}

// door lets operators in: by the admin token on TCP, by user id on the socket.
type door struct {
	token   secret.Text // zero: nobody on TCP
	trusted []netip.Prefix
	log     *slog.Logger
	next    http.Handler
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := token.NewID(time.Now()).String()
	h := w.Header()
	h.Set(RequestIDHeader, id)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	by, err := d.admit(r)
	if err != nil {
		p := problemOf(err)
		d.log.Info("refused an operator", "request_id", id, "addr", by.Addr.String(), "code", p.Code)
		writeProblem(w, p)
		return
	}
	by.Request = id
	d.next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), actorKey, by)))
}

// admit says who is asking, or why it is not let in.
func (d *door) admit(r *http.Request) (gatehouse.Actor, error) {
	by := gatehouse.Actor{Kind: gatehouse.ByOperator}
	if p, ok := r.Context().Value(peerKey).(peer); ok {
		if p.err != nil {
			return by, gatehouse.Refuse(gatehouse.AccessDenied, gatehouse.ReasonNotAllowed, p.err.Error())
		}
		if p.uid != 0 && p.uid != uint32(os.Geteuid()) {
			return by, gatehouse.Refuse(gatehouse.AccessDenied, gatehouse.ReasonNotAllowed,
				"the admin socket is for the server's own user and root: run the command as one of them")
		}
		by.ID = "uid:" + strconv.FormatUint(uint64(p.uid), 10)
		return by, nil
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return by, gatehouse.Refuse(gatehouse.AccessDenied, gatehouse.ReasonNotAllowed, "the request comes from nowhere")
	}
	by.Addr = from.Addr().Unmap()
	if !d.private(r, by.Addr) {
		return by, gatehouse.Refuse(gatehouse.InsecureTransport, gatehouse.ReasonPlainHTTP,
			"the admin token must not travel in the clear: use https, or a trusted proxy that says X-Forwarded-Proto: https")
	}
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return by, gatehouse.Refuse(gatehouse.MissingToken, gatehouse.ReasonMalformed,
			"send the admin token: Authorization: Bearer TOKEN")
	}
	scheme, given, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || d.token.IsZero() || !d.token.Equal(secret.New(strings.TrimSpace(given))) {
		message := "that is not the admin token"
		if d.token.IsZero() {
			message = "this server has no admin token: set admin_token, or use the admin socket"
		}
		return by, gatehouse.Refuse(gatehouse.InvalidToken, gatehouse.ReasonUnknownToken, message)
	}
	by.ID = "admin-token"
	return by, nil
}

// private reports whether nobody on the way can have read the request.
func (d *door) private(r *http.Request, from netip.Addr) bool {
	if r.TLS != nil {
		return true
	}
	if proto := r.Header.Get("X-Forwarded-Proto"); proto != "" {
		for _, p := range d.trusted {
			if p.Contains(from) {
				return strings.EqualFold(proto, "https")
			}
		}
	}
	return from.IsLoopback()
}
