package libdpo

// The binding against numbers of TRL and transformers (Tests/Fixtures/golden), closed forms, and what must not happen to a Go
// program. LIBDPO_FIXTURES is Tests/Fixtures.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

var background = context.Background()

func fixture(t *testing.T, name string) string {
	t.Helper()
	root := os.Getenv("LIBDPO_FIXTURES")
	if root == "" {
		t.Fatal("LIBDPO_FIXTURES is the folder Tests/Fixtures")
	}
	return filepath.Join(root, name)
}

// must gives the value of a call that may not fail.
func must[T any](t *testing.T) func(value T, err error) T {
	t.Helper()
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func openModel(t *testing.T) *Model {
	t.Helper()
	model := must[*Model](t)(OpenModel(fixture(t, "models/qwen2"), nil))
	t.Cleanup(model.Close)
	return model
}

func lora(change func(*TrainOptions)) *TrainOptions {
	options := &TrainOptions{LoraR: Some(4), LearningRate: Some(1e-3), PerDeviceTrainBatchSize: Some(4), MaxSteps: Some(4)}
	if change != nil {
		change(options)
	}
	return options
}

func newTrainer(t *testing.T, options *TrainOptions) *Trainer {
	t.Helper()
	model := openModel(t)
	dataset := must[*Dataset](t)(OpenDataset(model, fixture(t, "data/pairs.jsonl"), options))
	trainer := must[*Trainer](t)(NewTrainer(model, nil, dataset, nil, options))
	t.Cleanup(trainer.Close)
	return trainer
}

func near(t *testing.T, value, expected, within float64) {
	t.Helper()
	if !(math.Abs(value-expected) <= within) {
		t.Errorf("%v is not near to %v", value, expected)
	}
}

func status(t *testing.T, err error, expected Status) {
	t.Helper()
	if StatusOf(err) != expected {
		t.Errorf("%v has the status %v, expected %v", err, StatusOf(err), expected)
	}
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in %s", part, text)
		}
	}
}

// ------------------------------------------------------------------------------------------------------------ numbers

func TestScoresAreThoseOfTransformers(t *testing.T) {
	var golden struct {
		Texts []struct {
			Text  string
			IDs   []int32
			Logps []float64
			Sum   float64
		}
	}
	text := must[[]byte](t)(os.ReadFile(fixture(t, "golden/models/qwen2.json")))
	if err := json.Unmarshal(text, &golden); err != nil || len(golden.Texts) == 0 {
		t.Fatal(err)
	}
	model := openModel(t)
	for _, each := range golden.Texts {
		ids := must[[]int32](t)(model.Encode(each.Text, true))
		if !reflect.DeepEqual(ids, each.IDs) {
			t.Errorf("ids of %q are %v", each.Text, ids)
		}
		if text := must[string](t)(model.Decode(ids)); text != each.Text {
			t.Errorf("%q decodes as %q", each.Text, text)
		}
		scores := must[*TokenScores](t)(model.ScoreTokens(background, [][]int32{ids[:1]}, []CompletionIDs{{0, ids[1:]}}))
		for i, logp := range scores.Tokens[0] {
			near(t, float64(logp), each.Logps[i], 2e-3)
		}
		near(t, scores.Sums[0], each.Sum, 2e-3)
	}
}

func TestEveryTextFindsItsCompletion(t *testing.T) {
	model := openModel(t)
	prompts := [][]int32{must[[]int32](t)(model.Encode("We found", true)), must[[]int32](t)(model.Encode("She said:", true))}
	completions := []CompletionIDs{{1, []int32{5, 6, 7}}, {0, []int32{8}}, {1, []int32{9, 10}}}
	together := must[*TokenScores](t)(model.ScoreTokens(background, prompts, completions))
	for i, completion := range completions {
		alone := must[*TokenScores](t)(model.ScoreTokens(background, [][]int32{prompts[completion.Prompt]}, []CompletionIDs{{0, completion.IDs}}))
		near(t, together.Sums[i], alone.Sums[0], 1e-4)
		if len(together.Tokens[i]) != len(completion.IDs) {
			t.Errorf("completion %d has %d log-probs", i, len(together.Tokens[i]))
		}
	}
}

