package libdpo

// #include "native.h"
import "C"

import (
	"context"
	"encoding/json"
	"runtime"
	"runtime/cgo"
	"sync"
	"time"
	"unsafe"
)

// Trainer is a training of a model on a data set: whole with Run, or step by step. It keeps what it needs of them, which may be
// closed.
type Trainer struct {
	handle    *handle
	native    *C.dpo_trainer
	canceller *canceller
	kept      *kept
}

// kept are the functions that the library calls in steps; they go with the trainer.
type kept struct {
	mutex  sync.Mutex
	reward *closure[rewardFunction]
	reduce *closure[reduceFunction]
	places [2]cgo.Handle // theirs; 0: none
}

func (k *kept) replace(index int, handle cgo.Handle) {
	if k.places[index] != 0 {
		k.places[index].Delete()
	}
	k.places[index] = handle
}

// NewTrainer makes a trainer. reference is another model to compare with; nil: the model as it was opened. evaluation may be nil.
// The plan is made here: it fails with Memory before any large allocation if it does not fit.
func NewTrainer(model, reference *Model, dataset, evaluation *Dataset, options *TrainOptions) (*Trainer, error) {
	return makeTrainer(nil, model, reference, dataset, evaluation, options)
}

// NewDistributedTrainer makes the trainer of one of several ranks: all of them make it, and call its methods in the same order. An
// error of one is given on all.
func NewDistributedTrainer(
	ranks *Communicator, model, reference *Model, dataset, evaluation *Dataset, options *TrainOptions,
) (*Trainer, error) {
	if ranks == nil {
		return nil, invalid("ranks is nil")
	}
	return makeTrainer(ranks, model, reference, dataset, evaluation, options)
}

// makeTrainer makes one that trains alone where ranks is nil.
func makeTrainer(
	ranks *Communicator, model, reference *Model, dataset, evaluation *Dataset, options *TrainOptions,
) (*Trainer, error) {
	native, err := trainOptions(options)
	if err != nil {
		return nil, err
	}
	defer native.release()
	var rows, heldOut *C.dpo_dataset
	if dataset != nil {
		rows = dataset.native
	}
	if evaluation != nil {
		heldOut = evaluation.native
	}
	var trainer *C.dpo_trainer
	err = check(func() C.int32_t {
		if ranks != nil {
			return C.dpo_trainer_create_distributed(ranks.native, nativeOf(model), nativeOf(reference), rows, heldOut,
				(*C.dpo_train_options)(native.get()), &trainer)
		}
		return C.dpo_trainer_create(nativeOf(model), nativeOf(reference), rows, heldOut, (*C.dpo_train_options)(native.get()), &trainer)
	})
	runtime.KeepAlive(ranks)
	runtime.KeepAlive(model)
	runtime.KeepAlive(reference)
	runtime.KeepAlive(dataset)
	runtime.KeepAlive(evaluation)
	if err != nil {
		return nil, err
	}
	t := &Trainer{native: trainer, kept: &kept{}}
	kept := t.kept
	t.handle = newHandle(uintptr(unsafe.Pointer(trainer)), func() {
		C.dpo_trainer_release(trainer)
		kept.mutex.Lock()
		defer kept.mutex.Unlock()
		kept.replace(0, 0)
		kept.replace(1, 0)
	})
	handle := t.handle
	t.canceller = newCanceller(func() {
		C.dpo_trainer_cancel(trainer)
		runtime.KeepAlive(handle)
	})
	return t, nil
}

// Close releases the trainer; not while a call on it runs.
func (t *Trainer) Close() { t.handle.close() }

// SetWait tells how long calls wait while another goroutine's call uses the trainer; see Model.SetWait.
func (t *Trainer) SetWait(wait time.Duration) error { return t.handle.setWait(wait, t.canceller) }

// Cancel asks a running Run, Step, Forward or Evaluate to stop with Cancelled, within one micro-batch. If none is running, the next
// one stops at once.
func (t *Trainer) Cancel() { t.canceller.ask() }

// call makes one that may call the functions which were set, and ends when the context is done.
func (t *Trainer) call(ctx context.Context, call func(again bool) C.int32_t, functions ...stopper) error {
	t.kept.mutex.Lock()
	reward, reduce := t.kept.reward, t.kept.reduce
	t.kept.mutex.Unlock()
	err := t.canceller.run(ctx, func(again bool) error {
		return t.handle.check(func() C.int32_t { return call(again) })
	}, append(functions, reward, reduce)...)
	if reward != nil {
		err = reward.after(err)
	}
	if reduce != nil {
		err = reduce.after(err)
	}
	return err
}

