package node

import (
	"github.com/gatehouse-auth/gatehouse/connect"
)

// connectPages makes the pages on which end users sign in and agree.
func (n *Node) connectPages() (*connect.Pages, error) {
	return connect.New(connect.Config{
		Engine: n.engine, Documents: n.store, Identity: n.identity, Dialects: n.Dialects,
		Limits: n.settings.Limits, Logger: n.log,
	})
}