func TestClosedForms(t *testing.T) {
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	options := &LossOptions{Beta: Some(0.5)}
	result := must[*LossResult](t)(ComputeLoss(options, &Pairs{
		PolicyChosen: []float64{-3}, PolicyRejected: []float64{-5}, ReferenceChosen: []float64{-4}, ReferenceRejected: []float64{-4.5},
	}))
	near(t, result.Loss, -math.Log(sigmoid(0.5*1.5)), 1e-12)
	near(t, result.GradientChosen[0], -0.5*sigmoid(-0.75), 1e-12)
	near(t, result.RewardRejected[0], -0.25, 1e-12)
	ranking := Ranking{Ranks: []float64{1, 2}, Policy: []float64{-3, -5}, Reference: []float64{-4, -4.5}}
	ranked := must[*RankedResult](t)(ComputeRankedLoss(0.5, []Ranking{ranking, ranking}))
	near(t, ranked.Loss, result.Loss, 1e-12)
	near(t, ranked.Gradients[1][0], result.GradientChosen[0]/2, 1e-12)

	both := must[*LossResult](t)(ComputeLoss(
		&LossOptions{Beta: Some(0.5), ReferenceFree: true, Losses: []Loss{LossSigmoid, LossHinge}, LossWeights: []float64{1, 0.5}},
		&Pairs{PolicyChosen: []float64{-3}, PolicyRejected: []float64{-4}}))
	near(t, both.Loss, -math.Log(sigmoid(0.5))+0.5*(1-0.5), 1e-12)

	reference, rewards := []float64{math.Log(0.25), math.Log(0.75)}, []float64{1, 0}
	policy, normalizer, err := PolicyOptimum(options, reference, rewards)
	if err != nil {
		t.Fatal(err)
	}
	z := 0.25*math.Exp(1/0.5) + 0.75
	near(t, normalizer, 0.5*math.Log(z), 1e-9)
	near(t, policy[0], math.Log(0.25*math.Exp(2)/z), 1e-9)
	back := must[[]float64](t)(PolicyRewards(options, policy, reference))
	near(t, back[0]-back[1], 1, 1e-9)
	kl := math.Exp(policy[0])*(policy[0]-reference[0]) + math.Exp(policy[1])*(policy[1]-reference[1])
	near(t, must[float64](t)(PolicyDivergence(nil, policy, reference)), kl, 1e-9)
	near(t, must[[]float64](t)(BradleyTerry([]float64{1}, []float64{0}))[0], sigmoid(1), 1e-12)

	advantages, returns, err := GAE([]float64{0, 2, 1}, []float64{1, 0.5, 0}, []int{2, 1}, 1, 0.5)
	if err != nil || !reflect.DeepEqual(advantages, []float64{-0.5 + 0.5*1.5, 1.5, 1}) || !reflect.DeepEqual(returns, []float64{1.25, 2, 1}) {
		t.Error(advantages, returns, err)
	}
	ppo := must[*PPOResult](t)(ComputePPOLoss(nil, &PPOTokens{
		Logps: []float32{-1}, OldLogps: []float32{-1}, Advantages: []float32{2},
		Values: []float32{1}, OldValues: []float32{1}, Returns: []float32{3},
	}))
	near(t, ppo.Loss, -2+0.1/2*4, 1e-6)
	near(t, ppo.GradientLogps[0], -2, 1e-6)
	near(t, ppo.GradientValues[0], 0.1*-2, 1e-6)
	if len(Losses) != 16 || LossConservative.String() != "conservative" {
		t.Error(Losses)
	}
}

func TestOnesOwnLossStepsAsTheBuiltInOne(t *testing.T) {
	options := lora(func(o *TrainOptions) { o.Shuffle = Some(false) })
	whole, parts := newTrainer(t, options), newTrainer(t, options)
	metrics := must[*Metrics](t)(whole.Step(background))
	logps := must[*ForwardResult](t)(parts.Forward(background, []int{0, 1, 2, 3}))
	result := must[*LossResult](t)(ComputeLoss(nil, &Pairs{
		PolicyChosen: logps.PolicyChosen, PolicyRejected: logps.PolicyRejected,
		ReferenceChosen: logps.ReferenceChosen, ReferenceRejected: logps.ReferenceRejected,
	}))
	near(t, result.Loss, metrics.Loss, 1e-6)
	if err := parts.Backward(result.GradientChosen, result.GradientRejected); err != nil {
		t.Fatal(err)
	}
	near(t, must[*Metrics](t)(parts.Apply()).GradNorm, metrics.GradNorm, 1e-4*metrics.GradNorm)
	ours, _, err := parts.Parameters()
	if err != nil {
		t.Fatal(err)
	}
	theirs, _, err := whole.Parameters()
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, parameter := range must[[]Parameter](t)(parts.ParameterList()) {
		total += parameter.Size
		size := int64(1)
		for _, extent := range parameter.Shape {
			size *= extent
		}
		if size != int64(parameter.Size) {
			t.Error(parameter)
		}
	}
	if total != len(ours) || len(ours) == 0 {
		t.Error(total, len(ours))
	}
	for i := range ours {
		near(t, float64(ours[i]), float64(theirs[i]), 1e-5)
	}
}

