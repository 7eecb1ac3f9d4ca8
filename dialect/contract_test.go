package dialect

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// These tests hold the built-in files to what the vendors' pages say, line by
// line, with bytes written by hand and not by the code under test.

func builtin(t *testing.T, name string) *Dialect {
	t.Helper()
	d, err := Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func wantCode(t *testing.T, err error, want Code) {
	t.Helper()
	var invalid *Invalid
	if !errors.As(err, &invalid) || invalid.Code != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func wantAnswer(t *testing.T, r *Response, status int, body string) {
	t.Helper()
	if diff := differ(body, string(r.Body)); diff != "" || r.Status != status {
		t.Errorf("status %d, want %d; %s", r.Status, status, diff)
	}
}

func values(set func(*Values)) Values {
	var v Values
	set(&v)
	return v
}

var moment = time.Date(2031, 3, 4, 5, 6, 59, 0, time.UTC)

func TestDogpayContract(t *testing.T) {
	d := builtin(t, "dogpay")
	const path = "/open-api/v1/auth/access_token"
	_, v, err := d.ReadRequest(post(path, `{"grant_type":"client_credential","appid":"app-1","secret":"s3"}`))
	if err != nil || v.Text(ClientID) != "app-1" || v.Secret(ClientSecret).Reveal() != "s3" {
		t.Errorf("%v", err)
	}
	for _, grant := range []string{"client_credentials", "client_credentiam", "Client_credential"} {
		_, _, err := d.ReadRequest(post(path, `{"grant_type":"`+grant+`","appid":"app-1","secret":"s3"}`))
		wantCode(t, err, UnsupportedGrantType)
	}
	for _, body := range []string{`{"appid":"a","secret":"s"}`, `{"grant_type":"client_credential","secret":"s"}`, `{"grant_type":"client_credential","appid":"a"}`} {
		_, _, err := d.ReadRequest(post(path, body))
		wantCode(t, err, MissingParameter)
	}
	r, err := d.Operation(Issue).WriteResponse(values(func(v *Values) {
		v.SetSecret(AccessToken, secret.New("eyJx"))
		v.SetDuration(Life, 2*time.Hour)
		v.SetTime(Now, moment)
		v.SetText(RequestID, "r1")
		v.SetText(TokenType, "Bearer") // the file's own word wins
	}))
	if err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, r, 200, `{"code":0,"message":"success","timestamp":1930367219000,"requestId":"r1","data":{"access_token":"eyJx","expires_in":7200,"token_type":"bearer"}}`)
	if got := d.WriteError(InvalidClient, Values{}).Status; got != 401 {
		t.Errorf("refused credentials are %d", got)
	}
	if got := d.WriteError(UnsupportedGrantType, Values{}).Status; got != 400 {
		t.Errorf("a wrong grant type is %d", got)
	}
	limited := d.WriteError(RateLimited, values(func(v *Values) { v.SetDuration(RetryAfter, 3*time.Second) }))
	if limited.Status != 429 || limited.Header.Get("Retry-After") != "3" {
		t.Errorf("%d %v", limited.Status, limited.Header)
	}
	// As the page's client sees it: nothing but the two members it names.
	got, err := d.Operation(Issue).ReadResponse(&Response{Status: 200, Body: []byte(`{"code":0,"data":{"access_token":"eyJy","expires_in":7200}}`)})
	if err != nil || got.Secret(AccessToken).Reveal() != "eyJy" || got.Duration(Life) != 2*time.Hour {
		t.Errorf("%v %v", got, err)
	}
	// Failure is told by the code alone.
	var refusal *Refusal
	if _, err := d.Operation(Issue).ReadResponse(&Response{Status: 200, Body: []byte(`{"code":40100,"message":"no"}`)}); !errors.As(err, &refusal) || refusal.Code != InvalidClient {
		t.Errorf("%v", err)
	}
}

func TestQuidkeyContract(t *testing.T) {
	d := builtin(t, "quidkey")
	o, v, err := d.ReadRequest(post("/api/v1/oauth2/token", `{"grant_type":"client_credentials","client_id":"no-uuid","client_secret":"s"}`))
	if err != nil || o.Name != Issue || v.Text(ClientID) != "no-uuid" {
		t.Errorf("an id of a wrong form is just a wrong id: %v", err)
	}
	r, err := o.WriteResponse(values(func(v *Values) {
		v.SetSecret(AccessToken, secret.New("at"))
		v.SetSecret(RefreshToken, secret.New("rt"))
		v.SetDuration(Life, 15*time.Minute)
	}))
	if err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, r, 200, `{"success":true,"data":{"access_token":"at","refresh_token":"rt","token_type":"Bearer","expires_in":900}}`)

	o, v, err = d.ReadRequest(post("/api/v1/oauth2/refresh", `{"refresh_token":"rt"}`))
	if err != nil || o.Name != Refresh || v.Secret(RefreshToken).Reveal() != "rt" || o.Identity() != RefreshToken {
		t.Errorf("%v", err)
	}
	r, err = o.WriteResponse(values(func(v *Values) {
		v.SetSecret(AccessToken, secret.New("at"))
		v.SetSecret(RefreshToken, secret.New("rt"))
		v.SetDuration(Life, 15*time.Minute)
	}))
	if err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, r, 200, `{"success":true,"data":{"access_token":"at","token_type":"Bearer","expires_in":900}}`)

	o, _, err = d.ReadRequest(post("/api/v1/oauth2/healthcheck", `{"token":"at"}`))
	if err != nil || o.Name != Validate {
		t.Fatal(err)
	}
	r, err = o.WriteResponse(values(func(v *Values) {
		v.SetSecret(AccessToken, secret.New("at"))
		v.SetBool(Expired, true)
	}))
	if err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, r, 200, `{"success":true,"data":{"token":"at","isExpired":true}}`)

	wantAnswer(t, d.WriteError(InvalidRequest, values(func(v *Values) { v.SetFields([]FieldError{{"client_id", "is required"}}) })), 400,
		`{"success":false,"error":{"code":"VALIDATION_ERROR","message":"The request is not valid","metadata":{"errors":[{"field":"client_id","message":"is required"}]}}}`)
	for code, want := range map[Code]struct {
		status int
		code   string
	}{
		InvalidRequest: {400, "VALIDATION_ERROR"}, MissingParameter: {400, "VALIDATION_ERROR"}, UnsupportedGrantType: {400, "VALIDATION_ERROR"},
		MissingToken: {401, "NO_TOKEN"}, InvalidToken: {401, "INVALID_TOKEN"}, ExpiredToken: {401, "INVALID_TOKEN"}, InvalidGrant: {401, "INVALID_TOKEN"},
		AccessDenied: {403, "FORBIDDEN"}, NotFound: {404, "NOT_FOUND"}, Conflicting: {409, "IDEMPOTENT_REQUEST_IN_PROGRESS"},
	} {
		r := d.WriteError(code, Values{})
		if r.Status != want.status || !strings.Contains(string(r.Body), `"code":"`+want.code+`"`) {
			t.Errorf("%s: %d %s", code, r.Status, r.Body)
		}
	}
	// The client goes by the status, whatever the code in the body.
	refusal, ok := d.ReadError(&Response{Status: 401, Body: []byte(`{"success":false,"error":{"code":"SOMETHING_NEW","message":"why"}}`)})
	if ok || refusal.Code != InvalidClient || refusal.Message != "why" {
		t.Errorf("%v %+v", ok, refusal)
	}
}

