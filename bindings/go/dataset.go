package libdpo

// #include "native.h"
// #include <stdlib.h>
import "C"

import (
	"context"
	"runtime"
	"unsafe"
)

// Dataset is rows to train on, tokenised for the method and MaxLength of the options that they were read with.
type Dataset struct {
	handle *handle
	native *C.dpo_dataset
}

// newDataset makes one with the struct of the options, for which nil is every default.
func newDataset(options *TrainOptions, make func(options *C.dpo_train_options, out **C.dpo_dataset) C.int32_t) (*Dataset, error) {
	native, err := trainOptions(options)
	if err != nil {
		return nil, err
	}
	defer native.release()
	var dataset *C.dpo_dataset
	if err := check(func() C.int32_t { return make((*C.dpo_train_options)(native.get()), &dataset) }); err != nil {
		return nil, err
	}
	handle := newHandle(uintptr(unsafe.Pointer(dataset)), func() { C.dpo_dataset_release(dataset) })
	return &Dataset{handle, dataset}, nil
}

// OpenDataset reads rows of a file or directory: JSON lines, or what else docs/data.md tells of.
func OpenDataset(model *Model, path string, options *TrainOptions) (*Dataset, error) {
	var texts cTexts
	defer texts.free()
	cPath := texts.one(path, "the path")
	if texts.err != nil {
		return nil, texts.err
	}
	defer runtime.KeepAlive(model)
	return newDataset(options, func(options *C.dpo_train_options, out **C.dpo_dataset) C.int32_t {
		return C.dpo_dataset_open_jsonl(nativeOf(model), cPath, options, out)
	})
}

// OpenDatasets reads rows of several files or directories, one after the other. onReading may be nil; its error ends the reading, and
// is given. So does a context that is done.
func OpenDatasets(
	ctx context.Context, model *Model, paths []string, options *TrainOptions, onReading func(Reading) error,
) (dataset *Dataset, err error) {
	var texts cTexts
	defer texts.free()
	list := texts.many(paths, "path")
	if texts.err != nil {
		return nil, texts.err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(model)
	err = with(ctx, onReading, func(_ stopper, closure C.uintptr_t) error {
		dataset, err = newDataset(options, func(options *C.dpo_train_options, out **C.dpo_dataset) C.int32_t {
			return C.libdpo_dataset_open(nativeOf(model), list, C.size_t(len(paths)), options, closure, out)
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return dataset, nil
}

// DatasetFromJSONL takes the same from JSON lines in memory.
func DatasetFromJSONL(model *Model, rows []byte, options *TrainOptions) (*Dataset, error) {
	text := C.CBytes(rows)
	defer C.free(text)
	defer runtime.KeepAlive(model)
	return newDataset(options, func(options *C.dpo_train_options, out **C.dpo_dataset) C.int32_t {
		return C.dpo_dataset_from_jsonl(nativeOf(model), (*C.char)(text), C.size_t(len(rows)), options, out)
	})
}

// PreferencePair is a better and a worse answer to a prompt.
type PreferencePair struct{ Prompt, Chosen, Rejected string }

// DatasetFromPairs takes texts.
func DatasetFromPairs(model *Model, pairs []PreferencePair, options *TrainOptions) (*Dataset, error) {
	var texts cTexts
	defer texts.free()
	list := func(name string, part func(PreferencePair) string) **C.char {
		values := make([]string, len(pairs))
		for i, pair := range pairs {
			values[i] = part(pair)
		}
		return texts.many(values, name)
	}
	prompts := list("prompt", func(pair PreferencePair) string { return pair.Prompt })
	chosen := list("chosen", func(pair PreferencePair) string { return pair.Chosen })
	rejected := list("rejected", func(pair PreferencePair) string { return pair.Rejected })
	if texts.err != nil {
		return nil, texts.err
	}
	defer runtime.KeepAlive(model)
	return newDataset(options, func(options *C.dpo_train_options, out **C.dpo_dataset) C.int32_t {
		return C.dpo_dataset_from_pairs(nativeOf(model), prompts, chosen, rejected, C.size_t(len(pairs)), options, out)
	})
}

// PairIDs is a preference pair as token ids, end of sequence included where it shall count. Methods that answer prompts
// themselves take the prompt alone.
type PairIDs struct{ Prompt, Chosen, Rejected []int32 }

// DatasetFromTokens takes token ids; no model is needed.
func DatasetFromTokens(pairs []PairIDs, options *TrainOptions) (*Dataset, error) {
	ids := func(part func(PairIDs) []int32) ([]int32, []C.size_t) {
		var all []int32
		var counts []int
		for _, pair := range pairs {
			all, counts = append(all, part(pair)...), append(counts, len(part(pair)))
		}
		return all, lengths(counts)
	}
	prompts, promptLengths := ids(func(pair PairIDs) []int32 { return pair.Prompt })
	chosen, chosenLengths := ids(func(pair PairIDs) []int32 { return pair.Chosen })
	rejected, rejectedLengths := ids(func(pair PairIDs) []int32 { return pair.Rejected })
	return newDataset(options, func(options *C.dpo_train_options, out **C.dpo_dataset) C.int32_t {
		return C.dpo_dataset_from_tokens(integers(prompts), &promptLengths[0], integers(chosen), &chosenLengths[0],
			integers(rejected), &rejectedLengths[0], C.size_t(len(pairs)), options, out)
	})
}

// Close releases the data set. A trainer of it keeps what it needs.
func (d *Dataset) Close() { d.handle.close() }

// DatasetInfo is what a data set holds.
type DatasetInfo struct {
	Rows              uint64
	DroppedRows       uint64 // their prompt was not shorter than MaxLength
	TruncatedRows     uint64
	IdenticalRows     uint64 // chosen equals rejected, or all ranked tie: no gradient from them
	DuplicateRows     uint64
	ContradictingRows uint64  // the same pair the other way round
	Tokens            uint64  // distinct tokens, prompts counted once a pair
	LongestRow        uint64  // tokens
	LongerIsChosen    float64 // fraction of pairs; 0.5 is no length bias
}

// Info tells what the data set holds.
func (d *Dataset) Info() (DatasetInfo, error) {
	var info C.dpo_dataset_info
	info.struct_size = C.sizeof_dpo_dataset_info
	if err := d.handle.check(func() C.int32_t { return C.dpo_dataset_get_info(d.native, &info) }); err != nil {
		return DatasetInfo{}, err
	}
	return DatasetInfo{
		uint64(info.rows), uint64(info.dropped_rows), uint64(info.truncated_rows), uint64(info.identical_rows),
		uint64(info.duplicate_rows), uint64(info.contradicting_rows), uint64(info.tokens), uint64(info.longest_row),
		float64(info.longer_is_chosen),
	}, nil
}
