package sqlite

import "os"

// soak reports whether the long forms run (`make soak`).
func soak() bool { return os.Getenv("GATEHOUSE_SOAK") != "" }
