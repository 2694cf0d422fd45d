// A program that learns from its users: answers, thumbs and choices, a training in the background, the new adapter in use.
//
//	go run ./examples/feedback MODEL DIRECTORY
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"libdpo"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: feedback MODEL DIRECTORY")
	}
	if err := learn(context.Background(), os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func learn(ctx context.Context, path, directory string) error {
	if err := os.MkdirAll(directory, 0o777); err != nil {
		return err
	}
	feedback, err := libdpo.OpenFeedback(filepath.Join(directory, "feedback.jsonl"))
	if err != nil {
		return err
	}
	defer feedback.Close()
	model, err := libdpo.OpenModel(path, nil)
	if err != nil {
		return err
	}
	defer model.Close()

	// What people said.
	prompt := "She said: the story is"
	for _, said := range []struct {
		answer string
		up     bool
	}{{" quite wonderful.", true}, {" dull.", false}, {" a joy.", true}, {" a waste.", false}} {
		id, err := feedback.RecordThumb(prompt, said.answer, said.up, 1)
		if err != nil {
			return err
		}
		fmt.Printf("record %d: thumb up %v for %q\n", id, said.up, said.answer)
	}
	for _, pair := range []libdpo.PreferencePair{
		{Prompt: prompt, Chosen: " quite wonderful.", Rejected: " a waste of time."},
		{Prompt: "We found the harbour", Chosen: " lovely.", Rejected: " a waste of time."},
	} {
		if _, err := feedback.RecordChoice(pair.Prompt, pair.Chosen, pair.Rejected, 1); err != nil {
			return err
		}
	}

	// In the background, on a model of its own, so that the one that answers stays free; both map the same file.
	options := &libdpo.FeedbackOptions{
		MinRecords: libdpo.Some(4),
		Training:   &libdpo.TrainOptions{LearningRate: libdpo.Some(5e-3), LoraR: libdpo.Some(8)},
	}
	adapters := filepath.Join(directory, "adapters")
	var result *libdpo.FeedbackResult
	trained := make(chan error)
	go func() {
		trained <- func() error {
			base, err := libdpo.OpenModel(path, nil)
			if err != nil {
				return err
			}
			defer base.Close()
			result, err = feedback.Train(ctx, base, adapters, options, func(event libdpo.Event) error {
				switch event.Kind {
				case libdpo.StepEvent:
					fmt.Printf("[step %d: loss %.4f]\n", event.Metrics.Step, event.Metrics.Loss)
				case libdpo.CheckpointEvent:
					fmt.Printf("[new adapter: %s]\n", event.Text)
				}
				return nil
			})
			return err
		}()
	}()
	said, err := answer(ctx, model, prompt)
	if err != nil {
		return err
	}
	fmt.Printf("meanwhile: %q\n", said)
	if err := <-trained; err != nil {
		return err
	}
	fmt.Printf("%v: %d records, %d steps\n", result.Outcome, result.NewRecords, result.Steps)
	if result.Outcome != libdpo.Finished || result.NewRecords != 6 {
		return fmt.Errorf("expected 6 records to be trained on")
	}
	again, err := feedback.Train(ctx, model, adapters, options, nil)
	if err != nil {
		return err
	}
	if again.Outcome != libdpo.NothingNew {
		return fmt.Errorf("the same records were trained on again: %v", again.Outcome)
	}

	// The adapter in use: what was liked is likelier than before, against what was not.
	tuned, err := libdpo.OpenModel(path, &libdpo.OpenOptions{Adapter: filepath.Join(adapters, "adapter.h5")})
	if err != nil {
		return err
	}
	defer tuned.Close()
	if said, err = answer(ctx, tuned, prompt); err != nil {
		return err
	}
	fmt.Printf("tuned: %q\n", said)
	before, err := margin(ctx, model, prompt)
	if err != nil {
		return err
	}
	after, err := margin(ctx, tuned, prompt)
	if err != nil {
		return err
	}
	fmt.Printf("log-odds of the liked answer: %.3f before, %.3f after\n", before, after)
	if after <= before {
		return fmt.Errorf("nothing was learned")
	}
	fmt.Println("For llama.cpp:", filepath.Join(adapters, "adapter.gguf"))
	return nil
}

func answer(ctx context.Context, model *libdpo.Model, prompt string) (string, error) {
	options := &libdpo.GenerationOptions{MaxNewTokens: libdpo.Some(12), Temperature: libdpo.Some(0.0)}
	drawn, err := model.Generate(ctx, []string{prompt}, options, nil)
	if err != nil {
		return "", err
	}
	return drawn[0][0].Text, nil
}

func margin(ctx context.Context, model *libdpo.Model, prompt string) (float64, error) {
	scores, err := model.Score(ctx, []libdpo.Pair{{Prompt: prompt, Completion: " quite wonderful."}, {Prompt: prompt, Completion: " a waste of time."}})
	if err != nil {
		return 0, err
	}
	return scores[0].Logp - scores[1].Logp, nil
}