func (t *Trainer) json(call func(text **C.char) C.int32_t) (json.RawMessage, error) {
	defer runtime.KeepAlive(t.handle)
	return returnedJSON(call)
}

// Plan tells steps, tokens, memory by part and options as JSON.
func (t *Trainer) Plan() (json.RawMessage, error) {
	return t.json(func(text **C.char) C.int32_t { return C.dpo_trainer_plan(t.native, text) })
}

// LastMetrics is everything that the last step or evaluation measured, as JSON.
func (t *Trainer) LastMetrics() (json.RawMessage, error) {
	return t.json(func(text **C.char) C.int32_t { return C.dpo_trainer_last_metrics(t.native, text) })
}

// Metrics are those of a step or an evaluation, under TRL's names; NaN where a method has none.
type Metrics struct {
	Step, TotalSteps  int64 // optimiser steps done, and planned
	Epoch             float64
	Loss              float64
	GradNorm          float64 // before clipping
	LearningRate      float64
	RewardsChosen     float64
	RewardsRejected   float64
	RewardsAccuracies float64 // ties count as wrong
	RewardsMargins    float64
	LogpsChosen       float64
	LogpsRejected     float64
	LogitsChosen      float64
	LogitsRejected    float64
	Entropy           float64 // nats a token
	MeanTokenAccuracy float64
	NumTokens         float64
	Seconds           float64 // wall time of the step
}

func metricsOf(m *C.dpo_metrics) Metrics {
	return Metrics{
		int64(m.step), int64(m.total_steps), float64(m.epoch), float64(m.loss), float64(m.grad_norm), float64(m.learning_rate),
		float64(m.rewards_chosen), float64(m.rewards_rejected), float64(m.rewards_accuracies), float64(m.rewards_margins),
		float64(m.logps_chosen), float64(m.logps_rejected), float64(m.logits_chosen), float64(m.logits_rejected), float64(m.entropy),
		float64(m.mean_token_accuracy), float64(m.num_tokens), float64(m.seconds),
	}
}

func (t *Trainer) measured(ctx context.Context, call func(metrics *C.dpo_metrics) C.int32_t) (*Metrics, error) {
	var native C.dpo_metrics
	native.struct_size = C.sizeof_dpo_metrics
	if err := t.call(ctx, func(bool) C.int32_t { return call(&native) }); err != nil {
		return nil, err
	}
	metrics := metricsOf(&native)
	return &metrics, nil
}

// Run runs what remains of the plan. The directory gets metrics.jsonl, checkpoints, final.h5 and report.html. resume is "", "last",
// which starts from the beginning where there is no checkpoint yet, or a checkpoint file. onEvent may be nil; its error stops the
// run cleanly after a checkpoint, and is given. So does a context that is done.
func (t *Trainer) Run(ctx context.Context, directory, resume string, onEvent func(Event) error) error {
	var texts cTexts
	defer texts.free()
	path, from, last := texts.one(directory, "the directory"), texts.optional(resume, "resume"), texts.one("last", "resume")
	if texts.err != nil {
		return texts.err
	}
	return with(ctx, onEvent, func(c stopper, handle C.uintptr_t) error {
		return t.call(ctx, func(again bool) C.int32_t {
			if again { // a cancel of an earlier call ended this one at its start
				from = last
			}
			return C.libdpo_run(t.native, path, from, handle)
		}, c)
	})
}

// Step takes the next optimiser step of the plan; after the last one it fails with State.
func (t *Trainer) Step(ctx context.Context) (*Metrics, error) {
	return t.measured(ctx, func(metrics *C.dpo_metrics) C.int32_t { return C.dpo_trainer_step(t.native, metrics) })
}

// Evaluate gives metrics of the evaluation data set now.
func (t *Trainer) Evaluate(ctx context.Context) (*Metrics, error) {
	return t.measured(ctx, func(metrics *C.dpo_metrics) C.int32_t { return C.dpo_trainer_evaluate(t.native, metrics) })
}

