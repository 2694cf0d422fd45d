package libdpo

// #include "native.h"
// #include <stdlib.h>
import "C"

import (
	"context"
	"encoding/json"
	"runtime"
	"time"
	"unsafe"
)

// Model is one from a GGUF file, a Hugging Face directory or an HDF5 file.
//
// While a goroutine computes with it, calls of others fail with State, or wait as SetWait says; a further Model of the same
// file shares its weights and computes by itself.
type Model struct {
	handle    *handle
	native    *C.dpo_model
	canceller *canceller
}

// OpenOptions tell how a model is opened. nil means every default.
type OpenOptions struct {
	// An adapter that is put on top: a PEFT directory, libdpo's HDF5 or a GGUF LoRA. "": none.
	Adapter string

	// Compute threads; 0: one a core.
	Threads int

	// Copy the weights into memory instead of mapping the file: what becomes of the file does not matter then.
	Copy bool
}

// OpenModel opens a model.
func OpenModel(path string, options *OpenOptions) (*Model, error) {
	if options == nil {
		options = &OpenOptions{}
	}
	var texts cTexts
	defer texts.free()
	cPath, adapter := texts.one(path, "the path"), texts.optional(options.Adapter, "Adapter")
	if texts.err != nil {
		return nil, texts.err
	}
	var native *C.dpo_model
	if err := check(func() C.int32_t {
		if options.Copy {
			return C.dpo_model_load(cPath, adapter, C.int32_t(options.Threads), &native)
		}
		return C.dpo_model_open(cPath, adapter, C.int32_t(options.Threads), &native)
	}); err != nil {
		return nil, err
	}
	m := &Model{native: native}
	m.handle = newHandle(uintptr(unsafe.Pointer(native)), func() { C.dpo_model_release(native) })
	handle := m.handle
	m.canceller = newCanceller(func() {
		C.dpo_model_cancel(native)
		runtime.KeepAlive(handle)
	})
	return m, nil
}

// Close releases the model. What other handles need of it stays.
func (m *Model) Close() { m.handle.close() }

// SetWait tells how long calls wait while another goroutine's call uses the model, instead of failing; Forever is possible.
// 0 to begin with.
func (m *Model) SetWait(wait time.Duration) error { return m.handle.setWait(wait, m.canceller) }

// Cancel ends a running Score, Rewards, Generate or Evaluate of this model with Cancelled. It does nothing if none is running.
func (m *Model) Cancel() { m.canceller.ask() }

// nativeOf is NULL for nil.
func nativeOf(m *Model) *C.dpo_model {
	if m == nil {
		return nil
	}
	return m.native
}

// ModelInfo is what a model is.
type ModelInfo struct {
	Parameters      uint64 // numbers in the model, tied ones once
	MappedBytes     uint64 // size of the weights as they lie in the file
	VocabularySize  int
	HiddenSize      int
	Layers          int
	ContextLength   int   // tokens
	EOSToken        int32 // -1: none
	BOSToken        int32 // -1: none
	HasChatTemplate bool
	HasAdapter      bool
	Architecture    string // "llama", "qwen2", "gpt2", …
	Format          string // "gguf", "huggingface" or "hdf5"
	IsRewardModel   bool   // it scores text and has no log-probs
}

// Info tells what the model is.
func (m *Model) Info() (ModelInfo, error) {
	var info C.dpo_model_info
	info.struct_size = C.sizeof_dpo_model_info
	if err := m.handle.check(func() C.int32_t { return C.dpo_model_get_info(m.native, &info) }); err != nil {
		return ModelInfo{}, err
	}
	return ModelInfo{
		uint64(info.parameters), uint64(info.mapped_bytes), int(info.vocabulary_size), int(info.hidden_size), int(info.layers),
		int(info.context_length), int32(info.eos_token), int32(info.bos_token), info.has_chat_template != 0, info.has_adapter != 0,
		C.GoString(&info.architecture[0]), C.GoString(&info.format[0]), info.is_reward_model != 0,
	}, nil
}

// SetEngine computes with another engine: "auto", "avx512", "avx2", "neon", "portable" or "openblas".
func (m *Model) SetEngine(engine string) error {
	var texts cTexts
	defer texts.free()
	name := texts.one(engine, "the engine")
	if texts.err != nil {
		return texts.err
	}
	return m.handle.check(func() C.int32_t { return C.dpo_model_set_engine(m.native, name) })
}

// Encode gives the token ids of a text; with special, those that the tokenizer adds by default are among them.
func (m *Model) Encode(text string, special bool) ([]int32, error) {
	bytes := C.CString(text) // its size is told, so that it may hold NUL characters
	defer C.free(unsafe.Pointer(bytes))
	// A token is at least a byte, so that this is usually room enough.
	ids := make([]int32, len(text)+8)
	for {
		var count C.size_t
		if err := m.handle.check(func() C.int32_t {
			return C.dpo_model_encode(m.native, bytes, C.size_t(len(text)), flag(special), integers(ids), C.size_t(len(ids)), &count)
		}); err != nil {
			return nil, err
		}
		if int(count) <= len(ids) {
			return ids[:count], nil
		}
		ids = make([]int32, count)
	}
}

