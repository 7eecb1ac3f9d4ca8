// Command gatehouse is the whole product in one binary: the server (dev,
// serve) and the commands that administer a running one.
package main

import "os"

func main() { os.Exit(run()) }
