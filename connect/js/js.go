// Package js holds the script that an app's page opens Connect with. The folder
// is also its npm package.
package js

import _ "embed"

// Script is index.js, an ECMAScript module.
//
//go:embed index.js
var Script []byte
