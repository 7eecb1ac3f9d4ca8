package admin

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// A List is one page of a collection. Next is the cursor of the page that
// follows, "" after the last.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next" doc:"cursor of the next page, empty after the last"`
}

// A Page says which part of a collection is asked for. Limit 0 is 50.
type Page struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100000" default:"50" doc:"how many items a page has at most; no page has more than 999"`
	Cursor string `query:"cursor" doc:"next of the page before"`
}

// Client is a client as operators see it. Ids are written as they go on the
// wire.
type Client struct {
	ClientID  string            `json:"client_id"`
	Name      string            `json:"name"`
	Dialect   string            `json:"dialect"`
	ClientIDs map[string]string `json:"client_ids" doc:"the id in each environment"`
	State     string            `json:"state" enum:"enabled,disabled,deleted"`
	Scopes    []string          `json:"scopes"`
	Domain    string            `json:"domain,omitempty"`
	Fields    map[string]string `json:"fields"`
	MaxTTL    int64             `json:"max_ttl" doc:"longest life of its tokens in seconds; 0 is the dialect's"`
	Refresh   bool              `json:"refresh"`
	LimitRate string            `json:"limit_rate,omitempty" doc:"issuance limit such as 60/m; absent is the dialect's"`
	EndUsers
	CreatedAt   time.Time      `json:"created_at"`
	LiveSecrets map[string]int `json:"live_secrets" doc:"how many secrets are live in each environment"`
}

// EndUsers is what a client registers for the Connect page, in each environment.
// No redirect URI or origin is of two.
type EndUsers struct {
	RedirectURIs map[string][]string `json:"redirect_uris,omitempty" doc:"where its end users may be sent back, to the letter; of each environment"`
	Origins      map[string][]string `json:"origins,omitempty" doc:"whose pages may open the Connect page in a pop-up or frame; of each environment"`
}

// ClientLogo is the picture that end users know a client by.
type ClientLogo struct {
	Logo []byte `json:"logo" doc:"a PNG or JPEG of at most 32 KiB and 1,024 pixels, in base64"`
}

// ClientStateChanged answers a client's enabling, disabling and deletion.
type ClientStateChanged struct {
	Client
	Stopped int `json:"stopped" doc:"how many live tokens pass no more; of a disabled client they are counted up to 10,000"`
}

// NewClient asks for a client.
type NewClient struct {
	Name         string            `json:"name" minLength:"1" maxLength:"200"`
	Dialect      string            `json:"dialect" minLength:"1"`
	Environments []string          `json:"environments,omitempty" doc:"none is all that the server has"`
	Scopes       []string          `json:"scopes,omitempty"`
	Domain       string            `json:"domain,omitempty"`
	MaxTTL       int64             `json:"max_ttl,omitzero" minimum:"0" maximum:"3153600000" doc:"seconds"`
	Fields       map[string]string `json:"fields,omitempty"`
	Refresh      bool              `json:"refresh,omitzero" doc:"standard OAuth 2.0: may use refresh tokens"`
	LimitRate    string            `json:"limit_rate,omitempty" doc:"such as 60/m"`
	EndUsers
	ClientIDs    map[string]string `json:"client_ids,omitempty" doc:"import: the id to keep in each environment"`
	SecretHashes []ImportedHash    `json:"secret_hashes,omitempty" doc:"import: hashes of the secrets that the client has already; none is made for these environments"`
}

// ImportedHash is the hash of a secret that was handed out elsewhere.
type ImportedHash struct {
	Environment string     `json:"environment"`
	Hash        Credential `json:"hash" doc:"Argon2id, bcrypt, PBKDF2 or SHA-256"`
}

// CreatedClient answers NewClient. Secrets are shown this once.
type CreatedClient struct {
	ClientID string      `json:"client_id"`
	Name     string      `json:"name"`
	Dialect  string      `json:"dialect"`
	Secrets  []NewSecret `json:"secrets"`
	Omitted
}

// Omitted is part of answers with credentials: a create repeated under its
// Idempotency-Key after the answer's seal has expired is answered without them.
type Omitted struct {
	SecretsOmitted bool `json:"secrets_omitted,omitzero" doc:"a replay came too late to show the credentials again"`
}

// NewSecret is a secret that was made, or imported (then without client_secret).
type NewSecret struct {
	Environment  string     `json:"environment"`
	ClientID     string     `json:"client_id"`
	SecretID     string     `json:"secret_id"`
	ClientSecret Credential `json:"client_secret,omitzero"`
}

// AddedSecret answers AddSecret.
type AddedSecret struct {
	NewSecret
	Omitted
}

// ClientChange changes what it names. A field set to null is removed.
type ClientChange struct {
	Name      *string            `json:"name,omitzero" minLength:"1" maxLength:"200"`
	Domain    *string            `json:"domain,omitzero"`
	Scopes    *[]string          `json:"scopes,omitzero"`
	MaxTTL    *int64             `json:"max_ttl,omitzero" minimum:"0" maximum:"3153600000" doc:"seconds; 0 is the dialect's"`
	Fields    map[string]*string `json:"fields,omitzero"`
	Refresh   *bool              `json:"refresh,omitzero"`
	LimitRate *string            `json:"limit_rate,omitzero" doc:"such as 60/m; empty is the dialect's"`
	EndUsers                     // replaces the lists of the environments that it names
}

