// Package admin is how operators reach a running Gatehouse: the HTTP API under
// /admin/v1 (server side: New), its client (Client, which the command line
// uses), and the messages that both share.
//
// The API is described by /admin/v1/openapi.json. It listens in two places. On
// TCP every call needs the admin token as a Bearer credential; on the unix
// socket the kernel says who is calling, and the server's own user and root are
// let in. /healthz, /readyz and /metrics need no credential.
package admin
