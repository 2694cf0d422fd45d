// Every DPO loss of six preference pairs, whose log-probs come from any engine, beside the numbers of TRL's own code.
//
//	go run ./examples/losses
package main

import (
	"fmt"
	"log"
	"math"

	"libdpo"
)

func main() {
	log.SetFlags(0)
	// Log-probs of whole completions under the model in training and under the frozen reference, and token counts.
	pairs := &libdpo.Pairs{
		PolicyChosen:      []float64{-12.50, -40.10, -3.20, -101.30, -22.75, -21.00},
		PolicyRejected:    []float64{-14.25, -35.60, -9.90, -120.80, -22.75, -18.00},
		ReferenceChosen:   []float64{-13.00, -38.70, -7.40, -99.90, -22.75, -15.00},
		ReferenceRejected: []float64{-13.75, -36.90, -2.10, -121.40, -22.75, -23.50},
		ChosenTokens:      []int32{5, 17, 2, 48, 9, 20},
		RejectedTokens:    []int32{6, 12, 4, 51, 9, 7},
	}
	// Loss, label smoothing, and what TRL gives: the loss and the gradients of the first pair.
	golden := []struct {
		loss                                   libdpo.Loss
		labelSmoothing                         float64
		expected, chosenGolden, rejectedGolden float64
	}{
		{libdpo.LossSigmoid, 0, 0.7768796493, -0.007917013542, 0.007917013542},
		{libdpo.LossHinge, 0, 1.086666667, -0.01666666667, 0.01666666667},
		{libdpo.LossIpo, 0, 23.08215154, -0.3211111111, 0.2675925926},
		{libdpo.LossExoPair, 0.001, 2.908173382, -0.02829069255, 0.02829069255},
		{libdpo.LossNcaPair, 0, 1.427022091, -0.003854231755, 0.004062521696},
		{libdpo.LossRobust, 0.1, 0.7835463159, -0.01000034688, 0.01000034688},
		{libdpo.LossBcoPair, 0, 1.443936804, -0.008125043392, 0.008125043392},
		{libdpo.LossSppoHard, 0, 80.53333333, -1.5, 1.5},
		{libdpo.LossAot, 0.1, 0.7166279173, -0.006250346875, 0.006250346875},
		{libdpo.LossAotUnpaired, 0.1, 0.7162914202, -0.006999822336, 0.007041413747},
		{libdpo.LossApoZero, 0, 1.01382824, -0.004164063585, 0.004164063585},
		{libdpo.LossApoDown, 0, 0.9972287163, 7.796248137e-06, 0.004156267337},
		{libdpo.LossDiscopop, 0, 0.8486249926, -0.005111830724, 0.005111830724},
		{libdpo.LossSft, 0, 1.988613861, -0.009900990099, 0},
		{libdpo.LossSigmoidNorm, 0, 0.6725016384, -0.001651389317, 0.001376157764},
	}

	fmt.Printf("%-14s %12s %12s   d loss/d logp: chosen     rejected\n", "loss", "libdpo", "TRL")
	differing := 0
	for _, row := range golden {
		options := &libdpo.LossOptions{
			Losses:         []libdpo.Loss{row.loss},
			LabelSmoothing: libdpo.Some(row.labelSmoothing),
		}
		result, err := libdpo.ComputeLoss(options, pairs)
		if err != nil {
			log.Fatal(err)
		}
		chosen, rejected := result.GradientChosen[0], result.GradientRejected[0]
		near := func(value, golden float64) bool { return math.Abs(value-golden) <= 1e-9*math.Max(1, math.Abs(golden)) }
		note := ""
		if !near(result.Loss, row.expected) || !near(chosen, row.chosenGolden) || !near(rejected, row.rejectedGolden) {
			note = "   differs"
			differing++
		}
		fmt.Printf("%-14v %12.8f %12.8f   %21.9f %12.9f%s\n", row.loss, result.Loss, row.expected, chosen, rejected, note)
	}
	fmt.Println("\nGive each token of a completion its gradient as d loss / d log-prob and run your engine's backward pass.")
	if differing > 0 {
		log.Fatal(differing, " losses differ from TRL's")
	}
}