// EvaluateData gives metrics of another data set than the trainer's own, read with the options of this trainer.
func (t *Trainer) EvaluateData(ctx context.Context, dataset *Dataset) (*Metrics, error) {
	defer runtime.KeepAlive(dataset)
	return t.measured(ctx, func(metrics *C.dpo_metrics) C.int32_t {
		return C.dpo_trainer_evaluate_data(t.native, dataset.native, metrics)
	})
}

// ForwardResult is log-probs of rows of a data set under policy and reference.
type ForwardResult struct{ PolicyChosen, PolicyRejected, ReferenceChosen, ReferenceRejected []float64 }

func newForwardResult(rows int) *ForwardResult {
	list := func() []float64 { return make([]float64, rows) }
	return &ForwardResult{list(), list(), list(), list()}
}

// ScoreData gives log-probs of every row of a data set now; of a reward model its scores. No Backward can follow.
func (t *Trainer) ScoreData(ctx context.Context, dataset *Dataset) (*ForwardResult, error) {
	defer runtime.KeepAlive(dataset)
	info, err := dataset.Info()
	if err != nil {
		return nil, err
	}
	result := newForwardResult(int(info.Rows))
	if err := t.call(ctx, func(bool) C.int32_t {
		return C.dpo_trainer_score_data(t.native, dataset.native, C.size_t(info.Rows), doubles(result.PolicyChosen),
			doubles(result.PolicyRejected), doubles(result.ReferenceChosen), doubles(result.ReferenceRejected))
	}); err != nil {
		return nil, err
	}
	return result, nil
}

// Forward gives log-probs of rows of the data set, to be followed by your own loss and Backward.
func (t *Trainer) Forward(ctx context.Context, indices []int) (*ForwardResult, error) {
	result := newForwardResult(len(indices))
	native := lengths(indices)
	if err := t.call(ctx, func(bool) C.int32_t {
		return C.dpo_trainer_forward(t.native, &native[0], C.size_t(len(indices)), doubles(result.PolicyChosen),
			doubles(result.PolicyRejected), doubles(result.ReferenceChosen), doubles(result.ReferenceRejected))
	}); err != nil {
		return nil, err
	}
	return result, nil
}

// TokenLogps are those of the scored tokens of the last Forward: for each row chosen, then rejected.
func (t *Trainer) TokenLogps() ([]float32, error) {
	var count C.size_t
	if err := t.handle.check(func() C.int32_t { return C.dpo_trainer_token_count(t.native, &count) }); err != nil {
		return nil, err
	}
	logps := make([]float32, count)
	err := t.handle.check(func() C.int32_t { return C.dpo_trainer_token_logps(t.native, floats(logps), count) })
	return logps, err
}

// Backward adds the gradients of your loss with respect to the log-probs of the last Forward.
func (t *Trainer) Backward(gradientChosen, gradientRejected []float64) error {
	if err := sameLength(len(gradientChosen), []named[float64]{{"gradientRejected", gradientRejected}}, nil); err != nil {
		return err
	}
	return t.handle.check(func() C.int32_t {
		return C.dpo_trainer_backward(t.native, doubles(gradientChosen), doubles(gradientRejected), C.size_t(len(gradientChosen)))
	})
}

// BackwardTokens does the same with a gradient for each scored token, as TokenLogps orders them.
func (t *Trainer) BackwardTokens(gradients []float32) error {
	return t.handle.check(func() C.int32_t {
		return C.dpo_trainer_backward_tokens(t.native, floats(gradients), C.size_t(len(gradients)))
	})
}

// Apply clips, steps the optimiser and sets the gradients to zero. Loss and rewards are your own: they are NaN here.
func (t *Trainer) Apply() (*Metrics, error) {
	return t.measured(context.Background(), func(metrics *C.dpo_metrics) C.int32_t { return C.dpo_trainer_apply(t.native, metrics) })
}

// Parameters are the trained ones and their gradients, flat, in the library's memory: valid until Close, and not to be used while a
// call on the trainer runs.
func (t *Trainer) Parameters() (values, gradients []float32, err error) {
	var first, second *C.float
	var count C.size_t
	if err := t.handle.check(func() C.int32_t { return C.dpo_trainer_parameters(t.native, &first, &second, &count) }); err != nil {
		return nil, nil, err
	}
	return unsafe.Slice((*float32)(first), int(count)), unsafe.Slice((*float32)(second), int(count)), nil
}

// Parameter tells where one lies in them. Its name is Hugging Face's, or PEFT's for an adapter.
type Parameter struct {
	Name         string
	Offset, Size int
	Shape        []int64
}

