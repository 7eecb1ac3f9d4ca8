package admin

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/connect/directory"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// UserPath names an end user in a path.
type UserPath struct {
	ID string `path:"id" doc:"user id"`
}

func (s *server) userRoutes(api huma.API, users *directory.Directory) {
	tags := []string{"Users"}
	route(s, api, huma.Operation{
		OperationID: "create-user", Method: http.MethodPost, Path: "/users", DefaultStatus: http.StatusCreated, Tags: tags,
		Summary: "Add an end user to the built-in directory",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct {
		Idempotent
		Body NewUser
	}) (User, error) {
		env, err := environment("environment", in.Body.Environment)
		if err != nil {
			return User{}, err
		}
		// A digest of the request is kept for a day, and would be one of the
		// password: of that, repeating a create says nothing.
		if in.RawBody, err = json.Marshal(NewUser{Environment: in.Body.Environment, Name: in.Body.Name, DisplayName: in.Body.DisplayName}); err != nil {
			return User{}, err
		}
		out, _, err := repeatable(ctx, s, by, in.key("create-user"), func(remember rememberer[User]) (User, secret.Text, error) {
			n := directory.NewUser{Environment: env, Name: in.Body.Name, Display: in.Body.DisplayName, Password: in.Body.Password.Text}
			n.Remember = func(u *directory.User) (*gatehouse.Replay, error) { return remember(userOf(u), secret.Text{}) }
			u, err := shownUser(users.Create(ctx, by, n))
			return u, secret.Text{}, err
		})
		return out, err
	})

	route(s, api, huma.Operation{
		OperationID: "list-users", Method: http.MethodGet, Path: "/users", Tags: tags, Summary: "List end users by environment and name",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct {
		Page
		UserFilter
	}) (List[User], error) {
		env, err := environment("environment", in.Environment)
		if err != nil {
			return List[User]{}, err
		}
		if in.Name != "" {
			if env == "" {
				return List[User]{}, refuse("environment", "a name is one of an environment: say which")
			}
			u, err := users.Find(ctx, env, in.Name)
			if err != nil {
				return List[User]{}, err
			}
			return List[User]{Items: []User{userOf(u)}}, nil
		}
		after, limit, err := s.page("users", in.Page)
		if err != nil {
			return List[User]{}, err
		}
		rows, err := users.Users(ctx, env, after, limit+1)
		if err != nil {
			return List[User]{}, err
		}
		return list(s, "users", rows, limit, (*directory.User).Key, userOf), nil
	})

	route(s, api, huma.Operation{
		OperationID: "show-user", Method: http.MethodGet, Path: "/users/{id}", Tags: tags, Summary: "Show an end user",
	}, func(ctx context.Context, by gatehouse.Actor, in *UserPath) (User, error) {
		return shownUser(users.User(ctx, in.ID))
	})

	for _, change := range []struct {
		id, method, path, summary string
		do                        func(ctx context.Context, by gatehouse.Actor, id string) (*directory.User, error)
	}{
		{"disable-user", http.MethodPost, "/users/{id}/disable", "Let an end user sign in no more; their connections stay",
			func(ctx context.Context, by gatehouse.Actor, id string) (*directory.User, error) {
				return users.SetDisabled(ctx, by, id, true)
			}},
		{"enable-user", http.MethodPost, "/users/{id}/enable", "Let a disabled end user sign in again",
			func(ctx context.Context, by gatehouse.Actor, id string) (*directory.User, error) {
				return users.SetDisabled(ctx, by, id, false)
			}},
		{"delete-user", http.MethodDelete, "/users/{id}", "Remove an end user; their connections stay, and their id is never used again", users.Delete},
	} {
		op := huma.Operation{OperationID: change.id, Method: change.method, Path: change.path, Tags: tags, Summary: change.summary, DefaultStatus: http.StatusOK}
		route(s, api, op, func(ctx context.Context, by gatehouse.Actor, in *UserPath) (User, error) {
			return shownUser(change.do(ctx, by, in.ID))
		})
	}

	route(s, api, huma.Operation{
		OperationID: "set-user-password", Method: http.MethodPost, Path: "/users/{id}/password", DefaultStatus: http.StatusOK, Tags: tags,
		Summary: "Give an end user another password",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct {
		UserPath
		Body UserPassword
	}) (User, error) {
		return shownUser(users.SetPassword(ctx, by, in.ID, in.Body.Password.Text))
	})
}

// usersElsewhere answers for users whom another provider signs in.
func usersElsewhere(w http.ResponseWriter, _ *http.Request) {
	writeProblem(w, problemOf(gatehouse.Refuse(gatehouse.NotFound, gatehouse.ReasonNotAllowed,
		"this server's end users sign in at another provider (connect.identity): add and remove them there")))
}

func shownUser(u *directory.User, err error) (User, error) {
	if err != nil {
		return User{}, err
	}
	return userOf(u), nil
}

func userOf(u *directory.User) User {
	state := "enabled"
	if u.Disabled {
		state = "disabled"
	}
	return User{
		UserID: u.ID, Environment: string(u.Environment), Name: u.Name, DisplayName: u.Display, State: state,
		PasswordSince: moment(u.PasswordSince), Passkeys: u.Passkeys, CreatedAt: u.CreatedAt.UTC(),
	}
}

// CreateUser adds an end user. A key makes the call safe to repeat; "" is none.
func (c *Caller) CreateUser(ctx context.Context, n NewUser, key string) (out User, err error) {
	return out, c.call(ctx, http.MethodPost, "/users", nil, key, n, &out)
}

// Users lists end users.
func (c *Caller) Users(ctx context.Context, f UserFilter, p Page) (out List[User], err error) {
	q := p.query()
	set(q, "environment", f.Environment)
	set(q, "name", f.Name)
	return out, c.call(ctx, http.MethodGet, "/users", q, "", nil, &out)
}

// EnableUser lets a disabled end user sign in again.
func (c *Caller) EnableUser(ctx context.Context, id string) (out User, err error) {
	return out, c.call(ctx, http.MethodPost, userURL(id)+"/enable", nil, "", nil, &out)
}

// DisableUser lets an end user sign in no more.
func (c *Caller) DisableUser(ctx context.Context, id string) (out User, err error) {
	return out, c.call(ctx, http.MethodPost, userURL(id)+"/disable", nil, "", nil, &out)
}

// DeleteUser removes an end user.
func (c *Caller) DeleteUser(ctx context.Context, id string) (out User, err error) {
	return out, c.call(ctx, http.MethodDelete, userURL(id), nil, "", nil, &out)
}

// SetUserPassword gives an end user another password.
func (c *Caller) SetUserPassword(ctx context.Context, id string, p UserPassword) (out User, err error) {
	return out, c.call(ctx, http.MethodPost, userURL(id)+"/password", nil, "", p, &out)
}
