// Package bearer gets, keeps, renews and retries the tokens of any API that has
// a dialect, and of standard OAuth 2.0, so that a program that calls the API
// never thinks of them:
//
//	d, err := bearer.Dialect("paypal.yaml")
//	source, err := bearer.New(bearer.Config{Dialect: d, BaseURL: "https://api.example", ClientID: id, ClientSecret: secret.New(key)})
//	client := source.Client()
//
// A [Source] asks the token endpoint once however many goroutines wait, renews
// in the background before a token ends, and backs off while the endpoint
// fails. A [Transport] adds the token to requests for the API, and to no
// others, and answers a 401 with one renewal and one more try.
package bearer
