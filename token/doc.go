// Package token mints and verifies what Gatehouse hands out: signed tokens
// (JWT, RFC 7519) and opaque ones, the secrets beside them, and the keys that
// sign. It knows no store, no clock of its own and no HTTP: who may have a
// token, and whether it was taken back, is judged by its callers.
//
// Everything here is safe for concurrent use unless it says otherwise, and no
// error of this package holds a token, a secret or a part of one.
package token
