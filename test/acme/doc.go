// Package acme holds the test that gets the server's certificate from a real
// ACME authority (Pebble), which looks names up at a real DNS server.
package acme