// ParameterList tells where each parameter lies.
func (t *Trainer) ParameterList() ([]Parameter, error) {
	var count C.size_t
	if err := t.handle.check(func() C.int32_t { return C.dpo_trainer_parameter_count(t.native, &count) }); err != nil {
		return nil, err
	}
	list := make([]Parameter, count)
	for i := range list {
		var name *C.char
		var offset, size, dimensions C.size_t
		var shape [4]C.int64_t
		if err := t.handle.check(func() C.int32_t {
			return C.dpo_trainer_parameter_at(t.native, C.size_t(i), &name, &offset, &size, &shape[0], &dimensions)
		}); err != nil {
			return nil, err
		}
		list[i] = Parameter{Name: C.GoString(name), Offset: int(offset), Size: int(size)}
		for _, extent := range shape[:dimensions] {
			list[i].Shape = append(list[i].Shape, int64(extent))
		}
	}
	return list, nil
}

// SetReward is for methods that learn from the policy's own answers: the function writes a reward for each of them. Its error fails
// the step, unapplied, and is given.
func (t *Trainer) SetReward(reward func(answers []Answer, rewards []float64) error) error {
	c := &closure[rewardFunction]{function: reward}
	return t.keep(0, c, func(handle C.uintptr_t) C.int32_t { return C.libdpo_set_reward(t.native, handle) }, func() { t.kept.reward = c })
}

// SetReduce has the function called once an optimiser step with the flat gradient, before clipping: the place for a mean over
// machines. Its error stops the step, unapplied, and is given.
func (t *Trainer) SetReduce(reduce func(gradients []float32) error) error {
	c := &closure[reduceFunction]{function: reduce}
	return t.keep(1, c, func(handle C.uintptr_t) C.int32_t { return C.libdpo_set_reduce(t.native, handle) }, func() { t.kept.reduce = c })
}

// keep gives a function to the library, and holds it in place of the one before.
func (t *Trainer) keep(index int, closure any, set func(handle C.uintptr_t) C.int32_t, done func()) error {
	t.kept.mutex.Lock()
	defer t.kept.mutex.Unlock()
	handle := cgo.NewHandle(closure)
	if err := t.handle.check(func() C.int32_t { return set(C.uintptr_t(handle)) }); err != nil {
		handle.Delete()
		return err
	}
	t.kept.replace(index, handle)
	done()
	return nil
}

// SetRewardModel takes a reward model as the judge; it may be closed.
func (t *Trainer) SetRewardModel(model *Model) error {
	defer runtime.KeepAlive(model)
	return t.judged(func() C.int32_t { return C.dpo_trainer_set_reward_model(t.native, nativeOf(model)) })
}

// SetRewardClassifier takes a classifier's log-odds; with completionOnly it does not see the prompt.
func (t *Trainer) SetRewardClassifier(classifier *Classifier, completionOnly bool) error {
	defer runtime.KeepAlive(classifier)
	return t.judged(func() C.int32_t {
		return C.dpo_trainer_set_reward_classifier(t.native, classifier.native, flag(completionOnly))
	})
}

func (t *Trainer) judged(set func() C.int32_t) error {
	t.kept.mutex.Lock()
	defer t.kept.mutex.Unlock()
	if err := t.handle.check(set); err != nil {
		return err
	}
	t.kept.replace(0, 0)
	t.kept.reward = nil
	return nil
}

func (t *Trainer) file(path string, call func(path *C.char) C.int32_t) error {
	var texts cTexts
	defer texts.free()
	cPath := texts.one(path, "the path")
	if texts.err != nil {
		return texts.err
	}
	return t.handle.check(func() C.int32_t { return call(cPath) })
}

// Save writes parameters, optimiser, position and options crash-safely.
func (t *Trainer) Save(path string) error {
	return t.file(path, func(path *C.char) C.int32_t { return C.dpo_trainer_save(t.native, path) })
}

// Load reads them back. A checkpoint of another run is refused.
func (t *Trainer) Load(path string) error {
	return t.file(path, func(path *C.char) C.int32_t { return C.dpo_trainer_load(t.native, path) })
}

// SaveModel writes the trained adapter or model alone, as Run does in final.h5.
func (t *Trainer) SaveModel(path string) error {
	return t.file(path, func(path *C.char) C.int32_t { return C.dpo_trainer_save_model(t.native, path) })
}