// ------------------------------------------------------------------------------------------------------------- errors

func TestErrorsHaveAStatusAndASentence(t *testing.T) {
	_, err := OpenModel("/nowhere/model.gguf", nil)
	status(t, err, IO)
	contains(t, err.Error(), "/nowhere/model.gguf")
	if !errors.Is(fmt.Errorf("loading: %w", err), &Error{Status: IO}) || IO.String() != "DPO_ERROR_IO" {
		t.Error(err)
	}
	model := openModel(t)
	_, err = model.Score(background, []Pair{{"a\x00b", "c"}})
	status(t, err, InvalidArgument)
	contains(t, err.Error(), "prompt 0 holds a NUL character at byte 1")
	_, err = ComputeLoss(nil, &Pairs{PolicyChosen: []float64{1}})
	contains(t, err.Error(), "PolicyRejected has 0 numbers, expected 1")
	_, err = model.Rewards(background, []Pair{{"a", "b"}})
	status(t, err, Unsupported)
	model.Close()
	model.Close()
	_, err = model.Info()
	status(t, err, State)
	if err := model.SetWait(-time.Second); StatusOf(err) == 0 {
		t.Error("a closed model was changed")
	}
}

func TestErrorsBelongToTheirGoroutine(t *testing.T) {
	var group sync.WaitGroup
	for i := 0; i < 32; i++ {
		name := fmt.Sprintf("/nowhere/%d", i)
		group.Add(1)
		go func() {
			defer group.Done()
			for range [50]int{} {
				if _, err := OpenModel(name, nil); err == nil || !strings.Contains(err.Error(), name+":") && !strings.Contains(err.Error(), name+" ") {
					t.Errorf("%s failed with %v", name, err)
				}
				runtime.Gosched()
			}
		}()
	}
	group.Wait()
}

func TestOptionsAreCheckedByTheTable(t *testing.T) {
	model := openModel(t)
	for _, each := range []struct {
		change func(*TrainOptions)
		parts  []string
	}{
		{func(o *TrainOptions) { o.Beta = Some(-1.0) }, []string{"beta"}},
		{func(o *TrainOptions) { o.Method = "\"dop\"\n" }, []string{"method", "dop"}},
		{func(o *TrainOptions) { o.LearningRate = Some(math.Inf(1)) }, nil},
	} {
		_, err := OpenDataset(model, fixture(t, "data/pairs.jsonl"), lora(each.change))
		if err == nil {
			t.Fatal("options were not refused")
		}
		contains(t, err.Error(), each.parts...)
	}
}

func TestOptionsArriveAsTheyWereSet(t *testing.T) {
	plan := must[json.RawMessage](t)(newTrainer(t, lora(func(o *TrainOptions) {
		o.LossType, o.LossWeights = []string{"sigmoid", "sft"}, []float64{1, 0.25}
		o.Beta, o.Seed, o.DataSeed = Some(0.3), Some(4294967295), Some(7)
		o.MaxLength = Some(0) // all of them
		o.LoraTargetModules, o.LoraAlpha = []string{"q_proj", "v_proj"}, Some(1.5e-3)
		o.GradientCheckpointing, o.DisableDropout = Some(true), Some(false)
	})).Plan())
	var compact bytes.Buffer
	if err := json.Compact(&compact, plan); err != nil {
		t.Fatal(err)
	}
	contains(t, compact.String(), `"loss_type":["sigmoid","sft"]`, `"loss_weights":[1.0,0.25]`, `"beta":0.3`, `"seed":4294967295`,
		`"data_seed":7`, `"max_length":null`, `"lora_target_modules":["q_proj","v_proj"]`, `"lora_alpha":0.0015`,
		`"gradient_checkpointing":true`, `"disable_dropout":false`)
	// NaN unsets what has a default.
	for expected, value := range map[string]*float64{`"max_kl":200`: nil, `"max_kl":null`: Some(math.NaN())} {
		plan := must[json.RawMessage](t)(newTrainer(t, lora(func(o *TrainOptions) { o.Method, o.MaxKl = "rloo", value })).Plan())
		contains(t, strings.ReplaceAll(string(plan), ": ", ":"), expected)
	}
}