func TestSuContract(t *testing.T) {
	d := builtin(t, "su")
	const path = "/SUAPI/jservice/auth/generate-access-token"
	get := func(path string, headers ...string) *Request {
		h := http.Header{}
		for i := 0; i < len(headers); i += 2 {
			h.Add(headers[i], headers[i+1])
		}
		return &Request{Method: "GET", Path: path, Header: h}
	}
	// "hotel.example", canonical and with padding.
	o, v, err := d.ReadRequest(get(path, "client-id", "aG90ZWwuZXhhbXBsZQ==", "client-secret", "s"))
	if err != nil || o.Name != Issue || v.Text(ClientID) != "hotel.example" {
		t.Errorf("%v %v", v.Text(ClientID), err)
	}
	for _, id := range []string{"aG90ZWwuZXhhbXBsZQ", "aG90ZWwuZXhhbXBsZR==", "hotel.example", "aG90ZWwuZXhhbXBsZQ_-"} {
		_, _, err := d.ReadRequest(get(path, "client-id", id, "client-secret", "s"))
		wantCode(t, err, InvalidClient)
	}
	r := get(path, "client-id", "aG90ZWwuZXhhbXBsZQ==")
	r.RawQuery = "client-secret=s"
	_, _, err = d.ReadRequest(r)
	wantCode(t, err, MissingParameter)

	answer, err := o.WriteResponse(values(func(v *Values) {
		v.SetSecret(AccessToken, secret.New("sandbox_x"))
		v.SetDuration(Life, time.Hour)
	}))
	if err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, answer, 200, `{"success":true,"data":{"token_type":"Bearer","token":"sandbox_x","expire_in":"3600"},"message":"Access Token generated successfully"}`)

	const refused = `{"Errors":[{"Code":"497","ShortText":"Authorization Required"}],"Status":"Fail"}`
	for _, code := range []Code{InvalidClient, InvalidToken, ExpiredToken, MissingToken, MissingParameter} {
		wantAnswer(t, d.WriteError(code, values(func(v *Values) { v.SetText(Message, "other words") })), 401, refused)
	}
	limited := d.WriteError(RateLimited, Values{})
	if limited.Status != 422 || !strings.Contains(string(limited.Body), `"Code":"548"`) {
		t.Errorf("%d %s", limited.Status, limited.Body)
	}
	const check = "/SUAPI/jservice/auth/validate-access-token"
	if o, v, err = d.ReadRequest(get(check, "Authorization", "Bearer live_x")); err != nil || o.Name != Validate || v.Secret(AccessToken).Reveal() != "live_x" {
		t.Errorf("%v", err)
	}
	_, _, err = d.ReadRequest(get(check, "Authorization", "Basic live_x"))
	wantCode(t, err, MissingToken)
	if answer, err = o.WriteResponse(Values{}); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, answer, 200, `{"success":true,"message":"Access Token is valid"}`)

	if got := d.WireForm(ClientID, "hotel.example"); got != "aG90ZWwuZXhhbXBsZQ==" {
		t.Errorf("on the wire: %s", got)
	}
	if got, ok := d.FromWire(ClientID, "aG90ZWwuZXhhbXBsZQ=="); !ok || got != "hotel.example" {
		t.Errorf("off the wire: %s", got)
	}
	if _, ok := d.FromWire(ClientID, "hotel.example"); ok {
		t.Error("a domain is taken for base64")
	}
}

