// Package libdpo preference-tunes the language model that your program already runs, inside your program.
//
// Six levels, as in dpo.h: ComputeLoss and its kin on log-probs from any engine; Model for log-probs and answers;
// Trainer.Step and its parts; Trainer.Run; Export and Classifier around them; Feedback.
//
// An error is an *Error with a status and one sentence that names the file, the place and what was expected. Handles have
// Close; one that is forgotten is released when the garbage collector finds it. They may be used from any goroutine. Long
// calls take a context: when it is done they stop, and give its error. Callbacks run on the goroutine that called, and must
// return (or panic: the panic goes on when the call has ended); runtime.Goexit, and so testing.T.FailNow, may not be called
// in them.
package libdpo

/*
#cgo pkg-config: dpo
#include "native.h"
#include <stdlib.h>
*/
import "C"

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// Version is that of the library that runs, such as "0.1.0".
func Version() string { return C.GoString(C.dpo_version()) }

// ------------------------------------------------------------------------------------------------------------- errors

// Status tells what kind of thing went wrong.
type Status int32

const (
	InvalidArgument Status = C.DPO_ERROR_INVALID_ARGUMENT // an argument or option is out of range, or does not go with another
	IO              Status = C.DPO_ERROR_IO               // the operating system refused to read or write a file
	Format          Status = C.DPO_ERROR_FORMAT           // a file or text is damaged or of another kind than expected
	Unsupported     Status = C.DPO_ERROR_UNSUPPORTED      // valid, but not served by this version
	Mismatch        Status = C.DPO_ERROR_MISMATCH         // things that do not belong together, such as an adapter of another model
	Memory          Status = C.DPO_ERROR_MEMORY           // the plan exceeds the limit, or memory could not be had
	NonFinite       Status = C.DPO_ERROR_NON_FINITE       // NaN or infinity in a loss, gradient or weight; the step was not applied
	Cancelled       Status = C.DPO_ERROR_CANCELLED        // a callback or a cancel asked to stop
	State           Status = C.DPO_ERROR_STATE            // the call does not fit the handle's state, or another goroutine is using it
	Internal        Status = C.DPO_ERROR_INTERNAL         // a defect in libdpo
	Diverged        Status = C.DPO_ERROR_DIVERGED         // training left its bounds (max_kl)
)

// String is the status's name in dpo.h.
func (s Status) String() string { return C.GoString(C.dpo_status_name(C.int32_t(s))) }

// Error is what a call failed with.
type Error struct {
	Status  Status
	Message string
}

func (e *Error) Error() string { return e.Message }

// Is makes errors.Is(err, &Error{Status: Cancelled}) compare the status alone.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Status == e.Status && (other.Message == "" || other.Message == e.Message)
}

// StatusOf is the status of an error of this package, also where another one wraps it; 0 for other errors.
func StatusOf(err error) Status {
	var failed *Error
	if errors.As(err, &failed) {
		return failed.Status
	}
	return 0
}

func invalid(format string, arguments ...any) error {
	return &Error{InvalidArgument, fmt.Sprintf(format, arguments...)}
}

// check calls a C function. The library keeps its sentence a thread: the goroutine stays on its own until it is read.
func check(call func() C.int32_t) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if status := call(); status != C.DPO_OK {
		return &Error{Status(status), C.GoString(C.dpo_last_error())}
	}
	return nil
}

// ------------------------------------------------------------------------------------------------------------ handles

// handle releases what a C handle stands for, once. The library knows released handles, and refuses them. The bits of a handle are
// no address: Go may see them as a number or as a pointer to a C type that is incomplete, but not as another pointer.
type handle struct {
	once    sync.Once
	bits    C.uintptr_t
	release func()
}

// newHandle gives a handle that the garbage collector closes if nobody did.
func newHandle(bits uintptr, release func()) *handle {
	h := &handle{bits: C.uintptr_t(bits), release: release}
	runtime.SetFinalizer(h, (*handle).close)
	return h
}

func (h *handle) close() {
	h.once.Do(h.release)
	runtime.SetFinalizer(h, nil)
}

// check calls a C function on the handle, which stays until it returns.
func (h *handle) check(call func() C.int32_t) error {
	defer runtime.KeepAlive(h)
	return check(call)
}

