// Package dialect reads one YAML file that describes an API's token messages
// and uses it in both directions: a server reads requests and writes answers
// with it, a client writes requests and reads answers.
//
// A message is a tree of literals and holes. A literal is written as it
// stands and must match where it is read. A hole names a value from a closed
// set and may name a codec, also from a closed set, that fixes how the value
// looks on the wire:
//
//	"{client_id}"                    the value as text
//	"Bearer {access_token}"          a literal and a hole in one string
//	"{expires_at|iso8601-minute}"    written and read by a codec
//	"{token_name?}"                  may be absent
//	"{m=success}"                    written so, read as anything
//	"{{" and "}}"                    the braces themselves
//
// [Load] compiles a file once and refuses what could not be read back, with
// line, column and what to write instead. A loaded [Dialect] is immutable and
// safe for concurrent use.
package dialect
