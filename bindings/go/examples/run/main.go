// A training with progress that is cancelled, goes on where it stopped, and ends in the same bits as one that was never stopped; and
// its adapter for PEFT.
//
//	go run ./examples/run MODEL PAIRS.jsonl DIRECTORY
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"libdpo"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 {
		log.Fatal("usage: run MODEL PAIRS.jsonl DIRECTORY")
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatal(err)
	}
}

func run(model, pairs, directory string) error {
	options := &libdpo.TrainOptions{
		LoraR:                   libdpo.Some(8),
		LoraTargetModules:       []string{"all-linear"},
		LearningRate:            libdpo.Some(1e-3),
		PerDeviceTrainBatchSize: libdpo.Some(4),
		MaxSteps:                libdpo.Some(6),
	}
	first, whole := filepath.Join(directory, "run"), filepath.Join(directory, "whole")

	fmt.Println("A run that is cancelled after two steps:")
	ctx, cancel := context.WithCancel(context.Background()) // signal.NotifyContext would end it by Ctrl-C
	defer cancel()
	_, err := train(ctx, model, pairs, first, options, func(metrics *libdpo.Metrics) {
		if metrics.Step == 2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		return fmt.Errorf("the run was not cancelled: %v", err)
	}
	fmt.Println(" ", err)
	fmt.Println("It goes on:")
	none := func(*libdpo.Metrics) {}
	resumed, err := train(context.Background(), model, pairs, first, options, none)
	if err != nil {
		return err
	}
	fmt.Println("One that is never stopped:")
	unbroken, err := train(context.Background(), model, pairs, whole, options, none)
	if err != nil {
		return err
	}
	if resumed.Step != 6 || resumed.Loss != unbroken.Loss || resumed.RewardsMargins != unbroken.RewardsMargins {
		return fmt.Errorf("the resumed run ends elsewhere: %+v, %+v", resumed, unbroken)
	}

	adapter := filepath.Join(directory, "adapter")
	if err := libdpo.Export(filepath.Join(first, "final.h5"), libdpo.ExportPEFT, adapter, nil); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(adapter, "adapter_config.json")); err != nil {
		return err
	}
	fmt.Printf("The adapter for PEFT is in %s, the report in %s.\n", adapter, first)
	return nil
}

// train trains until the end, or until the context is done, and gives the last step's metrics.
func train(ctx context.Context, path, pairs, directory string, options *libdpo.TrainOptions, onStep func(*libdpo.Metrics)) (*libdpo.Metrics, error) {
	model, err := libdpo.OpenModel(path, nil)
	if err != nil {
		return nil, err
	}
	defer model.Close()
	dataset, err := libdpo.OpenDataset(model, pairs, options)
	if err != nil {
		return nil, err
	}
	defer dataset.Close()
	trainer, err := libdpo.NewTrainer(model, nil, dataset, nil, options)
	if err != nil {
		return nil, err
	}
	defer trainer.Close()
	var last *libdpo.Metrics
	err = trainer.Run(ctx, directory, "last", func(event libdpo.Event) error {
		switch event.Kind {
		case libdpo.StepEvent:
			last = event.Metrics
			fmt.Printf("  step %d of %d: loss %.4f, margin %+.4f\n", last.Step, last.TotalSteps, last.Loss, last.RewardsMargins)
			onStep(last)
		case libdpo.NoteEvent:
			fmt.Println(" ", event.Text)
		}
		return nil // an error would stop it, too
	})
	return last, err
}
