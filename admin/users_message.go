package admin

import (
	"net/url"
	"time"
)

// User is an end user of the built-in directory. A password is never shown.
type User struct {
	UserID        string     `json:"user_id" doc:"what stands on connections; never used again"`
	Environment   string     `json:"environment"`
	Name          string     `json:"name" doc:"what they sign in by, in one spelling"`
	DisplayName   string     `json:"display_name,omitempty"`
	State         string     `json:"state" enum:"enabled,disabled"`
	PasswordSince *time.Time `json:"password_since" doc:"null where they have no password"`
	Passkeys      int        `json:"passkeys" doc:"how many they have registered"`
	CreatedAt     time.Time  `json:"created_at"`
}

// NewUser asks for an end user.
type NewUser struct {
	Environment string     `json:"environment" doc:"a user of one environment is nobody in the other"`
	Name        string     `json:"name" minLength:"1" maxLength:"128"`
	DisplayName string     `json:"display_name,omitempty" maxLength:"200" doc:"what pages greet them by"`
	Password    Credential `json:"password,omitzero" doc:"12 characters or more; without one they can't sign in yet"`
}

// UserFilter selects end users of a list.
type UserFilter struct {
	Environment string `query:"environment" enum:"sandbox,live"`
	Name        string `query:"name" doc:"the one of this name"`
}

// UserPassword replaces a password.
type UserPassword struct {
	Password Credential `json:"password"`
}

func userURL(id string) string { return "/users/" + url.PathEscape(id) }
