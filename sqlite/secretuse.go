package sqlite

import (
	"context"
	"net/netip"

	"zombiezen.com/go/sqlite"

	"github.com/gatehouse-auth/gatehouse"
)

// SecretUses implements gatehouse.Store.
func (s *Store) SecretUses(ctx context.Context, id gatehouse.ClientID) ([]gatehouse.SecretUse, error) {
	var uses []gatehouse.SecretUse
	err := s.read(ctx, func(v *view) error {
		return v.conn.rows(`SELECT k.id, u.count, u.at, u.addr FROM clients c JOIN secrets k ON k.client = c.n
			JOIN secret_uses u ON u.secret = k.n WHERE c.id = ? ORDER BY k.id`, func(st *sqlite.Stmt) error {
			addr, _ := netip.ParseAddr(st.ColumnText(3)) // none is the zero Addr
			uses = append(uses, gatehouse.SecretUse{Secret: columnID(st, 0), Count: st.ColumnInt64(1), At: columnTime(st, 2), Addr: addr})
			return nil
		}, string(id))
	})
	return uses, err
}

// UseSecrets implements gatehouse.Store. Secrets that no client has are passed
// over: one of them must not lose the others' uses.
func (s *Store) UseSecrets(ctx context.Context, uses []gatehouse.SecretUse) error {
	if len(uses) == 0 {
		return nil
	}
	return s.write(ctx, func(w *writer) error {
		w.wrote = true
		for _, u := range uses {
			if err := w.conn.run(`INSERT INTO secret_uses (secret, count, at, addr) SELECT n, ?2, ?3, ?4 FROM secrets WHERE id = ?1
				ON CONFLICT DO UPDATE SET count = count + excluded.count,
				addr = CASE WHEN at IS NULL OR excluded.at > at THEN excluded.addr ELSE addr END,
				at = CASE WHEN at IS NULL OR excluded.at > at THEN excluded.at ELSE at END`,
				u.Secret, u.Count, u.At, addrText(u.Addr)); err != nil {
				return err
			}
		}
		return nil
	})
}

// addrText is an address as it is stored: empty where there is none.
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
