package sqlite

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// A disk is the files of one directory as SQLite's VFS layer sees them, just
// above the system calls: tests see each write and sync there, and have them
// fail or end the process.
type disk struct {
	mu sync.Mutex
	// meddle is called before each operation. Where it returns something other
	// than SQLITE_OK, that is the result, and nothing is done.
	meddle func(operation) (result int32)
	record bool
	done   []operation // where record is set
}

// An operation is a change of a file, or what makes changes durable.
type operation struct {
	kind   operationKind
	file   string // without the directory
	offset int64  // of a write; of a truncation the new size
	data   []byte // of a write, SQLite's own while it goes on
	note   string // what a test has put into the record
}

type operationKind int

const (
	opCreate operationKind = iota
	opWrite
	opTruncate
	opSync
	opDelete
	opSyncDir
	opNote
)

// note puts a line into the record.
func (d *disk) note(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.done = append(d.done, operation{kind: opNote, note: text})
}

// set changes what happens from now on.
func (d *disk) set(meddle func(operation) int32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.meddle = meddle
}

// do runs one operation. Operations of a disk are in order.
func (d *disk) do(op operation, pass func() int32) int32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.meddle != nil {
		if result := d.meddle(op); result != lib.SQLITE_OK {
			return result
		}
	}
	before := len(d.done)
	if d.record {
		op.data = slices.Clone(op.data) // SQLite's own until now
		d.done = append(d.done, op)
	}
	result := pass()
	if result != lib.SQLITE_OK {
		d.done = d.done[:before]
	}
	return result
}

// disks are those that are watched, by directory, and the open files on them.
var disks struct {
	sync.Mutex
	once    sync.Once
	byDir   map[string]*disk
	files   map[uintptr]diskFile
	methods map[uintptr]uintptr // of files: in place of SQLite's own
}

type diskFile struct {
	disk *disk
	name string
	own  *lib.Tsqlite3_io_methods
}

// watch makes a disk of a directory until the test ends. It comes before the
// store is opened.
func watch(t testing.TB, dir string) *disk {
	t.Helper()
	d := &disk{}
	must(t, watchDir(dir, d))
	t.Cleanup(func() {
		disks.Lock()
		defer disks.Unlock()
		delete(disks.byDir, dir)
	})
	return d
}

func watchDir(dir string, d *disk) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	disks.once.Do(interpose)
	disks.Lock()
	defer disks.Unlock()
	disks.byDir[dir] = d
	return nil
}

// The types of the C functions that are replaced.
type (
	openFunc     = func(tls *libc.TLS, vfs, name, file uintptr, flags int32, flagsOut uintptr) int32
	deleteFunc   = func(tls *libc.TLS, vfs, name uintptr, syncDir int32) int32
	closeFunc    = func(tls *libc.TLS, file uintptr) int32
	writeFunc    = func(tls *libc.TLS, file, data uintptr, n int32, offset int64) int32
	truncateFunc = func(tls *libc.TLS, file uintptr, size int64) int32
	syncFunc     = func(tls *libc.TLS, file uintptr, flags int32) int32
	openDirFunc  = func(tls *libc.TLS, path, descriptor uintptr) int32
	getCallFunc  = func(tls *libc.TLS, vfs, name uintptr) uintptr
	setCallFunc  = func(tls *libc.TLS, vfs, name, call uintptr) int32
)

// ours is SQLite's own VFS with its open and delete replaced. Where a file of a
// disk is opened, its methods are replaced by a copy with ours.
var (
	own, ours  lib.Tsqlite3_vfs
	ownOpenDir openDirFunc
)

// cObject is a C structure at an address. (The detour is for vet, which takes
// each address that comes from C for one that the collector may have moved.)
func cObject[T any](address uintptr) *T { return *(**T)(unsafe.Pointer(&address)) }

// getFunc and setFunc read and write a field that holds a C function.
func getFunc[F any](field *uintptr) F    { return *(*F)(unsafe.Pointer(field)) }
func setFunc[F any](field *uintptr, f F) { *(*F)(unsafe.Pointer(field)) = f }

// interpose makes ours the VFS of every connection that is opened from now on.
func interpose() {
	disks.byDir, disks.files, disks.methods = map[string]*disk{}, map[uintptr]diskFile{}, map[uintptr]uintptr{}
	tls := libc.NewTLS()
	defer tls.Close()
	if lib.Xsqlite3_initialize(tls) != lib.SQLITE_OK {
		panic("SQLite doesn't start")
	}
	own = *cObject[lib.Tsqlite3_vfs](lib.Xsqlite3_vfs_find(tls, 0))
	ours = own
	ours.FzName = cString("watched")
	setFunc(&ours.FxOpen, ourOpen)
	setFunc(&ours.FxDelete, ourDelete)
	if lib.Xsqlite3_vfs_register(tls, uintptr(unsafe.Pointer(&ours)), 1) != lib.SQLITE_OK {
		panic("SQLite refuses the VFS")
	}
	// Directories are opened to be synced, inside a sync or a deletion.
	name := cString("openDirectory")
	vfs := lib.Xsqlite3_vfs_find(tls, own.FzName)
	call := getFunc[getCallFunc](&own.FxGetSystemCall)(tls, vfs, name)
	ownOpenDir = getFunc[openDirFunc](&call)
	setFunc(&call, ourOpenDir)
	if getFunc[setCallFunc](&own.FxSetSystemCall)(tls, vfs, name, call) != lib.SQLITE_OK {
		panic("SQLite refuses the system call")
	}
}

