package libdpo

// #include <dpo.h>
import "C"

import (
	"context"
	"encoding/json"
	"runtime/cgo"
	"unsafe"
)

// closure is a Go function that C calls. A panic must not cross C: it becomes a stop, and goes on after the call. So does an
// error, which the call then gives.
type closure[F any] struct {
	function F
	err      error
	panicked bool
	value    any
}

// call runs the function; 0 goes on.
func (c *closure[F]) call(call func(function F) error) (status C.int32_t) {
	if c.stopped() { // it is not called again in the same call
		return 1
	}
	c.panicked = true // until it has returned
	defer func() {
		if c.panicked {
			c.value = recover()
			status = 1
		}
	}()
	c.err = call(c.function)
	c.panicked = false
	if c.err != nil {
		return 1
	}
	return 0
}

type stopper interface{ stopped() bool }

// stopped tells whether the function has asked to stop.
func (c *closure[F]) stopped() bool { return c != nil && (c.panicked || c.err != nil) }

// after gives what a call comes to that may have called the function: the function's own error, or the call's.
func (c *closure[F]) after(err error) error {
	if c.panicked {
		c.panicked = false
		panic(c.value)
	}
	own := c.err
	c.err = nil
	if own != nil {
		return own
	}
	return err
}

// with gives a function to a call: one that takes what is told, and whose error stops the call. So does a context that is done.
func with[T any](ctx context.Context, function func(T) error, call func(c stopper, handle C.uintptr_t) error) error {
	c := &closure[func(T) error]{function: func(told T) error {
		if function != nil {
			if err := function(told); err != nil {
				return err
			}
		}
		return ctx.Err()
	}}
	handle := cgo.NewHandle(c)
	defer handle.Delete()
	return c.after(call(c, C.uintptr_t(handle)))
}

// EventKind tells what an Event is about.
type EventKind int32

const (
	StepEvent       EventKind = C.DPO_EVENT_STEP       // a step is done: Metrics
	EvaluationEvent EventKind = C.DPO_EVENT_EVALUATION // an evaluation is done: Metrics
	CheckpointEvent EventKind = C.DPO_EVENT_CHECKPOINT // Text is the path of a file that was written
	NoteEvent       EventKind = C.DPO_EVENT_NOTE       // Text is a sentence for the user
	ProgressEvent   EventKind = C.DPO_EVENT_PROGRESS   // Done of Total rows, in a long phase that Text names
)

// Event is what a run tells while it works.
type Event struct {
	Kind        EventKind
	Metrics     *Metrics        // nil where there are none
	MetricsJSON json.RawMessage // all of them, by name
	Text        string
	Done, Total uint64
}

//export libdpoGoEvent
func libdpoGoEvent(event *C.dpo_event, handle C.uintptr_t) C.int32_t {
	c := cgo.Handle(handle).Value().(*closure[func(Event) error])
	return c.call(func(onEvent func(Event) error) error {
		e := Event{Kind: EventKind(event.kind), Text: C.GoString(event.text), Done: uint64(event.done), Total: uint64(event.total)}
		if event.metrics != nil {
			metrics := metricsOf(event.metrics)
			e.Metrics = &metrics
		}
		if event.metrics_json != nil {
			e.MetricsJSON = json.RawMessage(C.GoString(event.metrics_json))
		}
		return onEvent(e)
	})
}

// Token is one that was drawn. Text may be empty while a character is incomplete.
type Token struct {
	Prompt, Completion int
	ID                 int32
	Text               string
}

//export libdpoGoToken
func libdpoGoToken(prompt, completion C.size_t, token C.int32_t, text *C.char, handle C.uintptr_t) C.int32_t {
	c := cgo.Handle(handle).Value().(*closure[func(Token) error])
	return c.call(func(onToken func(Token) error) error {
		return onToken(Token{int(prompt), int(completion), int32(token), C.GoString(text)})
	})
}

// Answer is one that the policy drew, to be rewarded.
type Answer struct {
	Prompt        string // text, or a JSON array of chat messages; "" where the model has no tokenizer
	Completion    string // without special tokens; "" likewise
	PromptIsChat  bool
	Stopped       bool // it ended by itself, not at MaxCompletionLength
	PromptIDs     []int32
	CompletionIDs []int32
}

type rewardFunction = func(answers []Answer, rewards []float64) error

//export libdpoGoReward
func libdpoGoReward(answers *C.dpo_answers, rewards *C.double, handle C.uintptr_t) C.int32_t {
	c := cgo.Handle(handle).Value().(*closure[rewardFunction])
	return c.call(func(reward rewardFunction) error {
		count := int(answers.count)
		prompts, completions := unsafe.Slice(answers.prompts, count), unsafe.Slice(answers.completions, count)
		chat, stopped := unsafe.Slice(answers.prompt_is_chat, count), unsafe.Slice(answers.stopped, count)
		promptIDs, promptLengths := unsafe.Slice(answers.prompt_ids, count), unsafe.Slice(answers.prompt_lengths, count)
		ids, idCounts := unsafe.Slice(answers.completion_ids, count), unsafe.Slice(answers.completion_lengths, count)
		list := make([]Answer, count)
		for i := range list {
			list[i] = Answer{
				C.GoString(prompts[i]), C.GoString(completions[i]), chat[i] != 0, stopped[i] != 0,
				idsOf(promptIDs[i], promptLengths[i]), idsOf(ids[i], idCounts[i]),
			}
		}
		return reward(list, unsafe.Slice((*float64)(rewards), count))
	})
}

// idsOf copies.
func idsOf(ids *C.int32_t, count C.size_t) []int32 {
	return append([]int32{}, unsafe.Slice((*int32)(ids), int(count))...)
}

type reduceFunction = func(gradients []float32) error

//export libdpoGoReduce
func libdpoGoReduce(gradients *C.float, count C.size_t, handle C.uintptr_t) C.int32_t {
	c := cgo.Handle(handle).Value().(*closure[reduceFunction])
	return c.call(func(reduce reduceFunction) error { return reduce(unsafe.Slice((*float32)(gradients), int(count))) })
}

// Reading tells how far rows were read.
type Reading struct {
	Phase       string // "tokenising" and others
	Done, Total uint64 // bytes; 0 where they are unknown
	Rows        uint64
}

//export libdpoGoReading
func libdpoGoReading(phase *C.char, done, total, rows C.uint64_t, handle C.uintptr_t) C.int32_t {
	c := cgo.Handle(handle).Value().(*closure[func(Reading) error])
	return c.call(func(onReading func(Reading) error) error {
		return onReading(Reading{C.GoString(phase), uint64(done), uint64(total), uint64(rows)})
	})
}
