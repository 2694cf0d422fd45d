package libdpo

// #include "native.h"
// #include <stdlib.h>
import "C"

import (
	"fmt"
	"math"
	"runtime/cgo"
	"time"
	"unsafe"
)

// Communicator is the ranks of a training: several processes that train one model together (docs/scaling.md).
type Communicator struct {
	handle *handle
	native *C.dpo_communicator
}

// Collectives is what ranks talk through, if not MPI: a host's own engine. All ranks call its functions in the same order, one at a
// time, from threads of the library. An error says that a rank does not answer. The slices are the library's: valid during the call.
type Collectives struct {
	Rank, Size int    // of this process, 0 … Size - 1
	Name       string // for messages
	// AllGather: receive gets sizes[r] bytes of each rank r, one after the other; send are this rank's.
	AllGather func(send, receive []byte, sizes []int) error
	// AllToAll: send holds sendSizes[r] bytes for each rank r, and receive gets receiveSizes[r] from it.
	AllToAll func(send []byte, sendSizes []int, receive []byte, receiveSizes []int) error
	// Abort ends every rank, this one too. It returns only if it cannot; nil: cannot.
	Abort func(exitStatus int)
}

// engine is one in use, and why its last call failed, in C's memory.
type engine struct {
	Collectives
	failure *C.char
}

// OpenMPI gives the ranks that mpirun or srun started. plugin is the file of libdpo-mpi.so; "": beside libdpo.so, or where the loader
// finds it. A rank may keep the others waiting for timeout.
func OpenMPI(plugin string, timeout time.Duration) (*Communicator, error) {
	var texts cTexts
	defer texts.free()
	path := texts.optional(plugin, "the path")
	if texts.err != nil {
		return nil, texts.err
	}
	return newCommunicator(func(out **C.dpo_communicator) C.int32_t {
		return C.dpo_communicator_open_mpi(path, C.double(timeout.Seconds()), out)
	})
}

// NewCommunicator gives the ranks of a host's own engine.
func NewCommunicator(collectives Collectives) (*Communicator, error) {
	if collectives.AllGather == nil || collectives.AllToAll == nil {
		return nil, invalid("AllGather and AllToAll must not be nil")
	}
	if collectives.Size < 1 || collectives.Size > math.MaxInt32 || collectives.Rank < 0 || collectives.Rank >= collectives.Size {
		return nil, invalid("rank %d of %d ranks", collectives.Rank, collectives.Size)
	}
	var texts cTexts
	defer texts.free()
	name := texts.one(collectives.Name, "the name")
	if texts.err != nil {
		return nil, texts.err
	}
	own := cgo.NewHandle(&engine{Collectives: collectives})
	made, err := newCommunicator(func(out **C.dpo_communicator) C.int32_t {
		return C.libdpo_communicator(C.int32_t(collectives.Rank), C.int32_t(collectives.Size), name, C.uintptr_t(own), out)
	})
	if err != nil {
		own.Delete()
	}
	return made, err
}

func newCommunicator(open func(out **C.dpo_communicator) C.int32_t) (*Communicator, error) {
	var native *C.dpo_communicator
	if err := check(func() C.int32_t { return open(&native) }); err != nil {
		return nil, err
	}
	handle := newHandle(uintptr(unsafe.Pointer(native)), func() { C.dpo_communicator_release(native) })
	return &Communicator{handle, native}, nil
}

// Close releases the communicator. Trainers that use it keep it.
func (c *Communicator) Close() { c.handle.close() }

// Ranks gives this process's rank and the number of ranks.
func (c *Communicator) Ranks() (rank, size int, err error) {
	var own, all C.int32_t
	err = c.handle.check(func() C.int32_t { return C.dpo_communicator_ranks(c.native, &own, &all) })
	return int(own), int(all), err
}

// Abort ends every rank, this one too, for a program that cannot go on. It returns, with an error, only where the engine cannot.
func (c *Communicator) Abort(exitStatus int) error {
	return c.handle.check(func() C.int32_t { return C.dpo_communicator_abort(c.native, C.int32_t(exitStatus)) })
}

// ---------------------------------------------------------------------------------------------------------- callbacks

func engineOf(handle C.uintptr_t) *engine { return cgo.Handle(handle).Value().(*engine) }

// call runs a function of the engine. A panic must not cross C: it is the error of the call.
func (e *engine) call(function func() error) (status C.int32_t) {
	fail := func(reason any) {
		C.free(unsafe.Pointer(e.failure))
		e.failure = C.CString(fmt.Sprint(reason))
		status = 1
	}
	defer func() {
		if panicked := recover(); panicked != nil {
			fail(panicked)
		}
	}()
	if err := function(); err != nil {
		fail(err)
	}
	return status
}

// sizesOf gives the sizes of all ranks, and their sum.
func (e *engine) sizesOf(sizes *C.size_t) (list []int, total int) {
	for _, size := range unsafe.Slice(sizes, e.Size) {
		list = append(list, int(size))
		total += int(size)
	}
	return list, total
}

func bytesAt(start unsafe.Pointer, count int) []byte { return unsafe.Slice((*byte)(start), count) }

//export libdpoGoAllGather
func libdpoGoAllGather(handle C.uintptr_t, send, receive unsafe.Pointer, sizes *C.size_t) C.int32_t {
	e := engineOf(handle)
	return e.call(func() error {
		list, total := e.sizesOf(sizes)
		return e.AllGather(bytesAt(send, list[e.Rank]), bytesAt(receive, total), list)
	})
}

//export libdpoGoAllToAll
func libdpoGoAllToAll(handle C.uintptr_t, send unsafe.Pointer, sendSizes *C.size_t, receive unsafe.Pointer, receiveSizes *C.size_t) C.int32_t {
	e := engineOf(handle)
	return e.call(func() error {
		out, sent := e.sizesOf(sendSizes)
		in, received := e.sizesOf(receiveSizes)
		return e.AllToAll(bytesAt(send, sent), out, bytesAt(receive, received), in)
	})
}

//export libdpoGoCollectivesError
func libdpoGoCollectivesError(handle C.uintptr_t) *C.char { return engineOf(handle).failure }

//export libdpoGoAbort
func libdpoGoAbort(handle C.uintptr_t, exitStatus C.int32_t) {
	if abort := engineOf(handle).Abort; abort != nil {
		defer func() { _ = recover() }() // it could not: the caller is told so
		abort(int(exitStatus))
	}
}

//export libdpoGoRelease
func libdpoGoRelease(handle C.uintptr_t) {
	C.free(unsafe.Pointer(engineOf(handle).failure))
	cgo.Handle(handle).Delete()
}
