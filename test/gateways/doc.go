// Package gateways holds no code of Gatehouse. Its tests put the real binary
// behind real gateways that run the very files of examples/gateways, with an
// attacker before them and an echo of what the API would see behind them.
package gateways
