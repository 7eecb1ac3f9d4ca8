package doctor

import (
	"fmt"
	"time"
)

// A Journal is how a running server follows it.
type Journal struct {
	Lag, Bound time.Duration
	Behind     time.Duration // how far the machine's clock is behind the newest time that the server has seen
}

// A Host is the machine under a running server.
type Host struct {
	CoreLimit uint64 // largest core dump of the process, in bytes
	Disks     []Disk
}

// A Disk is where something is kept.
type Disk struct {
	Path string
	Free uint64 // bytes
}

// Node is a server on a shared database, as it says itself.
type Node struct {
	Name   string
	Issuer string
	Keys   string    // a digest of its key set
	Clock  time.Time // at the time of Deployment.Now, or before
}

const (
	// clockTolerated is how far apart clocks may be: tokens are let pass when
	// they are ten seconds ahead.
	clockTolerated = 2 * time.Second
	clockBroken    = 8 * time.Second

	diskLow  = 512 << 20
	diskFull = 64 << 20
)

func examineJournal(d *Deployment) (out []Finding) {
	j := d.Journal
	if j == nil {
		return nil
	}
	const why = "revocations made elsewhere aren't known here, and beyond the bound nothing is validated"
	const mend = "see /readyz and the log for why the database can't be read; a bound that is too tight for it is journal.max_lag"
	switch {
	case j.Lag > j.Bound:
		out = append(out, Finding{"journal-stale", Error, fmt.Sprintf("the journal was last read %s ago; the bound is %s", j.Lag.Round(time.Millisecond), j.Bound), why, mend})
	case j.Lag > j.Bound*3/4:
		out = append(out, Finding{"journal-slow", Warning, fmt.Sprintf("the journal was last read %s ago; the bound is %s", j.Lag.Round(time.Millisecond), j.Bound), why, mend})
	}
	if j.Behind > clockTolerated {
		out = append(out, Finding{"clock-set-back", Error, fmt.Sprintf("the machine's clock is %s behind a time that the ledger has recorded", j.Behind.Round(time.Second)),
			"tokens are judged by the newest time seen, which stands still until the clock has come up to it: those issued until then live longer, and verifiers elsewhere may call them not yet valid", "set the clock right and keep it so (chronyd, systemd-timesyncd)"})
	}
	return out
}

func examineHost(d *Deployment) (out []Finding) {
	h := d.Host
	if h == nil {
		return nil
	}
	if h.CoreLimit > 0 {
		out = append(out, Finding{"core-dumps", Error, "the process may leave core dumps", "signing keys and tokens in its memory would end up in a file", "start it with ulimit -c 0 (LimitCORE=0 in its systemd unit)"})
	}
	for _, disk := range h.Disks {
		const why = "when it is full no token can be issued or revoked"
		mend := fmt.Sprintf("free space, or move the ledger: df -h '%s'", disk.Path)
		switch {
		case disk.Free < diskFull:
			out = append(out, Finding{"disk-full", Error, fmt.Sprintf("the disk of %s has %d MiB left", disk.Path, disk.Free>>20), why, mend})
		case disk.Free < diskLow:
			out = append(out, Finding{"disk-low", Warning, fmt.Sprintf("the disk of %s has %d MiB left", disk.Path, disk.Free>>20), why, mend})
		}
	}
	return out
}

func examineNodes(d *Deployment) (out []Finding) {
	if len(d.Nodes) == 0 {
		return nil
	}
	this := d.Nodes[0]
	for _, n := range d.Nodes[1:] {
		if n.Issuer != this.Issuer {
			out = append(out, Finding{"nodes-differ-issuer", Error, fmt.Sprintf("node %s has the issuer %s, this one %s", n.Name, n.Issuer, this.Issuer),
				"tokens of one are refused by the other", "give all nodes the same issuer in their settings"})
		}
		if n.Keys != this.Keys {
			out = append(out, Finding{"nodes-differ-keys", Error, fmt.Sprintf("node %s has other signing keys than this one", n.Name),
				"tokens of one may be refused by the other; for seconds after a rotation it may be so",
				"ask again; where it stays so restart the node that is behind, and give all nodes the same dialects"})
		}
		if ahead := n.Clock.Sub(d.Now); ahead > clockTolerated {
			out = append(out, clockFinding("node "+n.Name, "this one", ahead))
		}
	}
	return out
}

// ClockFinding compares the clock of a server with that of who asks; apart is
// negative where the server's is behind. ok is false where they agree.
func ClockFinding(server string, apart time.Duration) (f Finding, ok bool) {
	if apart.Abs() <= clockTolerated {
		return f, false
	}
	return clockFinding(server, "this machine's", apart), true
}

func clockFinding(who, whose string, apart time.Duration) Finding {
	f := Finding{"clock-apart", Warning, fmt.Sprintf("the clock of %s is %s ahead of %s", who, apart.Round(time.Second), whose),
		"a token may be refused as not yet valid, or live longer or shorter than it says", "keep all machines' clocks right (chronyd, systemd-timesyncd)"}
	if apart < 0 {
		f.What = fmt.Sprintf("the clock of %s is %s behind %s", who, -apart.Round(time.Second), whose)
	}
	if apart.Abs() > clockBroken {
		f.Severity = Error
	}
	return f
}
