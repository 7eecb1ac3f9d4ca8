package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Files are where a server keeps things.
type Files struct {
	Dirs           []string // data directories: of the ledger, the key file, the socket
	Secrets        []string // files that hold a secret and nothing else
	Config         string   // the settings file
	ConfigSecrets  []string // the settings in it that are secrets
	DemoSecrets    string   // where dev keeps its secrets
	Dev            bool     // they belong there
	Socket         string   // the admin socket
	Certificate    string
	CertificateKey string
}

const others fs.FileMode = 0o077

func examineFiles(d *Deployment) []Finding {
	f := d.Files
	if f == nil {
		return nil
	}
	var out []Finding
	for _, dir := range f.Dirs {
		out = append(out, examineDir(dir)...)
	}
	for _, path := range f.Secrets {
		out = append(out, onlyOwners("secret-file-open", path, "who reads it has the secret")...)
	}
	if f.CertificateKey != "" {
		if mode, ok := modeOf(f.CertificateKey); ok && mode&0o007 != 0 {
			out = append(out, modeFinding("tls-key-open", f.CertificateKey, mode, "who reads it can pass for this server", "chmod o= '%s'"))
		}
	}
	if len(f.ConfigSecrets) > 0 {
		if mode, ok := modeOf(f.Config); ok && mode&0o007 != 0 {
			out = append(out, modeFinding("config-open", f.Config, mode, fmt.Sprintf("it holds %s, which every user of the machine can read", list(f.ConfigSecrets)), "chmod o= '%s'"))
		}
	}
	if f.Socket != "" {
		out = append(out, onlyOwners("socket-open", f.Socket, "who may open it may try to administer the server")...)
	}
	if f.DemoSecrets != "" && !f.Dev {
		if _, ok := modeOf(f.DemoSecrets); ok {
			out = append(out, Finding{"demo-data", Error, fmt.Sprintf("%s is there: this ledger was made by `gatehouse dev`", f.DemoSecrets),
				"it has demo clients whose secrets, and an admin token, stand in that file",
				"begin with an empty directory, or delete the demo clients (`gatehouse client list`, `gatehouse client delete`) and then that file"})
		}
	}
	return out
}

// examineDir looks at a data directory and at what the server keeps in it.
func examineDir(dir string) []Finding {
	mode, ok := modeOf(dir)
	if !ok {
		return nil
	}
	var out []Finding
	switch {
	case mode&0o022 != 0:
		out = append(out, modeFinding("data-dir-writable", dir, mode, "others can replace the ledger or the key that seals it", "chmod 700 '%s'"))
	case mode&0o055 != 0:
		f := modeFinding("data-dir-open", dir, mode, "others can see what is in it, though they can't read the files", "chmod 700 '%s'")
		f.Severity = Warning
		out = append(out, f)
	}
	if info, err := os.Stat(dir); err == nil {
		out = append(out, otherOwner(dir, info)...)
	}
	for _, pattern := range []string{"*.db", "*.db-wal", "*.db-shm", "key-encryption-key"} {
		paths, _ := filepath.Glob(filepath.Join(dir, pattern)) // the patterns are sound
		for _, path := range paths {
			out = append(out, onlyOwners("ledger-open", path, "it holds the ledger, or the key that seals its signing keys")...)
		}
	}
	return out
}

func onlyOwners(check, path, why string) []Finding {
	if mode, ok := modeOf(path); ok && mode&others != 0 {
		return []Finding{modeFinding(check, path, mode, why, "chmod 600 '%s'")}
	}
	return nil
}

func modeFinding(check, path string, mode fs.FileMode, why, mend string) Finding {
	return Finding{check, Error, fmt.Sprintf("others than its owner may use %s (mode %04o)", path, mode), why, "run: " + fmt.Sprintf(mend, path)}
}

// modeOf is the permissions of a file that is there.
func modeOf(path string) (fs.FileMode, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, errors.Is(err, fs.ErrPermission)
	}
	return info.Mode().Perm(), true
}

func list(names []string) string {
	out := ""
	for i, n := range names {
		if i > 0 {
			out += ", "
		}
		out += n
	}
	return out
}
