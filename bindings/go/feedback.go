package libdpo

// #include "native.h"
import "C"

import (
	"context"
	"encoding/json"
	"runtime"
	"unsafe"
)

// Feedback is a file of what people said of a model's answers. Every call may come from any goroutine at any time; of two calls of
// Train at once the second fails with State.
type Feedback struct {
	handle    *handle
	native    *C.dpo_feedback
	canceller *canceller
}

// OpenFeedback opens the file; the first record makes it.
func OpenFeedback(path string) (*Feedback, error) {
	var texts cTexts
	defer texts.free()
	cPath := texts.one(path, "the path")
	if texts.err != nil {
		return nil, texts.err
	}
	var native *C.dpo_feedback
	if err := check(func() C.int32_t { return C.dpo_feedback_open(cPath, &native) }); err != nil {
		return nil, err
	}
	f := &Feedback{native: native}
	f.handle = newHandle(uintptr(unsafe.Pointer(native)), func() { C.dpo_feedback_release(native) })
	handle := f.handle
	f.canceller = newCanceller(func() {
		C.dpo_feedback_cancel(native)
		runtime.KeepAlive(handle)
	})
	return f, nil
}

// Close releases the handle; the file stays.
func (f *Feedback) Close() { f.handle.close() }

// RecordThumb records a thumb up or down on an answer, and gives the record's number. It is on the disk when the call returns. weight
// multiplies the record's loss; 1 is usual.
func (f *Feedback) RecordThumb(prompt, answer string, up bool, weight float64) (uint64, error) {
	var texts cTexts
	defer texts.free()
	cPrompt, cAnswer := texts.one(prompt, "the prompt"), texts.one(answer, "the answer")
	return f.record(&texts, func(id *C.uint64_t) C.int32_t {
		return C.dpo_feedback_record_thumb(f.native, cPrompt, cAnswer, flag(up), C.double(weight), id)
	})
}

// RecordChoice records that one answer was liked better than another.
func (f *Feedback) RecordChoice(prompt, chosen, rejected string, weight float64) (uint64, error) {
	var texts cTexts
	defer texts.free()
	cPrompt := texts.one(prompt, "the prompt")
	cChosen, cRejected := texts.one(chosen, "the chosen answer"), texts.one(rejected, "the rejected answer")
	return f.record(&texts, func(id *C.uint64_t) C.int32_t {
		return C.dpo_feedback_record_choice(f.native, cPrompt, cChosen, cRejected, C.double(weight), id)
	})
}

// RecordJSON records a row: for chat prompts, a time of your own, and further keys.
func (f *Feedback) RecordJSON(row []byte) (uint64, error) {
	var texts cTexts
	defer texts.free()
	cRow := texts.one(string(row), "the row")
	return f.record(&texts, func(id *C.uint64_t) C.int32_t { return C.dpo_feedback_record_json(f.native, cRow, id) })
}

func (f *Feedback) record(texts *cTexts, call func(id *C.uint64_t) C.int32_t) (uint64, error) {
	if texts.err != nil {
		return 0, texts.err
	}
	var id C.uint64_t
	err := f.handle.check(func() C.int32_t { return call(&id) })
	return uint64(id), err
}

// Count gives the records in the file.
func (f *Feedback) Count() (uint64, error) {
	var count C.uint64_t
	err := f.handle.check(func() C.int32_t { return C.dpo_feedback_count(f.native, &count) })
	return uint64(count), err
}

// Status tells what the file holds and, with a directory, what of it is trained on there, as JSON.
func (f *Feedback) Status(directory string) (json.RawMessage, error) {
	var texts cTexts
	defer texts.free()
	path := texts.optional(directory, "the directory")
	if texts.err != nil {
		return nil, texts.err
	}
	defer runtime.KeepAlive(f.handle)
	return returnedJSON(func(text **C.char) C.int32_t { return C.dpo_feedback_status(f.native, path, text) })
}

// Outcome is what a training on feedback came to.
type Outcome int32

const (
	NothingNew Outcome = C.DPO_FEEDBACK_NOTHING_NEW // nothing was changed
	Waiting    Outcome = C.DPO_FEEDBACK_WAITING     // there are fewer new records than MinRecords; nothing was changed
	Finished   Outcome = C.DPO_FEEDBACK_FINISHED    // everything is trained on
	Stopped    Outcome = C.DPO_FEEDBACK_STOPPED     // MaxSeconds are over: the next call goes on
)

func (o Outcome) String() string {
	switch o {
	case NothingNew:
		return "nothing new"
	case Waiting:
		return "waiting for more records"
	case Finished:
		return "finished"
	case Stopped:
		return "out of time"
	}
	return "unknown outcome"
}

// FeedbackResult is what a training on feedback did.
type FeedbackResult struct {
	Outcome    Outcome
	NewRecords uint64 // of the session, or waiting for one
	Replayed   uint64 // older ones that the session mixed in
	Skipped    uint64 // new ones that cannot be trained on
	Steps      int64  // optimiser steps of this call
}

// Train trains the adapter in the directory on what is new in the file: adapter.h5 and, for llama.cpp, adapter.gguf. Other calls may use
// the model meanwhile. onEvent may be nil; its error stops the training, and is given. So does a context that is done. What was
// learned is kept then, and the next call goes on.
func (f *Feedback) Train(
	ctx context.Context, model *Model, directory string, options *FeedbackOptions, onEvent func(Event) error,
) (*FeedbackResult, error) {
	if options == nil {
		options = &FeedbackOptions{}
	}
	var texts cTexts
	defer texts.free()
	path := texts.one(directory, "the directory")
	if texts.err != nil {
		return nil, texts.err
	}
	native, err := newOptions(options)
	if err != nil {
		return nil, err
	}
	defer native.release()
	var result C.dpo_feedback_result
	result.struct_size = C.sizeof_dpo_feedback_result
	err = with(ctx, onEvent, func(c stopper, handle C.uintptr_t) error {
		return f.canceller.run(ctx, func(bool) error {
			return f.handle.check(func() C.int32_t {
				return C.libdpo_feedback_train(f.native, nativeOf(model), path, (*C.dpo_feedback_options)(native.get()), handle, &result)
			})
		}, c)
	})
	runtime.KeepAlive(model)
	if err != nil {
		return nil, err
	}
	return &FeedbackResult{
		Outcome(result.outcome), uint64(result.new_records), uint64(result.replayed), uint64(result.skipped), int64(result.steps),
	}, nil
}

// Cancel asks a running Train to stop; if none is running, the next one stops at once.
func (f *Feedback) Cancel() { f.canceller.ask() }