func TestDapiContract(t *testing.T) {
	d := builtin(t, "dapi")
	connect := d.Operation(Connect)
	r, err := connect.WriteResponse(values(func(v *Values) {
		v.SetSecret(AccessCode, secret.New("ac"))
		v.SetSecret(UserSecret, secret.New("us"))
		v.SetText(ConnectionID, "co")
		v.SetText(UserID, "u1")
		v.SetText(TokenID, "t1")
	}))
	if err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, r, 200, `{"success":true,"accessCode":"ac","userSecret":"us","connectionID":"co","userID":"u1","tokenID":"t1"}`)
	if _, err := connect.ReadRequest(post("/", "{}")); err == nil {
		t.Error("connect reads a request")
	}

	for _, path := range []string{"/v2/auth/ExchangeToken", "/v2/auth/exchangetoken", "/V2/AUTH/EXCHANGETOKEN"} {
		o, v, err := d.ReadRequest(post(path, `{"appSecret":"s","accessCode":"ac","connectionID":"co"}`))
		if err != nil || o.Name != Exchange || v.Secret(AccessCode).Reveal() != "ac" || o.Identity() != AccessCode {
			t.Errorf("%s: %v", path, err)
		}
	}
	exchange := d.Operation(Exchange)
	r, err = exchange.WriteResponse(values(func(v *Values) {
		v.SetSecret(AccessToken, secret.New("at"))
		v.SetText(TokenID, "t1")
		v.SetText(UserID, "u1")
	}))
	if err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, r, 200, `{"success":true,"accessToken":"at","status":"done","tokenID":"t1","userID":"u1"}`)
	if v, err := exchange.ReadResponse(&Response{Status: 200, Body: []byte(`{"success":true,"accessToken":"at"}`)}); err != nil || v.Secret(AccessToken).Reveal() != "at" {
		t.Errorf("the page's own answer: %v", err)
	}

	_, _, err = d.ReadRequest(post("/v2/auth/ExchangeToken", `{"appSecret":"s","accessCode":"ac"}`))
	wantCode(t, err, MissingParameter)
	_, _, err = d.ReadRequest(post("/v2/auth/ExchangeToken", `{"appSecret":"s","accessCode":7,"connectionID":"co"}`))
	wantCode(t, err, InvalidRequest)
	for code, want := range map[Code]string{
		MissingParameter: `{"success":false,"status":"failed","type":"PARAMETER_MISSING","msg":"A required parameter is missing","operationID":"r1"}`,
		InvalidRequest:   `{"success":false,"status":"failed","type":"PARAMETER_ERROR","msg":"A parameter is not valid","operationID":"r1"}`,
		InvalidGrant:     `{"success":false,"status":"failed","type":"INVALID_CREDENTIALS","msg":"The credentials are not valid","operationID":"r1"}`,
	} {
		status := map[Code]int{MissingParameter: 422, InvalidRequest: 400, InvalidGrant: 401}[code]
		wantAnswer(t, d.WriteError(code, values(func(v *Values) { v.SetText(RequestID, "r1") })), status, want)
	}

	o, v, err := d.ReadRequest(post("/v2/users/DelinkUser", `{"appSecret":"s","userSecret":"us"}`, "Authorization", "Bearer at"))
	if err != nil || o.Name != Delink || v.Secret(UserSecret).Reveal() != "us" || v.Secret(AccessToken).Reveal() != "at" {
		t.Errorf("%v", err)
	}
	use, err := d.Operation(Use).WriteRequest("", values(func(v *Values) {
		v.SetSecret(AccessToken, secret.New("at"))
		v.SetSecret(ClientSecret, secret.New("s"))
		v.SetSecret(UserSecret, secret.New("us"))
	}))
	if err != nil || use.Header.Get("Authorization") != "Bearer at" || string(use.Body) != `{"appSecret":"s","userSecret":"us"}` {
		t.Errorf("%s %v", use.Body, err)
	}
	if !d.Token.Permanent || d.Token.CodeLife != 30*time.Minute || d.Token.Life != 0 {
		t.Errorf("%+v", d.Token)
	}
}