// AddSecret asks for a further secret of a client.
type AddSecret struct {
	Environment string     `json:"environment"`
	Hash        Credential `json:"hash,omitzero" doc:"import this hash instead of making a secret"`
}

// Secret is a client secret as operators see it: never its value.
type Secret struct {
	SecretID     string     `json:"secret_id"`
	ClientID     string     `json:"client_id"`
	Environment  string     `json:"environment"`
	CreatedAt    time.Time  `json:"created_at"`
	RetiredAt    *time.Time `json:"retired_at"`
	Compromised  bool       `json:"compromised"`
	Imported     bool       `json:"imported"`
	LastUsedAt   *time.Time `json:"last_used_at"`
	LastUsedFrom string     `json:"last_used_from,omitempty"`
	Uses         int64      `json:"uses"`
	SafeToRetire bool       `json:"safe_to_retire"`
	Advice       string     `json:"advice,omitempty"`
}

// Compromise says why a secret or key is retired.
type Compromise struct {
	Compromised bool `json:"compromised,omitzero" doc:"it is in wrong hands: end what it obtained, too"`
}

// RetiredSecret answers a retirement.
type RetiredSecret struct {
	SecretID    string    `json:"secret_id"`
	ClientID    string    `json:"client_id"`
	Environment string    `json:"environment"`
	RetiredAt   time.Time `json:"retired_at"`
	Revoked     int       `json:"revoked" doc:"how many tokens it ended"`
}

// Token is a token as operators see it.
type Token struct {
	TokenID     string     `json:"token_id"`
	ClientID    string     `json:"client_id"`
	Environment string     `json:"environment"`
	Dialect     string     `json:"dialect"`
	Name        string     `json:"name"`
	IssuedAt    time.Time  `json:"issued_at"`
	ExpiresAt   *time.Time `json:"expires_at" doc:"null for a permanent token"`
	RevokedAt   *time.Time `json:"revoked_at"`
	Status      string     `json:"status" enum:"active,expired,revoked"`
	Kind        string     `json:"kind" enum:"access,refresh,code"`
}

// TokenFilter selects tokens of a list.
type TokenFilter struct {
	ClientID    string `query:"client_id"`
	Environment string `query:"environment" enum:"sandbox,live"`
	Name        string `query:"name"`
	Status      string `query:"status" enum:"active,expired,revoked"`
	Kind        string `query:"kind" enum:"access,refresh,code" doc:"none is access and refresh"`
	Connection  string `query:"connection_id"`
}

// IssueToken asks for a token on a client's behalf.
type IssueToken struct {
	ClientID    string   `json:"client_id" minLength:"1"`
	Environment string   `json:"environment"`
	Life        int64    `json:"life,omitzero" minimum:"1" doc:"seconds; none is the client's usual"`
	Name        string   `json:"name,omitempty"`
	Scopes      []string `json:"scopes,omitempty"`
}

// IssuedToken answers IssueToken.
type IssuedToken struct {
	Token
	AccessToken  Credential `json:"access_token,omitzero"`
	RefreshToken Credential `json:"refresh_token,omitzero"`
	TokenType    string     `json:"token_type"`
	ExpiresIn    *int64     `json:"expires_in" doc:"seconds; null for a permanent token"`
	Scope        string     `json:"scope"`
	Omitted
}

// InspectToken asks what a token is.
type InspectToken struct {
	Token Credential `json:"token"`
}

// Inspection is the truth about a token, for its owner.
type Inspection struct {
	Token
	Valid   bool     `json:"valid"`
	Reason  string   `json:"reason,omitempty" doc:"why it does not pass"`
	Client  string   `json:"client,omitempty" doc:"its client's name"`
	Scopes  []string `json:"scopes"`
	User    string   `json:"user,omitempty"`
	GrantID string   `json:"grant_id,omitempty" doc:"the connection or refresh family that it belongs to"`
}

// Selection names the tokens to revoke by exactly one of token_id, token,
// connection_id and client_id; the others narrow client_id.
type Selection struct {
	TokenID      string     `json:"token_id,omitempty"`
	Token        Credential `json:"token,omitzero"`
	ConnectionID string     `json:"connection_id,omitempty"`
	ClientID     string     `json:"client_id,omitempty"`
	Environment  string     `json:"environment,omitempty"`
	Name         string     `json:"name,omitempty"`
	Before       *time.Time `json:"before,omitzero" doc:"only tokens issued at or before"`
}

// Revoked says what a revocation ended.
type Revoked struct {
	Revoked int `json:"revoked" doc:"tokens that were live and are not any more"`
}

