package node

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// silence drops the first segment of a TCP connection (SYN without ACK; RFC 9293
// §3.1 has the flags at octet 13) and passes all others: socket(7), SO_ATTACH_FILTER.
var silence = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13},
	{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0x12},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 0x02, Jt: 0, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
}

// fallSilent lets no new connection begin on l, so that all that have begun can
// be accepted before it is closed: closing it cuts off those that wait. Whoever
// is not heard knocks again after a second, and is refused then, or served by
// the next process.
func fallSilent(l net.Listener) error {
	conn, ok := l.(syscall.Conn)
	if !ok {
		return errors.ErrUnsupported
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	err2 := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(silence)), Filter: &silence[0]})
	})
	return errors.Join(err, err2)
}