func TestPapayaContract(t *testing.T) {
	d := builtin(t, "papaya")
	inBody := `{"api_key":"k","client_secret":"s","expiration":100001,"token_name":"n"}`
	for name, r := range map[string]*Request{
		"body":          post("/token", inBody),
		"headers":       post("/token", `{"expiration":100001,"token_name":"n"}`, "api_key", "k", "client_secret", "s"),
		"both, equal":   post("/token", inBody, "api_key", "k", "client_secret", "s"),
		"body and half": post("/token", inBody, "api_key", "k"),
	} {
		_, v, err := d.ReadRequest(r)
		if err != nil || v.Text(ClientID) != "k" || v.Duration(Life) != 100001*time.Second || v.Text(TokenName) != "n" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := d.ReadRequest(post("/token", "", "api_key", "k", "client_secret", "s")); err != nil {
		t.Errorf("headers and no body: %v", err)
	}
	_, _, err := d.ReadRequest(post("/token", inBody, "api_key", "other", "client_secret", "s"))
	wantCode(t, err, InvalidRequest)
	_, _, err = d.ReadRequest(post("/token", `{"api_key":"k"}`, "client_secret", "s"))
	wantCode(t, err, InvalidRequest)

	r, err := d.Operation(Issue).WriteResponse(values(func(v *Values) {
		v.SetTime(ExpiresAt, moment)
		v.SetSecret(AccessToken, secret.New("eyJz"))
		v.SetText(TokenName, "n")
	}))
	if err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, r, 200, `{"valid_until":"2031-03-04T05:06Z","token":"eyJz","token_name":"n"}`)
	if _, err := d.Operation(Issue).ReadResponse(&Response{Status: 201, Body: r.Body}); err != nil {
		t.Errorf("201: %v", err)
	}
	wantAnswer(t, d.WriteError(InvalidClient, values(func(v *Values) { v.SetTime(Now, moment); v.SetText(Path, "/token") })), 401,
		`{"error":"Unauthorized","description":"The api_key or client_secret is not valid","error_code":40101,"sub_code":"","error_info":{"timestamp":"2031-03-04T05:06:59Z","path":"/token"}}`)

	v := values(func(v *Values) {
		v.SetText(TokenID, "t1")
		v.SetText(ClientID, "k")
		v.SetText("owner.email", "owner@mail.example")
		v.SetText("owner.id", "7001")
		v.SetTime(IssuedAt, moment)
		v.SetTime(ExpiresAt, moment.Add(24*time.Hour))
	})
	claims, err := d.Token.Claims.Write(v)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"iat": moment.Unix(), "exp": moment.Unix() + 86400, "sub": "access",
		"user": map[string]any{"id": "k", "email": "owner@mail.example", "owner": map[string]any{"id": "7001", "ownerType": "org_id"}},
	}
	if diff := differ(want, claims); diff != "" {
		t.Error(diff)
	}
	header, err := d.Token.Header.Write(v)
	if diff := differ(map[string]any{"typ": "JWT", "api_token_id": "t1"}, header); diff != "" || err != nil {
		t.Error(diff, err)
	}
	// A client without owner fields still gets every member of the sample.
	v.Unset("owner.email")
	if claims, err = d.Token.Claims.Write(v); err != nil || claims["user"].(map[string]any)["email"] != "" {
		t.Errorf("%v %v", claims, err)
	}
	if _, err := d.Token.Claims.Read(marshal(t, claims)); err != nil {
		t.Error(err)
	}
}

func TestTemplateReadIsStrict(t *testing.T) {
	claims := builtin(t, "papaya").Token.Claims
	const rest = `,"exp":1930367219,"sub":"access","user":{"id":"k","email":"","owner":{"id":"","ownerType":"org_id"}}}`
	if _, err := claims.Read([]byte(`{"iat":1930367219` + rest)); err != nil {
		t.Fatal(err)
	}
	for _, iat := range []string{`"1930367219"`, `null`, `1e400`, `1.5`, `true`, `[1]`, `{}`, `1,"iat":1`, `99999999999999999999`, `1e18`} {
		if _, err := claims.Read([]byte(`{"iat":` + iat + rest)); err == nil {
			t.Errorf("iat %s is read", iat)
		}
	}
	if _, err := claims.Read([]byte(strings.Replace(`{"iat":1930367219`+rest, "access", "refresh", 1))); err == nil {
		t.Error("another subject is read")
	}
}