func TestTextsInOptionsMayHoldAnything(t *testing.T) {
	directory := t.TempDir()
	tokenizer, path := filepath.Join(directory, "tokenizer"), filepath.Join(directory, "model")
	options := &TokenizerOptions{
		VocabularySize: Some(300), ChatTemplate: "{% for m in messages %}\"\\\u0001ä<{{ m.content }}\"\n{% endfor %}",
		SpecialTokens: []string{"<a,b>", "<\"c\">"},
	}
	if err := TrainTokenizer([]string{fixture(t, "data/text.jsonl")}, tokenizer, options); err != nil {
		t.Fatal(err)
	}
	shape := &ModelShape{Tokenizer: tokenizer, HiddenSize: Some(32), Layers: Some(1), Heads: Some(2), Seed: Some(uint64(math.MaxUint32))}
	if err := CreateModel(shape, path); err != nil {
		t.Fatal(err)
	}
	model := must[*Model](t)(OpenModel(path, &OpenOptions{Copy: true, Threads: 1}))
	defer model.Close()
	text := must[string](t)(model.ApplyChatTemplate([]byte(`[{"role": "user", "content": "x"}]`), false))
	if text != "\"\\\u0001ä<x\"\n" {
		t.Errorf("%q", text)
	}
	if ids := must[[]int32](t)(model.Encode("<a,b><\"c\">", false)); len(ids) != 2 {
		t.Error(ids)
	}
	contains(t, string(must[json.RawMessage](t)(Inspect(path))), `"tensors"`)
}

// ------------------------------------------------------------------------------------------- callbacks and goroutines

