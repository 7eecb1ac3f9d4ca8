// Package webhook tells apps what happens to what is theirs: connections made
// and ended, tokens revoked, secrets retired. Messages are signed and carried as
// the Standard Webhooks specification says (standardwebhooks.com).
//
// The audit record is the source: an act and its event commit together, so
// what happened is told, whatever stops a process in between. A cursor follows
// the events; it moves in one transaction with the deliveries that it queues, so
// each is queued once. Delivering is at least once, in order for each endpoint, by
// whichever node holds the endpoint's lease.
package webhook