// Decode gives the text of token ids, special tokens included.
func (m *Model) Decode(ids []int32) (string, error) {
	var size C.size_t
	return m.sized(&size, func(text **C.char) C.int32_t {
		return C.dpo_model_decode(m.native, integers(ids), C.size_t(len(ids)), text, &size)
	})
}

// ApplyChatTemplate gives the model's chat template over messages, a JSON array of {"role", "content"}.
func (m *Model) ApplyChatTemplate(messages []byte, addGenerationPrompt bool) (string, error) {
	var texts cTexts
	defer texts.free()
	list := texts.one(string(messages), "messages")
	if texts.err != nil {
		return "", texts.err
	}
	var size C.size_t
	return m.sized(&size, func(text **C.char) C.int32_t {
		return C.dpo_model_apply_chat_template(m.native, list, flag(addGenerationPrompt), text, &size)
	})
}

// sized is a text that the library made, whose size is told: it may hold NUL characters.
func (m *Model) sized(size *C.size_t, call func(text **C.char) C.int32_t) (string, error) {
	var text *C.char
	if err := m.handle.check(func() C.int32_t { return call(&text) }); err != nil {
		return "", err
	}
	defer C.dpo_string_free(text)
	return C.GoStringN(text, C.int(*size)), nil
}

// Pair is a completion after its prompt.
type Pair struct{ Prompt, Completion string }

func (t *cTexts) pairs(pairs []Pair) (prompts, completions **C.char) {
	first, second := make([]string, len(pairs)), make([]string, len(pairs))
	for i, pair := range pairs {
		first[i], second[i] = pair.Prompt, pair.Completion
	}
	return t.many(first, "prompt"), t.many(second, "completion")
}

// Score is the log-prob of a completion, and how many tokens it has.
type Score struct {
	Logp   float64
	Tokens int
}

// Score gives log-probs of completions after their prompts, end of sequence included, tokenised as in training.
func (m *Model) Score(ctx context.Context, pairs []Pair) ([]Score, error) {
	var texts cTexts
	defer texts.free()
	prompts, completions := texts.pairs(pairs)
	if texts.err != nil {
		return nil, texts.err
	}
	sums, counts := make([]float64, len(pairs)), make([]int32, len(pairs))
	if err := m.canceller.run(ctx, func(bool) error {
		return m.handle.check(func() C.int32_t {
			return C.dpo_model_score_texts(m.native, prompts, completions, C.size_t(len(pairs)), doubles(sums), integers(counts))
		})
	}); err != nil {
		return nil, err
	}
	scores := make([]Score, len(pairs))
	for i := range scores {
		scores[i] = Score{sums[i], int(counts[i])}
	}
	return scores, nil
}

// CompletionIDs is a completion by its tokens; Prompt is the index of the prompt that it continues.
type CompletionIDs struct {
	Prompt int
	IDs    []int32
}

// TokenScores are log-probs of completions: of each token, and their sums.
type TokenScores struct {
	Tokens [][]float32
	Sums   []float64
}

// rows are lists of ids, one after the other, as C takes them.
type rows struct {
	promptIDs, ids                          []int32
	promptLengths, lengthsOf, promptIndices []C.size_t
	counts                                  []int
}

func rowsOf(prompts [][]int32, completions []CompletionIDs) rows {
	var r rows
	var promptCounts, indices []int
	for _, prompt := range prompts {
		r.promptIDs, promptCounts = append(r.promptIDs, prompt...), append(promptCounts, len(prompt))
	}
	for _, completion := range completions {
		r.ids, r.counts = append(r.ids, completion.IDs...), append(r.counts, len(completion.IDs))
		indices = append(indices, completion.Prompt)
	}
	r.promptLengths, r.lengthsOf, r.promptIndices = lengths(promptCounts), lengths(r.counts), lengths(indices)
	return r
}

// ScoreTokens gives log-probs of completions by their tokens; a prompt is computed once for all its completions.
func (m *Model) ScoreTokens(ctx context.Context, prompts [][]int32, completions []CompletionIDs) (*TokenScores, error) {
	r := rowsOf(prompts, completions)
	tokens, sums := make([]float32, len(r.ids)), make([]float64, len(completions))
	if err := m.canceller.run(ctx, func(bool) error {
		return m.handle.check(func() C.int32_t {
			return C.dpo_model_score_tokens(m.native, integers(r.promptIDs), &r.promptLengths[0], C.size_t(len(prompts)),
				integers(r.ids), &r.lengthsOf[0], &r.promptIndices[0], C.size_t(len(completions)), floats(tokens), doubles(sums))
		})
	}); err != nil {
		return nil, err
	}
	return &TokenScores{cut(tokens, r.counts), sums}, nil
}