func TestAPanicOfACallbackGoesOnAfterTheCall(t *testing.T) {
	trainer, directory := newTrainer(t, lora(nil)), filepath.Join(t.TempDir(), "run")
	func() {
		defer func() {
			if value := recover(); value != "the host's own" {
				t.Errorf("recovered %v", value)
			}
		}()
		_ = trainer.Run(background, directory, "", func(event Event) error {
			if event.Kind == StepEvent {
				panic("the host's own")
			}
			return nil
		})
	}()
	// It was stopped cleanly: the run goes on.
	var steps []int64
	if err := trainer.Run(background, directory, "last", func(event Event) error {
		if event.Kind == StepEvent {
			steps = append(steps, event.Metrics.Step)
			if !json.Valid(event.MetricsJSON) {
				t.Errorf("%s", event.MetricsJSON)
			}
		}
		return nil
	}); err != nil || !reflect.DeepEqual(steps, []int64{2, 3, 4}) {
		t.Fatal(err, steps)
	}
	for _, name := range []string{"final.h5", "report.html"} {
		if _, err := os.Stat(filepath.Join(directory, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestAnErrorOfACallbackIsTheCalls(t *testing.T) {
	model, enough := openModel(t), errors.New("enough")
	count := 0
	options := &GenerationOptions{MaxNewTokens: Some(50), NumReturnSequences: Some(8)}
	_, err := model.Generate(background, []string{"We found"}, options, func(Token) error {
		if count++; count == 3 {
			return enough
		}
		return nil
	})
	if err != enough || count != 3 {
		t.Error(err, count)
	}
	drawn := must[[][]Completion](t)(model.Generate(background, []string{"We found", "She said"}, options, nil))
	if len(drawn) != 2 || len(drawn[1]) != 8 || len(drawn[1][7].IDs) > 50 {
		t.Error(drawn)
	}
}

func TestAContextEndsARun(t *testing.T) {
	trainer := newTrainer(t, lora(func(o *TrainOptions) { o.MaxSteps = Some(100_000) }))
	ctx, cancel := context.WithTimeout(background, 300*time.Millisecond)
	defer cancel()
	directory := filepath.Join(t.TempDir(), "run")
	begin := time.Now()
	if err := trainer.Run(ctx, directory, "", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if time.Since(begin) > 20*time.Second {
		t.Error("it took", time.Since(begin))
	}
	if err := trainer.Run(ctx, directory, "", nil); err != context.DeadlineExceeded {
		t.Error(err)
	}
	// Cancel from another goroutine.
	started, once := make(chan struct{}), sync.Once{}
	go func() {
		<-started
		trainer.Cancel()
	}()
	err := trainer.Run(background, directory, "last", func(Event) error {
		once.Do(func() { close(started) })
		return nil
	})
	status(t, err, Cancelled)
}

func TestACancelThatComesTooLateEndsNoOtherCall(t *testing.T) {
	trainer := newTrainer(t, lora(nil))
	// As if a context had been done just when its call ended.
	late := func() {
		trainer.canceller.cancel()
		trainer.canceller.late.Store(true)
	}
	late()
	must[*Metrics](t)(trainer.Step(background))
	late()
	steps := 0
	directory := filepath.Join(t.TempDir(), "run")
	if err := trainer.Run(background, directory, "", func(event Event) error {
		if event.Kind == StepEvent {
			steps++
		}
		return nil
	}); err != nil || steps != 3 {
		t.Error(err, steps)
	}
	// But the host's own cancel counts.
	other := newTrainer(t, lora(nil))
	other.Cancel()
	_, err := other.Step(background)
	status(t, err, Cancelled)
	must[*Metrics](t)(other.Step(background))
}

func TestGoroutinesTakeTurnsWhereTheyAreToldTo(t *testing.T) {
	model := openModel(t)
	pairs := []Pair{{"The harbour was", " quiet in the early morning."}}
	expected := must[[]Score](t)(model.Score(background, pairs))
	if err := model.SetWait(Forever); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(background)
	var group sync.WaitGroup
	for i := 0; i < 8; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for range [20]int{} {
				scores, err := model.Score(ctx, pairs)
				if err != nil || !reflect.DeepEqual(scores, expected) {
					t.Error(scores, err)
				}
				if _, err := model.Encode("We found", true); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	group.Wait()

	// A context ends the waiting of its own call alone, and a call inside a callback never waits.
	var inside, waiting error
	once := sync.Once{}
	_, err := model.Generate(ctx, []string{"We found"}, &GenerationOptions{MaxNewTokens: Some(40)}, func(Token) error {
		once.Do(func() {
			_, inside = model.Score(background, pairs)
			group.Add(1)
			go func() {
				defer group.Done()
				short, done := context.WithTimeout(background, 20*time.Millisecond)
				defer done()
				_, waiting = model.Score(short, pairs)
			}()
			group.Wait()
		})
		return nil
	})
	if err != nil || waiting != context.DeadlineExceeded {
		t.Error(err, waiting)
	}
	status(t, inside, State)
	cancel()
	if _, err := model.Score(ctx, pairs); err != context.Canceled {
		t.Error(err)
	}
}

func TestRewardsComeFromAFunction(t *testing.T) {
	options := lora(func(o *TrainOptions) { o.Method, o.MaxCompletionLength = "rloo", Some(4) })
	model := openModel(t)
	dataset := must[*Dataset](t)(OpenDataset(model, fixture(t, "data/pairs.jsonl"), options))
	trainer := must[*Trainer](t)(NewTrainer(model, nil, dataset, nil, options))
	defer trainer.Close()
	seen, calls, asleep := 0, 0, errors.New("the judge fell asleep")
	if err := trainer.SetReward(func(answers []Answer, rewards []float64) error {
		if calls++; calls == 2 {
			return asleep
		} else if calls == 3 {
			panic(asleep)
		}
		for i, answer := range answers {
			if answer.Prompt == "" || len(answer.CompletionIDs) < 1 || len(answer.CompletionIDs) > 4 || len(answer.PromptIDs) == 0 {
				t.Error(answer)
			}
			rewards[i] = float64(len(answer.Completion))
			seen++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	dataset.Close()
	model.Close()
	must[*Metrics](t)(trainer.Step(background))
	if seen != 4 { // a batch: two prompts, two answers each
		t.Error(seen)
	}
	if _, err := trainer.Step(background); err != asleep {
		t.Error(err)
	}
	func() {
		defer func() {
			if value := recover(); value != asleep {
				t.Error(value)
			}
		}()
		_, _ = trainer.Step(background)
	}()
	must[*Metrics](t)(trainer.Step(background))
}

func TestGradientsPassThroughReduce(t *testing.T) {
	trainer := newTrainer(t, lora(nil))
	values, _, err := trainer.Parameters()
	if err != nil {
		t.Fatal(err)
	}
	before := append([]float32{}, values...)
	if err := trainer.SetReduce(func(gradients []float32) error {
		for i := range gradients {
			gradients[i] = 0
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	metrics := must[*Metrics](t)(trainer.Step(background))
	if metrics.GradNorm != 0 || !reflect.DeepEqual(values, before) {
		t.Error(metrics)
	}
}

func TestForgottenHandlesAreReleased(t *testing.T) {
	released := make(chan struct{})
	func() {
		model := must[*Model](t)(OpenModel(fixture(t, "models/qwen2"), nil))
		release := model.handle.release
		model.handle.release = func() {
			release()
			close(released)
		}
		must[[]Score](t)(model.Score(background, []Pair{{"a", "b"}}))
	}()
	for i := 0; i < 100; i++ {
		runtime.GC()
		select {
		case <-released:
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Error("the model was not released")
}

// ------------------------------------------------------------------------------------------------------------- around

func TestAClassifierTellsTextsApart(t *testing.T) {
	var texts []string
	var labels []bool
	for i := 0; i < 40; i++ {
		texts, labels = append(texts, fmt.Sprintf("%s number %d", []string{"lovely", "dreadful"}[i%2], i)), append(labels, i%2 == 0)
	}
	classifier := must[*Classifier](t)(TrainClassifier(texts, labels, 3, 5))
	defer classifier.Close()
	path := filepath.Join(t.TempDir(), "judge.json")
	if err := classifier.Save(path); err != nil {
		t.Fatal(err)
	}
	again := must[*Classifier](t)(OpenClassifier(path))
	defer again.Close()
	scores := must[[]float64](t)(again.Score([]string{"a lovely day", "a dreadful day"}))
	if scores[0] <= 0 || scores[1] >= 0 {
		t.Error(scores)
	}
}

func TestEvaluationAndFiles(t *testing.T) {
	directory, options, path := t.TempDir(), lora(nil), fixture(t, "data/pairs.jsonl")
	model := openModel(t)
	dataset := must[*Dataset](t)(OpenDataset(model, path, options))
	rows := must[[]byte](t)(os.ReadFile(path))
	info := must[DatasetInfo](t)(dataset.Info())
	if int(info.Rows) != bytes.Count(rows, []byte("\n")) {
		t.Error(info)
	}
	if same := must[DatasetInfo](t)(must[*Dataset](t)(DatasetFromJSONL(model, rows, options)).Info()); same != info {
		t.Error(same)
	}
	pair := PreferencePair{"We found", " a boat.", " nothing."}
	twice := must[*Dataset](t)(DatasetFromPairs(model, []PreferencePair{pair, pair}, options))
	if info := must[DatasetInfo](t)(twice.Info()); info.DuplicateRows != 1 {
		t.Error(info)
	}
	tokens := must[*Dataset](t)(DatasetFromTokens([]PairIDs{{[]int32{1, 2}, []int32{3, 4, 5}, []int32{6}}}, options))
	if info := must[DatasetInfo](t)(tokens.Info()); info.LongestRow != 5 {
		t.Error(info)
	}

	trainer := must[*Trainer](t)(NewTrainer(model, nil, dataset, dataset, options))
	defer trainer.Close()
	must[*Metrics](t)(trainer.Step(background))
	checkpoint, adapter := filepath.Join(directory, "checkpoint.h5"), filepath.Join(directory, "adapter.h5")
	if err := trainer.Save(checkpoint); err != nil {
		t.Fatal(err)
	}
	after := must[*Metrics](t)(trainer.Step(background))
	if err := trainer.Load(checkpoint); err != nil {
		t.Fatal(err)
	}
	if again := must[*Metrics](t)(trainer.Step(background)); again.Step != after.Step || again.Loss != after.Loss {
		t.Error(again, after)
	}
	if err := trainer.SaveModel(adapter); err != nil {
		t.Fatal(err)
	}
	margin := must[*Metrics](t)(trainer.Evaluate(background)).RewardsMargins
	contains(t, string(must[json.RawMessage](t)(trainer.LastMetrics())), "eval_rewards/margins")

	tuned := must[*Model](t)(OpenModel(fixture(t, "models/qwen2"), &OpenOptions{Adapter: adapter}))
	defer tuned.Close()
	var measured map[string]any
	text := must[json.RawMessage](t)(tuned.Evaluate(background, path, &Evaluation{Reference: model}))
	if err := json.Unmarshal(text, &measured); err != nil {
		t.Fatal(err)
	}
	found := false
	for name, value := range measured {
		if strings.HasSuffix(name, "rewards/margins") {
			found = true
			near(t, value.(float64), margin, 1e-4*math.Max(1, math.Abs(margin)))
		}
	}
	if !found {
		t.Errorf("%s", text)
	}

	output := filepath.Join(directory, "adapter.gguf")
	if err := Export(adapter, ExportGGUFLoRA, output, nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(must[[]byte](t)(os.ReadFile(output)), []byte("GGUF")) {
		t.Error("it is not a GGUF file")
	}
	contains(t, string(must[json.RawMessage](t)(ExportCheck(adapter, output, path, "", nil))), `"survives"`)
	contains(t, Export(adapter, ExportGGUFLoRA, output, nil).Error(), "adapter.gguf")
}

func TestOtherDataIsEvaluatedAndScored(t *testing.T) {
	model, options := openModel(t), lora(nil)
	pairs := fixture(t, "data/pairs.jsonl")
	extra := filepath.Join(t.TempDir(), "own.csv")
	if err := os.WriteFile(extra, []byte("prompt,chosen,rejected\nA, good, bad\nB, fine, no\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var read []Reading
	both := must[*Dataset](t)(OpenDatasets(background, model, []string{pairs, extra}, options, func(reading Reading) error {
		read = append(read, reading)
		return nil
	}))
	one := must[*Dataset](t)(OpenDataset(model, pairs, options))
	own := must[*Dataset](t)(OpenDatasets(background, model, []string{extra}, options, nil))
	rows := func(dataset *Dataset) uint64 { return must[DatasetInfo](t)(dataset.Info()).Rows }
	if rows(both) != rows(one)+2 || rows(own) != 2 {
		t.Fatal(rows(both), rows(one), rows(own))
	}
	if last := read[len(read)-1]; last.Phase == "" || last.Rows == 0 {
		t.Fatal(read)
	}
	enough := errors.New("enough")
	if _, err := OpenDatasets(background, model, []string{pairs}, options, func(Reading) error { return enough }); err != enough {
		t.Fatal(err)
	}
	done, cancel := context.WithCancel(background)
	cancel()
	if _, err := OpenDatasets(done, model, []string{pairs}, options, nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}

	trainer := must[*Trainer](t)(NewTrainer(model, nil, one, one, options))
	defer trainer.Close()
	must[*Metrics](t)(trainer.Step(background))
	whole := must[*Metrics](t)(trainer.Evaluate(background))
	if again := must[*Metrics](t)(trainer.EvaluateData(background, one)); again.Loss != whole.Loss {
		t.Fatal(again.Loss, whole.Loss)
	}
	if other := must[*Metrics](t)(trainer.EvaluateData(background, own)); other.Loss == whole.Loss {
		t.Fatal(other.Loss)
	}
	scores := must[*ForwardResult](t)(trainer.ScoreData(background, own))
	expected := must[[]Score](t)(model.Score(background, []Pair{{"A", " good"}, {"B", " fine"}}))
	for i, each := range expected { // the reference is the model without an adapter
		if len(scores.PolicyRejected) != 2 || math.Abs(scores.ReferenceChosen[i]-each.Logp) > 1e-4 {
			t.Fatal(scores, expected)
		}
	}
}

// meeting is a place where ranks that are goroutines put their bytes, and take those of the others.
type meeting struct {
	mutex sync.Mutex
	all   *sync.Cond
	there int
	round int
	sent  [][]byte
	sizes [][]int
}

func (m *meeting) wait() {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	now := m.round
	if m.there++; m.there == len(m.sent) {
		m.there = 0
		m.round++
		m.all.Broadcast()
	}
	for m.round == now {
		m.all.Wait()
	}
}

func (m *meeting) collectives(rank int) Collectives {
	return Collectives{
		Rank: rank, Size: len(m.sent), Name: "goroutines",
		AllGather: func(send, receive []byte, sizes []int) error {
			m.sent[rank] = send
			m.wait()
			for other, size := range sizes {
				copy(receive, m.sent[other])
				receive = receive[size:]
			}
			m.wait()
			return nil
		},
		AllToAll: func(send []byte, sendSizes []int, receive []byte, receiveSizes []int) error {
			m.sent[rank], m.sizes[rank] = send, sendSizes
			m.wait()
			for other, size := range receiveSizes {
				from := m.sent[other]
				for _, before := range m.sizes[other][:rank] {
					from = from[before:]
				}
				copy(receive[:size], from)
				receive = receive[size:]
			}
			m.wait()
			return nil
		},
	}
}

func TestRanksEndInTheSameBits(t *testing.T) {
	const ranks = 2
	trained := func(communicator *Communicator) ([]float32, error) {
		options := &TrainOptions{
			PerDeviceTrainBatchSize: Some(1), GradientAccumulationSteps: Some(4), LearningRate: Some(1e-3), Threads: Some(1),
		}
		if communicator != nil {
			options.GradientAccumulationSteps = Some(4 / ranks)
		}
		model, err := OpenModel(fixture(t, "models/llama-tied"), nil)
		if err != nil {
			return nil, err
		}
		defer model.Close()
		dataset, err := OpenDataset(model, fixture(t, "data/pairs.jsonl"), options)
		if err != nil {
			return nil, err
		}
		defer dataset.Close()
		trainer, err := makeTrainer(communicator, model, nil, dataset, nil, options)
		if err != nil {
			return nil, err
		}
		defer trainer.Close()
		for step := 0; step < 2; step++ {
			if _, err := trainer.Step(background); err != nil {
				return nil, err
			}
		}
		values, _, err := trainer.Parameters()
		return append([]float32{}, values...), err
	}
	alone := must[[]float32](t)(trained(nil))
	place := &meeting{sent: make([][]byte, ranks), sizes: make([][]int, ranks)}
	place.all = sync.NewCond(&place.mutex)
	type outcome struct {
		values []float32
		err    error
	}
	outcomes := make(chan outcome)
	for rank := 0; rank < ranks; rank++ {
		communicator := must[*Communicator](t)(NewCommunicator(place.collectives(rank)))
		if own, size, err := communicator.Ranks(); own != rank || size != ranks || err != nil {
			t.Fatal(own, size, err)
		}
		if err := communicator.Abort(3); StatusOf(err) != Unsupported {
			t.Fatal(err)
		}
		go func() {
			values, err := trained(communicator)
			communicator.Close()
			outcomes <- outcome{values, err}
		}()
	}
	for rank := 0; rank < ranks; rank++ {
		if got := <-outcomes; got.err != nil || !reflect.DeepEqual(got.values, alone) {
			t.Error(got.err)
		}
	}

	broken := place.collectives(1)
	for _, function := range []func(send, receive []byte, sizes []int) error{
		func(_, _ []byte, _ []int) error { return errors.New("the cable is out") },
		func(_, _ []byte, _ []int) error { panic("the cable is out") },
	} {
		broken.AllGather = function
		communicator := must[*Communicator](t)(NewCommunicator(broken))
		if _, err := trained(communicator); StatusOf(err) != IO || !strings.Contains(err.Error(), "the cable is out") {
			t.Error(err)
		}
		communicator.Close()
	}
	if _, err := NewCommunicator(Collectives{}); StatusOf(err) != InvalidArgument {
		t.Error(err)
	}
	if _, err := OpenMPI("/no/plug-in.so", time.Minute); StatusOf(err) != IO || !strings.Contains(err.Error(), "/no/plug-in.so") {
		t.Error(err)
	}
	if _, err := NewDistributedTrainer(nil, nil, nil, nil, nil, nil); StatusOf(err) != InvalidArgument {
		t.Error(err)
	}
}

func TestFeedbackWaitsStopsAndGoesOn(t *testing.T) {
	directory := t.TempDir()
	feedback := must[*Feedback](t)(OpenFeedback(filepath.Join(directory, "feedback.jsonl")))
	defer feedback.Close()
	model, adapters := openModel(t), filepath.Join(directory, "adapters")
	options := &FeedbackOptions{MinRecords: Some(2), Training: &TrainOptions{LoraR: Some(2), NumTrainEpochs: Some(3.0)}}
	train := func(ctx context.Context) (*FeedbackResult, error) {
		return feedback.Train(ctx, model, adapters, options, nil)
	}
	if result := must[*FeedbackResult](t)(train(background)); result.Outcome != NothingNew {
		t.Error(result)
	}
	if id := must[uint64](t)(feedback.RecordChoice("We found", " a boat.", " nothing.", 1)); id != 1 {
		t.Error(id)
	}
	if result := must[*FeedbackResult](t)(train(background)); result.Outcome != Waiting {
		t.Error(result)
	}
	must[uint64](t)(feedback.RecordJSON([]byte(`{"prompt": "She said", "chosen": " yes.", "rejected": " no.", "user": 7}`)))
	feedback.Cancel()
	_, err := train(background)
	status(t, err, Cancelled)
	ctx, cancel := context.WithCancel(background)
	if _, err := feedback.Train(ctx, model, adapters, options, func(Event) error { cancel(); return nil }); err != context.Canceled {
		t.Error(err)
	}
	result := must[*FeedbackResult](t)(train(background))
	if result.Outcome != Finished || result.NewRecords != 2 || result.Steps == 0 {
		t.Error(result)
	}
	var told struct{ Choices, New uint64 }
	text := must[json.RawMessage](t)(feedback.Status(adapters))
	if err := json.Unmarshal(text, &told); err != nil || told.Choices != 2 || told.New != 0 {
		t.Errorf("%s %v", text, err)
	}
	if count := must[uint64](t)(feedback.Count()); count != 2 {
		t.Error(count)
	}
}

func TestTheVersionIsThatOfTheLibrary(t *testing.T) {
	header := must[[]byte](t)(os.ReadFile("../../include/dpo.h"))
	var version []string
	for _, part := range []string{"MAJOR", "MINOR", "PATCH"} {
		rest := strings.SplitN(string(header), "#define DPO_VERSION_"+part+" ", 2)[1]
		version = append(version, strings.Fields(rest)[0])
	}
	if Version() != strings.Join(version, ".") {
		t.Error(Version(), version)
	}
}
