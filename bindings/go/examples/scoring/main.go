// How probable a model finds answers, token by token too, and an answer of its own that is shown while it is drawn.
//
//	go run ./examples/scoring MODEL
package main

import (
	"context"
	"fmt"
	"log"
	"math"
	"os"

	"libdpo"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: scoring MODEL")
	}
	if err := score(context.Background(), os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func score(ctx context.Context, path string) error {
	model, err := libdpo.OpenModel(path, nil)
	if err != nil {
		return err
	}
	defer model.Close()
	info, err := model.Info()
	if err != nil {
		return err
	}
	fmt.Printf("%s, %d parameters, %d layers, context of %d tokens\n\n", info.Architecture, info.Parameters, info.Layers,
		info.ContextLength)

	// Texts: tokenised as in training, end of sequence included.
	prompt := "The harbour was quiet"
	pairs := []libdpo.Pair{
		{Prompt: prompt, Completion: " in the early morning."},
		{Prompt: prompt, Completion: " a waste of time."},
	}
	scores, err := model.Score(ctx, pairs)
	if err != nil {
		return err
	}
	for i, pair := range pairs {
		fmt.Printf("log p(%q | %q) = %.4f over %d tokens\n", pair.Completion, pair.Prompt, scores[i].Logp, scores[i].Tokens)
	}

	// Tokens: the prompt is computed once for all its completions, and each token's log-prob comes back.
	promptIDs, err := model.Encode(prompt, true)
	if err != nil {
		return err
	}
	ids, err := model.Encode(pairs[0].Completion, false)
	if err != nil {
		return err
	}
	if info.EOSToken >= 0 {
		ids = append(ids, info.EOSToken)
	}
	tokens, err := model.ScoreTokens(ctx, [][]int32{promptIDs}, []libdpo.CompletionIDs{{Prompt: 0, IDs: ids}})
	if err != nil {
		return err
	}
	fmt.Println("\nToken by token:")
	for i, id := range ids {
		text, err := model.Decode([]int32{id})
		if err != nil {
			return err
		}
		fmt.Printf("%8d  %-12q %9.4f\n", id, text, tokens.Tokens[0][i])
	}
	fmt.Printf("     sum               %9.4f\n", tokens.Sums[0])
	if math.Abs(tokens.Sums[0]-scores[0].Logp) > 1e-3 {
		return fmt.Errorf("the same answer has another log-prob by its tokens")
	}

	// An answer, drawn greedily.
	fmt.Printf("\n%s", prompt)
	shown := ""
	options := &libdpo.GenerationOptions{MaxNewTokens: libdpo.Some(12), Temperature: libdpo.Some(0.0)}
	drawn, err := model.Generate(ctx, []string{prompt}, options, func(token libdpo.Token) error {
		shown += token.Text
		_, err := fmt.Print(token.Text)
		return err // an error ends it here
	})
	if err != nil {
		return err
	}
	answer, how := drawn[0][0], "cut at the length"
	if answer.Stopped {
		how = "ended by itself"
	}
	fmt.Printf("\n(%d tokens, %s)\n", len(answer.IDs), how)
	if shown != answer.Text {
		return fmt.Errorf("what was shown is not what was drawn: %q", answer.Text)
	}
	return nil
}
