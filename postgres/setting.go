package postgres

import "context"

// Setting implements gatehouse.Store.
func (s *Store) Setting(ctx context.Context, name string, initial []byte) ([]byte, error) {
	if initial == nil {
		initial = []byte{}
	}
	var value []byte
	err := s.read(ctx, readTimeout, func(ctx context.Context, q queries) error {
		// The update changes nothing: it makes the statement wait for another
		// node's insert and return what is there then.
		return q.QueryRow(ctx, `INSERT INTO settings AS s (name, value) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET value = s.value RETURNING value`, name, initial).Scan(&value)
	})
	return value, err
}