func cString(text string) uintptr {
	s, err := libc.CString(text)
	if err != nil {
		panic(err)
	}
	return s
}

func ourOpenDir(tls *libc.TLS, path, descriptor uintptr) int32 {
	disks.Lock()
	d := disks.byDir[filepath.Dir(libc.GoString(path))]
	disks.Unlock()
	if d != nil && d.record { // d.do holds the lock
		d.done = append(d.done, operation{kind: opSyncDir})
	}
	return ownOpenDir(tls, path, descriptor)
}

func ourOpen(tls *libc.TLS, vfs, name, file uintptr, flags int32, flagsOut uintptr) int32 {
	ownOpen := getFunc[openFunc](&own.FxOpen)
	const kept = lib.SQLITE_OPEN_MAIN_DB | lib.SQLITE_OPEN_WAL | lib.SQLITE_OPEN_MAIN_JOURNAL
	if name == 0 || flags&kept == 0 {
		return ownOpen(tls, vfs, name, file, flags, flagsOut)
	}
	path := libc.GoString(name)
	disks.Lock()
	d := disks.byDir[filepath.Dir(path)]
	disks.Unlock()
	if d == nil {
		return ownOpen(tls, vfs, name, file, flags, flagsOut)
	}
	f := diskFile{disk: d, name: filepath.Base(path)}
	result := d.do(operation{kind: opCreate, file: f.name}, func() int32 { return ownOpen(tls, vfs, name, file, flags, flagsOut) })
	if result != lib.SQLITE_OK {
		return result
	}
	opened := cObject[lib.Tsqlite3_file](file)
	f.own = cObject[lib.Tsqlite3_io_methods](opened.FpMethods)
	disks.Lock()
	defer disks.Unlock()
	if _, ok := disks.methods[opened.FpMethods]; !ok {
		disks.methods[opened.FpMethods] = withOurs(tls, f.own)
	}
	opened.FpMethods = disks.methods[opened.FpMethods]
	disks.files[file] = f
	return result
}

// withOurs is a copy of the methods of a file with ours in it, where C keeps
// things: the race detector finds fault with C that points to Go's heap.
func withOurs(tls *libc.TLS, own *lib.Tsqlite3_io_methods) uintptr {
	address := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(*own)))
	if address == 0 {
		panic("no memory")
	}
	methods := cObject[lib.Tsqlite3_io_methods](address)
	*methods = *own
	setFunc(&methods.FxClose, ourClose)
	setFunc(&methods.FxWrite, ourWrite)
	setFunc(&methods.FxTruncate, ourTruncate)
	setFunc(&methods.FxSync, ourSync)
	return address
}

func ourDelete(tls *libc.TLS, vfs, name uintptr, syncDir int32) int32 {
	ownDelete := getFunc[deleteFunc](&own.FxDelete)
	path := libc.GoString(name)
	disks.Lock()
	d := disks.byDir[filepath.Dir(path)]
	disks.Unlock()
	if d == nil {
		return ownDelete(tls, vfs, name, syncDir)
	}
	return d.do(operation{kind: opDelete, file: filepath.Base(path)}, func() int32 { return ownDelete(tls, vfs, name, syncDir) })
}

func fileAt(file uintptr) diskFile {
	disks.Lock()
	defer disks.Unlock()
	return disks.files[file]
}

func ourClose(tls *libc.TLS, file uintptr) int32 {
	f := fileAt(file)
	disks.Lock()
	delete(disks.files, file)
	disks.Unlock()
	return getFunc[closeFunc](&f.own.FxClose)(tls, file)
}

func ourWrite(tls *libc.TLS, file, data uintptr, n int32, offset int64) int32 {
	f := fileAt(file)
	op := operation{kind: opWrite, file: f.name, offset: offset, data: libc.GoBytes(data, int(n))}
	return f.disk.do(op, func() int32 { return getFunc[writeFunc](&f.own.FxWrite)(tls, file, data, n, offset) })
}

func ourTruncate(tls *libc.TLS, file uintptr, size int64) int32 {
	f := fileAt(file)
	op := operation{kind: opTruncate, file: f.name, offset: size}
	return f.disk.do(op, func() int32 { return getFunc[truncateFunc](&f.own.FxTruncate)(tls, file, size) })
}

func ourSync(tls *libc.TLS, file uintptr, flags int32) int32 {
	f := fileAt(file)
	return f.disk.do(operation{kind: opSync, file: f.name}, func() int32 { return getFunc[syncFunc](&f.own.FxSync)(tls, file, flags) })
}

// isLog reports whether a file is the write-ahead log.
func (op operation) isLog() bool { return strings.HasSuffix(op.file, "-wal") }
