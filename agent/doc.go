// Package agent is a local proxy that adds live tokens to requests for APIs:
//
//	http://127.0.0.1:4180/NAME/v1/x  →  base_url of NAME + /v1/x, with a token
//
// so that a program in any language calls an API as if it wanted no
// credentials. The tokens are those of package bearer.
package agent
