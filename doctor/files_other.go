//go:build !unix

package doctor

import "io/fs"

// otherOwner: files have no such owner here.
func otherOwner(string, fs.FileInfo) []Finding { return nil }
