package directory

import (
	"bytes"
	"context"
	"encoding/json" // what the library's types are made for
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/connect"
)

// ceremonyLife is how long a user may take.
const ceremonyLife = 5 * time.Minute

// maxPasskeys bounds what one user may register, and so the document.
const maxPasskeys = 20

// relyingParty is what passkeys are bound to (WebAuthn §5.1.2): the host of the
// URL, which can't be an address. nil is no passkeys.
func relyingParty(base string) (*webauthn.WebAuthn, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	host := u.Hostname()
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return nil, nil
	}
	return webauthn.New(&webauthn.Config{
		RPID: host, RPDisplayName: host, RPOrigins: []string{u.Scheme + "://" + u.Host},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: protocol.ResidentKeyRequired(),
			UserVerification: protocol.VerificationRequired,
		},
		Timeouts: webauthn.TimeoutsConfig{
			Login:        webauthn.TimeoutConfig{Enforce: true, Timeout: ceremonyLife, TimeoutUVD: ceremonyLife},
			Registration: webauthn.TimeoutConfig{Enforce: true, Timeout: ceremonyLife, TimeoutUVD: ceremonyLife},
		},
	})
}

// A ceremony is what Finish needs of Begin.
type ceremony struct {
	Environment gatehouse.Environment `json:"environment"`
	Registers   string                `json:"registers"` // the id of the user whose passkey is to be made; "" is a sign-in
	Session     webauthn.SessionData  `json:"session"`
}

// with returns the browser's part of a ceremony and ours.
func (c ceremony) with(options any) (jsontext.Value, []byte, error) {
	shown, err := json.Marshal(options)
	if err != nil {
		return nil, nil, err
	}
	kept, err := json.Marshal(c)
	return shown, kept, err
}

var errNoPasskeys = gatehouse.Refuse(gatehouse.AccessDenied, gatehouse.ReasonNotAllowed, "there are no passkeys here")

// BeginSignIn implements connect.Passkeys.
func (d *Directory) BeginSignIn(_ context.Context, env gatehouse.Environment) (jsontext.Value, []byte, error) {
	if d.webauthn == nil {
		return nil, nil, errNoPasskeys
	}
	options, session, err := d.webauthn.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, nil, fmt.Errorf("beginning a sign-in by passkey: %w", err)
	}
	return ceremony{Environment: env, Session: *session}.with(options)
}

// FinishSignIn implements connect.Passkeys.
func (d *Directory) FinishSignIn(ctx context.Context, by gatehouse.Actor, env gatehouse.Environment, begun []byte, response jsontext.Value) (*connect.User, error) {
	c, err := d.begun(begun, env, "")
	if err != nil {
		return nil, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return nil, refusedPasskey(err)
	}
	var u *record
	var failed error // ours, where it isn't the passkey's
	_, used, err := d.webauthn.ValidatePasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
		var err error
		if u, err = d.byID(ctx, string(handle)); err != nil {
			if gatehouse.AsError(err).Code != gatehouse.NotFound {
				failed = err
			}
			return nil, err
		}
		if u.env != env {
			return nil, errors.New("the passkey is of another environment")
		}
		return u, nil
	}, c.Session, parsed)
	switch {
	case failed != nil:
		return nil, failed
	case err != nil:
		return nil, refusedPasskey(err)
	case u.Disabled:
		return nil, denied(gatehouse.ReasonUserDisabled)
	case used.Authenticator.CloneWarning:
		d.log.Warn("a passkey's counter went back: it may have been copied, and was refused", "user", u.ID)
		return nil, denied(gatehouse.ReasonReplayed)
	}
	for i := range u.Passkeys {
		if bytes.Equal(u.Passkeys[i].Credential.ID, used.ID) {
			u.Passkeys[i].Credential = *used
		}
	}
	doc, err := u.document()
	if err != nil {
		return nil, err
	}
	// The counter is part of the proof: where it can't be kept, nor can this.
	if err := d.store.Keep(ctx, nil, doc); errors.Is(err, gatehouse.ErrConflict) {
		return nil, &gatehouse.Error{Code: gatehouse.Unavailable, Reason: gatehouse.ReasonBusy, RetryAfter: time.Second, Err: err, Message: "two sign-ins at once; try again"}
	} else if err != nil {
		return nil, fmt.Errorf("keeping a passkey: %w", err)
	}
	return u.signedIn(), nil
}