// Rewards are a reward model's scores of completions after their prompts: higher is better.
func (m *Model) Rewards(ctx context.Context, pairs []Pair) ([]float64, error) {
	var texts cTexts
	defer texts.free()
	prompts, completions := texts.pairs(pairs)
	if texts.err != nil {
		return nil, texts.err
	}
	rewards := make([]float64, len(pairs))
	err := m.canceller.run(ctx, func(bool) error {
		return m.handle.check(func() C.int32_t {
			return C.dpo_model_reward_texts(m.native, prompts, completions, C.size_t(len(pairs)), doubles(rewards))
		})
	})
	return rewards, err
}

// RewardTokens are the same by tokens.
func (m *Model) RewardTokens(ctx context.Context, prompts [][]int32, completions []CompletionIDs) ([]float64, error) {
	r := rowsOf(prompts, completions)
	rewards := make([]float64, len(completions))
	err := m.canceller.run(ctx, func(bool) error {
		return m.handle.check(func() C.int32_t {
			return C.dpo_model_reward_tokens(m.native, integers(r.promptIDs), &r.promptLengths[0], C.size_t(len(prompts)),
				integers(r.ids), &r.lengthsOf[0], &r.promptIndices[0], C.size_t(len(completions)), doubles(rewards))
		})
	})
	return rewards, err
}

// Completion is an answer that Generate drew.
type Completion struct {
	Text    string // without special tokens
	IDs     []int32
	Stopped bool // it ended by itself, not at the length
}

// Generate draws NumReturnSequences completions of each prompt. onToken, which may be nil, sees each token as it is drawn; its
// error ends all of it, and is given.
func (m *Model) Generate(ctx context.Context, prompts []string, options *GenerationOptions, onToken func(Token) error) ([][]Completion, error) {
	if options == nil {
		options = &GenerationOptions{}
	}
	var texts cTexts
	defer texts.free()
	list := texts.many(prompts, "prompt")
	if texts.err != nil {
		return nil, texts.err
	}
	native, err := newOptions(options)
	if err != nil {
		return nil, err
	}
	defer native.release()
	var completions *C.dpo_completions
	err = with(ctx, onToken, func(c stopper, handle C.uintptr_t) error {
		return m.canceller.run(ctx, func(bool) error {
			return m.handle.check(func() C.int32_t {
				return C.libdpo_generate(m.native, list, C.size_t(len(prompts)), (*C.dpo_generation_options)(native.get()), handle,
					&completions)
			})
		}, c)
	})
	defer C.dpo_completions_release(completions)
	if err != nil {
		return nil, err
	}
	count := 1
	if options.NumReturnSequences != nil {
		count = *options.NumReturnSequences
	}
	drawn := make([][]Completion, len(prompts))
	for prompt := range drawn {
		for index := 0; index < count; index++ {
			var text *C.char
			var ids *C.int32_t
			var length C.size_t
			var stopped C.int32_t
			if err := check(func() C.int32_t {
				return C.dpo_completions_get(completions, C.size_t(prompt), C.size_t(index), &text, &ids, &length, &stopped)
			}); err != nil {
				return nil, err
			}
			drawn[prompt] = append(drawn[prompt], Completion{C.GoString(text), idsOf(ids, length), stopped != 0})
		}
	}
	return drawn, nil
}

// Evaluation tells how a model is evaluated.
type Evaluation struct {
	// What it is compared with; nil: the model without its adapter.
	Reference *Model

	Options *TrainOptions

	// How answers are drawn for the KL, lengths and win rates; nil: none are.
	Samples *GenerationOptions

	// Who judges the answers; at most one of them, or none.
	Classifier  *Classifier
	RewardModel *Model
}

// Evaluate measures the model on the pairs of a JSON-lines file, as JSON: metrics by TRL's names, their standard errors, and,
// with samples, KL, lengths and win rates.
func (m *Model) Evaluate(ctx context.Context, data string, evaluation *Evaluation) (json.RawMessage, error) {
	if evaluation == nil {
		evaluation = &Evaluation{}
	}
	var texts cTexts
	defer texts.free()
	path := texts.one(data, "the path")
	if texts.err != nil {
		return nil, texts.err
	}
	options, err := trainOptions(evaluation.Options)
	if err != nil {
		return nil, err
	}
	defer options.release()
	var samples unsafe.Pointer
	if evaluation.Samples != nil {
		native, err := newOptions(evaluation.Samples)
		if err != nil {
			return nil, err
		}
		defer native.release()
		samples = native.get()
	}
	var classifier *C.dpo_classifier
	if evaluation.Classifier != nil {
		classifier = evaluation.Classifier.native
	}
	defer runtime.KeepAlive(evaluation)
	var result json.RawMessage
	err = m.canceller.run(ctx, func(bool) (err error) {
		defer runtime.KeepAlive(m.handle)
		result, err = returnedJSON(func(text **C.char) C.int32_t {
			return C.dpo_model_evaluate(m.native, nativeOf(evaluation.Reference), path, (*C.dpo_train_options)(options.get()),
				(*C.dpo_generation_options)(samples), classifier, nativeOf(evaluation.RewardModel), text)
		})
		return err
	})
	return result, err
}

// trainOptions takes nil for every default.
func trainOptions(options *TrainOptions) (nativeOptions, error) {
	if options == nil {
		options = &TrainOptions{}
	}
	return newOptions(options)
}