func (h *handle) setWait(wait time.Duration, c *canceller) error {
	seconds := wait.Seconds()
	if wait == Forever {
		seconds = math.Inf(1)
	}
	if err := h.check(func() C.int32_t { return C.libdpo_set_wait(h.bits, C.double(seconds)) }); err != nil {
		return err
	}
	if c != nil {
		c.wait.Store(int64(wait))
	}
	return nil
}

// Forever is for SetWait.
const Forever = time.Duration(math.MaxInt64)

// -------------------------------------------------------------------------------------------------------------- texts

// cText is a copy for C; the caller frees it.
func cText(text, what string) (*C.char, error) {
	if at := strings.IndexByte(text, 0); at >= 0 {
		return nil, invalid("%s holds a NUL character at byte %d", what, at)
	}
	return C.CString(text), nil
}

// cTexts frees with it all that it gave.
type cTexts struct {
	owned []unsafe.Pointer
	err   error
}

func (t *cTexts) free() {
	for _, each := range t.owned {
		C.free(each)
	}
}

// one is a text for C, or NULL after the first error, which is kept.
func (t *cTexts) one(text, what string) *C.char {
	c, err := cText(text, what)
	if err != nil {
		if t.err == nil {
			t.err = err
		}
		return nil
	}
	t.owned = append(t.owned, unsafe.Pointer(c))
	return c
}

// optional is NULL for "".
func (t *cTexts) optional(text, what string) *C.char {
	if text == "" {
		return nil
	}
	return t.one(text, what)
}

// many is an array of texts, in C's memory.
func (t *cTexts) many(texts []string, what string) **C.char {
	array := C.malloc(C.size_t(len(texts)+1) * C.size_t(unsafe.Sizeof((*C.char)(nil))))
	t.owned = append(t.owned, array)
	list := unsafe.Slice((**C.char)(array), len(texts)+1)
	for i, text := range texts {
		list[i] = t.one(text, fmt.Sprintf("%s %d", what, i))
	}
	list[len(texts)] = nil
	return (**C.char)(array)
}

// returned is a text that the library made and that we free.
func returned(call func(text **C.char) C.int32_t) (string, error) {
	var text *C.char
	if err := check(func() C.int32_t { return call(&text) }); err != nil {
		return "", err
	}
	defer C.dpo_string_free(text)
	return C.GoString(text), nil
}

func returnedJSON(call func(text **C.char) C.int32_t) (json.RawMessage, error) {
	text, err := returned(call)
	return json.RawMessage(text), err
}

func doubles(values []float64) *C.double {
	if len(values) == 0 {
		return nil
	}
	return (*C.double)(&values[0])
}

func floats(values []float32) *C.float {
	if len(values) == 0 {
		return nil
	}
	return (*C.float)(&values[0])
}

func integers(values []int32) *C.int32_t {
	if len(values) == 0 {
		return nil
	}
	return (*C.int32_t)(&values[0])
}

// lengths has room for one more, so that there is always a first.
func lengths(values []int) []C.size_t {
	list := make([]C.size_t, len(values)+1)
	for i, value := range values {
		list[i] = C.size_t(value)
	}
	return list
}

func flag(value bool) C.int32_t {
	if value {
		return 1
	}
	return 0
}

// ------------------------------------------------------------------------------------------------------------ options

// Some is a pointer to a value, for fields of options.
func Some[T any](value T) *T { return &value }

type options interface {
	kind() string
	fields() fields
}

// fields are the options that are set, by name; nil is "unset", where the library knows that.
type fields map[string]any

func (f fields) boolean(name string, value *bool) {
	if value != nil {
		f[name] = *value
	}
}

func (f fields) integer(name string, value *int) {
	if value != nil {
		f[name] = *value
	}
}

func (f fields) unsigned(name string, value *uint64) {
	if value != nil {
		f[name] = *value
	}
}

// integerOrNull knows the number that stands for no value in C.
func (f fields) integerOrNull(name string, value *int, unset int) {
	f.integer(name, value)
	if value != nil && *value == unset {
		f[name] = nil
	}
}