// Connection is an end user's link to a client.
type Connection struct {
	ConnectionID string     `json:"connection_id"`
	ClientID     string     `json:"client_id"`
	Environment  string     `json:"environment"`
	User         string     `json:"user"`
	CreatedAt    time.Time  `json:"created_at"`
	DelinkedAt   *time.Time `json:"delinked_at"`
}

// ConnectionFilter selects connections of a list.
type ConnectionFilter struct {
	ClientID    string `query:"client_id"`
	User        string `query:"user"`
	Environment string `query:"environment" enum:"sandbox,live"`
}

// NewConnection asks for a connection of a user whom the caller has
// authenticated.
type NewConnection struct {
	ClientID    string `json:"client_id" minLength:"1"`
	Environment string `json:"environment"`
	User        string `json:"user" minLength:"1" maxLength:"200"`
}

// CreatedConnection answers NewConnection. Message is what the dialect's
// sign-in page hands over, in the dialect's words.
type CreatedConnection struct {
	Connection
	AccessCode    Credential     `json:"access_code,omitzero"`
	UserSecret    Credential     `json:"user_secret,omitzero"`
	CodeExpiresAt time.Time      `json:"code_expires_at"`
	Message       jsontext.Value `json:"message,omitzero" doc:"what the dialect's sign-in page hands over"`
	Omitted
}

// Key is a signing key's public record.
type Key struct {
	KeyID       string     `json:"key_id"`
	Environment string     `json:"environment"`
	Format      string     `json:"format" doc:"oauth2, or the dialect whose tokens it signs"`
	Algorithm   string     `json:"algorithm"`
	State       string     `json:"state" doc:"standby, signing, retired or gone"`
	PublishedAt time.Time  `json:"published_at"`
	SignsFrom   *time.Time `json:"signs_from"`
	RetiredAt   *time.Time `json:"retired_at"`
	GoneAt      *time.Time `json:"gone_at" doc:"verifies nothing from here on"`
	Compromised bool       `json:"compromised"`
}

// RotateKeys asks that the keys standing by sign from now on.
type RotateKeys struct {
	Environment string `json:"environment" enum:"sandbox,live"`
	Format      string `json:"format,omitempty" doc:"oauth2 or a dialect; none is all of the environment"`
}

// Dialect is a dialect that the server speaks.
type Dialect struct {
	Name       string   `json:"name"`
	Title      string   `json:"title"`
	Summary    string   `json:"summary"`
	Operations []string `json:"operations"`
	Builtin    bool     `json:"builtin"`
}

// DialectSource is a dialect and its file.
type DialectSource struct {
	Dialect
	Source string `json:"source" doc:"the YAML file, comments and all"`
}

// DialectDocs is a dialect's reference page.
type DialectDocs struct {
	Name     string `json:"name"`
	Markdown string `json:"markdown"`
}

// CheckDialect asks what a server would make of a dialect file.
type CheckDialect struct {
	Name   string `json:"name" doc:"file name, for messages" maxLength:"200"`
	Source string `json:"source"`
}

// DialectCheck answers CheckDialect.
type DialectCheck struct {
	Valid    bool     `json:"valid"`
	Dialect  *Dialect `json:"dialect" doc:"null where the file could not be read"`
	Problems []string `json:"problems"`
	Warnings []string `json:"warnings"`
}

// Event is an audit record.
type Event struct {
	Seq     int64             `json:"seq"`
	At      time.Time         `json:"at"`
	By      EventActor        `json:"by"`
	Action  string            `json:"action"`
	Subject string            `json:"subject"`
	Detail  map[string]string `json:"detail"`
	Hash    string            `json:"hash" doc:"SHA-256 of the event and its predecessor's hash, in hex"`
}

// EventActor is who did it.
type EventActor struct {
	Kind    string `json:"kind"`
	ID      string `json:"id,omitempty"`
	Address string `json:"address,omitempty"`
	Request string `json:"request,omitempty"`
}

// AuditReport says whether the ledger's hash chains hold.
type AuditReport struct {
	Clean  bool     `json:"clean"`
	Events int      `json:"events"`
	Tokens int      `json:"tokens"`
	Faults []string `json:"faults"`
}

// Version says which Gatehouse is running.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

// Status says how the server is.
type Status struct {
	Version    Version   `json:"version"`
	Issuer     string    `json:"issuer"`
	URL        string    `json:"url"`
	StartedAt  time.Time `json:"started_at"`
	Ready      bool      `json:"ready"`
	Problem    string    `json:"problem,omitempty" doc:"why it is not ready"`
	Database   string    `json:"database"`
	Nodes      int       `json:"nodes" doc:"how many nodes share the database, this one included"`
	Limits     string    `json:"limits" doc:"how limits are counted: off, alone, each_node (its share), redis, or redis_lost (its share until redis answers again)"`
	Dialects   []string  `json:"dialects"`
	Reload     string    `json:"reload,omitempty" doc:"what the last reload refused, if it did"`
	ReloadedAt time.Time `json:"reloaded_at,omitzero"`
}
