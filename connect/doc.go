// Package connect is the pages on which end users sign in, agree that an app
// acts for them, and see and end what they have agreed to. What the app gets is
// an authorization code of standard OAuth 2.0, or its dialect's connect message.
package connect