func (f fields) real(name string, value *float64) {
	if value == nil {
		return
	}
	f[name] = *value
	if math.IsNaN(*value) {
		f[name] = nil
	} else if math.IsInf(*value, 0) {
		f[name] = json.Number("1e999") // JSON has no infinity: the library refuses it with the reason
	}
}

func (f fields) realOrNull(name string, value *float64, unset float64) {
	f.real(name, value)
	if value != nil && *value == unset {
		f[name] = nil
	}
}

func (f fields) text(name, value string) {
	if value != "" {
		f[name] = value
	}
}

func (f fields) texts(name string, values []string) {
	if values != nil {
		f[name] = values
	}
}

func (f fields) reals(name string, values []float64) {
	if values != nil {
		f[name] = values
	}
}

// nativeOptions is the struct that C functions take, with the options in it.
type nativeOptions struct{ handle *C.dpo_options }

func newOptions(o options) (nativeOptions, error) {
	var native nativeOptions
	text, err := json.Marshal(o.fields())
	if err != nil {
		return native, invalid("the options cannot be written as JSON: %v", err)
	}
	var texts cTexts
	defer texts.free()
	kind, values := texts.one(o.kind(), "the kind"), texts.one(string(text), "an option")
	if texts.err != nil {
		return native, texts.err
	}
	if err := check(func() C.int32_t { return C.dpo_options_create(kind, &native.handle) }); err != nil {
		return native, err
	}
	if err := check(func() C.int32_t { return C.dpo_options_set_json(native.handle, values) }); err != nil {
		native.release()
		return nativeOptions{}, err
	}
	return native, nil
}

func (n nativeOptions) get() unsafe.Pointer { return C.dpo_options_struct(n.handle) }

func (n nativeOptions) release() { C.dpo_options_release(n.handle) }

// ----------------------------------------------------------------------------------------------------------- contexts

// canceller ends calls on a handle when their context is done. Only one of them can be running, and it must not be ended by the
// context of another one that waits: they take turns.
type canceller struct {
	cancel func()
	turn   chan struct{}
	wait   atomic.Int64   // nanoseconds
	thread atomic.Uintptr // of the call that runs
	late   atomic.Bool    // a cancel came when its call had ended, perhaps: where the library keeps it, it ends the next call
}

func newCanceller(cancel func()) *canceller {
	return &canceller{cancel: cancel, turn: make(chan struct{}, 1)}
}

// ask is a cancel by the host, which counts also if no call is running.
func (c *canceller) ask() {
	c.late.Store(false)
	c.cancel()
}

// take waits for the other call as long as SetWait says.
func (c *canceller) take(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		return nil
	default:
	}
	if uintptr(C.libdpo_thread()) == c.thread.Load() {
		return &Error{State, "in use by the call whose callback this is"}
	}
	var over <-chan time.Time
	if wait := time.Duration(c.wait.Load()); wait != Forever {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-over:
		return &Error{State, "in use by another call"}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run makes a call that ends when the context is done; an error is then the context's. Where a cancel for an earlier call ended this
// one, and not one of the host's functions, it is made again.
func (c *canceller) run(ctx context.Context, call func(again bool) error, functions ...stopper) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.take(ctx); err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c.thread.Store(uintptr(C.libdpo_thread()))
	defer func() {
		c.thread.Store(0)
		<-c.turn
	}()
	err, asked := c.watch(ctx, func() error { return call(false) })
	for _, function := range functions {
		if function.stopped() {
			c.late.Store(asked)
			return err
		}
	}
	if !asked && StatusOf(err) == Cancelled && c.late.Swap(false) {
		err, asked = c.watch(ctx, func() error { return call(true) })
	}
	c.late.Store(asked && StatusOf(err) != Cancelled)
	if asked && StatusOf(err) == Cancelled {
		return fmt.Errorf("%w (%v)", ctx.Err(), err)
	}
	return err
}

func (c *canceller) watch(ctx context.Context, call func() error) (err error, asked bool) {
	if ctx.Done() == nil {
		return call(), false
	}
	finished, watched := make(chan struct{}), make(chan bool)
	go func() {
		select {
		case <-ctx.Done():
			c.cancel()
			watched <- true
		case <-finished:
			watched <- false
		}
	}()
	err = call()
	close(finished)
	return err, <-watched
}
