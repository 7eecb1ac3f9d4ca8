package reference

import "github.com/gatehouse-auth/gatehouse/dialect"

// A reason is a refusal in words for whoever was refused: what it means, and
// what to do.
type reason struct{ Means, Do string }

// reasons has one for each code. Where the server doesn't tell which of several
// things is wrong, neither does it: it lists what to look at.
var reasons = map[dialect.Code]reason{
	dialect.InvalidRequest:       {"The request can't be read as this endpoint's: a field has the wrong type or form, or stands there twice.", "Compare it with the example, field by field."},
	dialect.MissingParameter:     {"A required field is missing or empty.", "Send every field that the table calls required."},
	dialect.UnsupportedGrantType: {"The grant type is not spelled as this API wants it.", "Copy it from the example, letter by letter."},
	dialect.InvalidClient:        {"The client's id and secret don't go together here. Which of them is wrong is never told.", "Look for the other environment's secret, a retired secret, a space or line end that was pasted along, a disabled client."},
	dialect.UnauthorizedClient:   {"The client is known, and may not do this.", "Ask the API's owner to allow it."},
	dialect.InvalidGrant:         {"The code or refresh token is not good: used before, expired, revoked, or given to another client.", "Start again: get a new one, with your credentials or from the sign-in."},
	dialect.InvalidScope:         {"A scope is unknown, or more than the client may have.", "Leave scope out to get all that you have, or ask the API's owner for more."},
	dialect.InvalidTarget:        {"The resource that the token shall be for is unknown.", "Leave it out, or spell it as the API's owner does."},
	dialect.MissingToken:         {"The call carries no token where one is looked for.", "Send it as the section on calls shows, with the word Bearer and a space before it where the table has them."},
	dialect.InvalidToken:         {"The token is not one of this API and environment, or it was revoked.", "Get a new one, and look whether the sandbox's token went to the live API, or the other way round."},
	dialect.ExpiredToken:         {"The token was good, and its time is over.", "Get a new one and repeat the call, once. Renew earlier the next time."},
	dialect.InsufficientScope:    {"The token is good, and doesn't allow this call.", "Get one with the scope that the call needs."},
	dialect.AccessDenied:         {"This is not allowed with these credentials.", "Ask the API's owner; trying again won't help."},
	dialect.InsecureTransport:    {"The request came over plain HTTP, where others can read along.", "Use https, and change the secret: it has travelled in the clear."},
	dialect.RateLimited:          {"More requests than your client may make.", "Wait for as long as Retry-After says. Keep tokens for their whole life instead of getting one for each call."},
	dialect.MethodNotAllowed:     {"The path is right and the method isn't.", "Use one of the methods in the answer's Allow."},
	dialect.NotFound:             {"There is nothing under this path.", "Compare the path with the endpoint's, to the letter."},
	dialect.PayloadTooLarge:      {"The body is larger than such a request can be.", "Send the fields of the table only."},
	dialect.UnsupportedMediaType: {"The body is of another type than this endpoint reads, or it is compressed.", "Set Content-Type as the example does, and send it uncompressed."},
	dialect.Conflicting:          {"The same request is still under way.", "Wait for its answer, then ask again if need be."},
	dialect.Unavailable:          {"The server can't know the answer now, so it says nothing wrong.", "Wait for as long as Retry-After says, then repeat the request as it was."},
	dialect.ServerError:          {"Something failed on the server's side.", "Repeat it later. If it stays so, send the owner the answer's Gatehouse-Request-Id."},
}
