package main

import (
	"syscall"
	"unsafe"
)

// movedBy is in the file that GATEHOUSE_TEST_CLOCK names: by how many seconds
// the wall clock is moved, as the machine writes an int64.
var movedBy = func() *int64 {
	name, _ := syscall.Getenv("GATEHOUSE_TEST_CLOCK")
	file, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic(err)
	}
	seconds, err := syscall.Mmap(file, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	return (*int64)(unsafe.Pointer(&seconds[0]))
}()

// moveClock has the runtime, and so all of the process, read its clocks by
// gettime from now on.
func moveClock()

func init() { moveClock() }