// BeginRegistration implements connect.Passkeys.
func (d *Directory) BeginRegistration(ctx context.Context, env gatehouse.Environment, user *connect.User) (jsontext.Value, []byte, error) {
	if d.webauthn == nil {
		return nil, nil, errNoPasskeys
	}
	u, err := d.byID(ctx, user.ID)
	if err != nil {
		return nil, nil, err
	}
	if u.env != env || u.Disabled {
		return nil, nil, denied(gatehouse.ReasonUserDisabled)
	}
	if len(u.Passkeys) >= maxPasskeys {
		return nil, nil, gatehouse.Refuse(gatehouse.Conflict, gatehouse.ReasonNotAllowed, "there are 20 passkeys already")
	}
	there := make([]protocol.CredentialDescriptor, len(u.Passkeys))
	for i := range u.Passkeys {
		there[i] = u.Passkeys[i].Credential.Descriptor()
	}
	options, session, err := d.webauthn.BeginRegistration(u, webauthn.WithExclusions(there))
	if err != nil {
		return nil, nil, fmt.Errorf("beginning to register a passkey: %w", err)
	}
	return ceremony{Environment: env, Registers: u.ID, Session: *session}.with(options)
}

// FinishRegistration implements connect.Passkeys.
func (d *Directory) FinishRegistration(ctx context.Context, by gatehouse.Actor, env gatehouse.Environment, user *connect.User, begun []byte, response jsontext.Value) error {
	c, err := d.begun(begun, env, user.ID)
	if err != nil {
		return err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return refusedPasskey(err)
	}
	_, err = d.change(ctx, by, "user.passkey", user.ID, func(u *record) error {
		if u.env != env || u.Disabled {
			return denied(gatehouse.ReasonUserDisabled)
		}
		made, err := d.webauthn.CreateCredential(u, c.Session, parsed)
		if err != nil {
			return refusedPasskey(err)
		}
		for i := range u.Passkeys {
			if bytes.Equal(u.Passkeys[i].Credential.ID, made.ID) {
				return refusedPasskey(errors.New("it is registered already"))
			}
		}
		if len(u.Passkeys) >= maxPasskeys {
			return refusedPasskey(errors.New("there are too many"))
		}
		made.Attestation = webauthn.CredentialAttestation{} // of no use without a metadata service
		u.Passkeys = append(u.Passkeys, passkey{Credential: *made, AddedAt: d.now().Truncate(time.Millisecond)})
		return nil
	})
	return err
}

// begun reads a ceremony, which must be of this environment and kind.
func (d *Directory) begun(kept []byte, env gatehouse.Environment, registers string) (*ceremony, error) {
	if d.webauthn == nil {
		return nil, errNoPasskeys
	}
	c := &ceremony{}
	if err := json.Unmarshal(kept, c); err != nil {
		return nil, fmt.Errorf("reading a ceremony: %w", err)
	}
	if c.Environment != env || c.Registers != registers {
		return nil, denied(gatehouse.ReasonWrongEnvironment)
	}
	return c, nil
}

// refusedPasskey is one answer whatever is wrong; err is for the owner.
func refusedPasskey(err error) error {
	var p *protocol.Error
	if errors.As(err, &p) {
		err = fmt.Errorf("%s: %s", p.Details, p.DevInfo)
	}
	return &gatehouse.Error{Code: gatehouse.AccessDenied, Reason: gatehouse.ReasonWrongPasskey, Message: "the passkey was not accepted", Err: err}
}

// What webauthn.User asks of a user.

// WebAuthnID is the user handle.
func (u *record) WebAuthnID() []byte { return []byte(u.ID) }

// WebAuthnName tells accounts apart where the user has several.
func (u *record) WebAuthnName() string { return u.Name }

// WebAuthnDisplayName is what the authenticator shows.
func (u *record) WebAuthnDisplayName() string { return u.signedIn().Name }

// WebAuthnCredentials are the passkeys.
func (u *record) WebAuthnCredentials() []webauthn.Credential {
	out := make([]webauthn.Credential, len(u.Passkeys))
	for i := range u.Passkeys {
		out[i] = u.Passkeys[i].Credential
	}
	return out
}
