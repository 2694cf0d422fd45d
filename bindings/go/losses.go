package libdpo

// #include <dpo.h>
// #include <stdlib.h>
import "C"

import (
	"fmt"
	"unsafe"
)

// FDivergence is the divergence from the reference that a loss assumes.
type FDivergence int32

const (
	ReverseKL       FDivergence = C.DPO_F_REVERSE_KL
	ForwardKL       FDivergence = C.DPO_F_FORWARD_KL
	JSDivergence    FDivergence = C.DPO_F_JS_DIVERGENCE
	AlphaDivergence FDivergence = C.DPO_F_ALPHA_DIVERGENCE
)

// LossOptions are those of ComputeLoss and of the closed form. nil means every default.
type LossOptions struct {
	// More than 0. nil: 0.1.
	Beta *float64

	// exo_pair needs (0, 1), robust [0, 0.5). nil: 0.
	LabelSmoothing *float64

	// More than 0. nil: 0.05.
	DiscopopTau *float64

	// nil: 0.5.
	FAlphaDivergenceCoef *float64

	FDivergence FDivergence

	// Reference log-probs count as 0, and may be nil.
	ReferenceFree bool

	// nil: LossSigmoid alone.
	Losses []Loss

	// nil: 1 each.
	LossWeights []float64
}

// native gives the struct; free releases what it points to.
func (o *LossOptions) native() (options C.dpo_loss_options, free func(), err error) {
	free = func() {}
	err = check(func() C.int32_t { return C.dpo_loss_options_init(&options, C.sizeof_dpo_loss_options) })
	if err != nil || o == nil {
		return
	}
	set := func(field *C.double, value *float64) {
		if value != nil {
			*field = C.double(*value)
		}
	}
	set(&options.beta, o.Beta)
	set(&options.label_smoothing, o.LabelSmoothing)
	set(&options.discopop_tau, o.DiscopopTau)
	set(&options.f_alpha_divergence_coef, o.FAlphaDivergenceCoef)
	options.f_divergence = C.int32_t(o.FDivergence)
	options.reference_free = flag(o.ReferenceFree)
	count := len(o.Losses)
	if o.LossWeights != nil && len(o.LossWeights) != count {
		err = invalid("there are %d LossWeights for %d Losses", len(o.LossWeights), count)
		return
	}
	if count > 0 {
		types := C.malloc(C.size_t(count) * C.sizeof_int32_t)
		copy(unsafe.Slice((*Loss)(types), count), o.Losses)
		options.loss_types, options.loss_count = (*C.int32_t)(types), C.size_t(count)
		var weights unsafe.Pointer
		if o.LossWeights != nil {
			weights = C.malloc(C.size_t(count) * C.sizeof_double)
			copy(unsafe.Slice((*float64)(weights), count), o.LossWeights)
			options.loss_weights = (*C.double)(weights)
		}
		free = func() {
			C.free(types)
			C.free(weights)
		}
	}
	return
}

// Pairs are summed log-probs of the chosen and rejected completions, and what else a loss may need of them.
type Pairs struct {
	PolicyChosen, PolicyRejected []float64

	// May be nil with ReferenceFree.
	ReferenceChosen, ReferenceRejected []float64

	// Tokens of the completions: for ipo, sigmoid_norm and sft; else they may be nil.
	ChosenTokens, RejectedTokens []int32

	// nil: 1 each.
	Weights []float64
}

// LossResult is a loss, and for each pair what belongs to it.
type LossResult struct {
	Loss   float64   // the mean over the pairs
	Losses []float64 // before the mean

	// d loss / d policy log-prob of a completion: also that of each of its tokens.
	GradientChosen, GradientRejected []float64

	// β·log(π/π_ref)
	RewardChosen, RewardRejected []float64
}

type named[T any] struct {
	name   string
	values []T
}

// sameLength looks at lists that must be there, and at others that may be nil.
func sameLength[T any](count int, must, may []named[T]) error {
	for _, each := range must {
		if len(each.values) != count {
			return invalid("%s has %d numbers, expected %d", each.name, len(each.values), count)
		}
	}
	for _, each := range may {
		if each.values != nil && len(each.values) != count {
			return invalid("%s has %d numbers, expected %d", each.name, len(each.values), count)
		}
	}
	return nil
}

// ComputeLoss gives the loss of preference pairs and its gradient.
func ComputeLoss(options *LossOptions, pairs *Pairs) (*LossResult, error) {
	count := len(pairs.PolicyChosen)
	if err := sameLength(count, []named[float64]{{"PolicyRejected", pairs.PolicyRejected}}, []named[float64]{
		{"ReferenceChosen", pairs.ReferenceChosen}, {"ReferenceRejected", pairs.ReferenceRejected}, {"Weights", pairs.Weights},
	}); err != nil {
		return nil, err
	}
	if err := sameLength(count, nil, []named[int32]{
		{"ChosenTokens", pairs.ChosenTokens}, {"RejectedTokens", pairs.RejectedTokens},
	}); err != nil {
		return nil, err
	}
	native, free, err := options.native()
	defer free()
	if err != nil {
		return nil, err
	}
	list := func() []float64 { return make([]float64, count) }
	result := &LossResult{0, list(), list(), list(), list(), list()}
	err = check(func() C.int32_t {
		return C.dpo_loss_compute(&native, C.size_t(count),
			doubles(pairs.PolicyChosen), doubles(pairs.PolicyRejected),
			doubles(pairs.ReferenceChosen), doubles(pairs.ReferenceRejected),
			integers(pairs.ChosenTokens), integers(pairs.RejectedTokens), doubles(pairs.Weights),
			(*C.double)(&result.Loss), doubles(result.Losses),
			doubles(result.GradientChosen), doubles(result.GradientRejected),
			doubles(result.RewardChosen), doubles(result.RewardRejected))
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// Ranking is answers to one prompt: log-probs and ranks, of which only the order counts; lower is better.
type Ranking struct {
	Ranks, Policy []float64
	Reference     []float64 // nil: 0
	Weight        float64   // 0: 1
}

// RankedResult is a loss over rankings; gradients and rewards have a list for each of them.
type RankedResult struct {
	Loss               float64
	Losses             []float64
	Gradients, Rewards [][]float64
}

// ComputeRankedLoss gives the loss of ranked answers by the Plackett–Luce model (the paper's equation 20).
func ComputeRankedLoss(beta float64, rankings []Ranking) (*RankedResult, error) {
	var counts []int
	var ranks, policy, reference, weights []float64
	for i, row := range rankings {
		count := len(row.Ranks)
		place := func(name string) string { return fmt.Sprintf("%s of ranking %d", name, i) }
		if err := sameLength(count, []named[float64]{{place("Policy"), row.Policy}},
			[]named[float64]{{place("Reference"), row.Reference}}); err != nil {
			return nil, err
		}
		counts = append(counts, count)
		ranks, policy = append(ranks, row.Ranks...), append(policy, row.Policy...)
		if row.Reference == nil {
			row.Reference = make([]float64, count)
		}
		reference = append(reference, row.Reference...)
		if row.Weight == 0 {
			row.Weight = 1
		}
		weights = append(weights, row.Weight)
	}
	result := &RankedResult{Losses: make([]float64, len(rankings))}
	gradients, rewards := make([]float64, len(ranks)), make([]float64, len(ranks))
	sizes := lengths(counts)
	err := check(func() C.int32_t {
		return C.dpo_loss_compute_ranked(C.double(beta), C.size_t(len(rankings)), &sizes[0], doubles(ranks), doubles(policy),
			doubles(reference), doubles(weights), (*C.double)(&result.Loss), doubles(result.Losses), doubles(gradients),
			doubles(rewards))
	})
	if err != nil {
		return nil, err
	}
	result.Gradients, result.Rewards = cut(gradients, counts), cut(rewards, counts)
	return result, nil
}

// cut gives consecutive parts of these lengths.
func cut[T any](values []T, counts []int) [][]T {
	parts := make([][]T, len(counts))
	for i, count := range counts {
		parts[i], values = values[:count:count], values[count:]
	}
	return parts
}

// PolicyOptimum gives the policy that maximises reward - beta * divergence over all answers to a prompt, as log-probs, and its
// normaliser: for KL beta log Z.
func PolicyOptimum(options *LossOptions, referenceLogps, rewards []float64) (policy []float64, normalizer float64, err error) {
	if err := sameLength(len(referenceLogps), []named[float64]{{"rewards", rewards}}, nil); err != nil {
		return nil, 0, err
	}
	native, free, err := options.native()
	defer free()
	if err != nil {
		return nil, 0, err
	}
	policy = make([]float64, len(rewards))
	err = check(func() C.int32_t {
		return C.dpo_policy_optimum(&native, C.size_t(len(rewards)), doubles(referenceLogps), doubles(rewards), doubles(policy),
			(*C.double)(&normalizer))
	})
	return policy, normalizer, err
}

// PolicyRewards gives the rewards for which a policy is the best one, up to the normaliser.
func PolicyRewards(options *LossOptions, policyLogps, referenceLogps []float64) ([]float64, error) {
	if err := sameLength(len(policyLogps), []named[float64]{{"referenceLogps", referenceLogps}}, nil); err != nil {
		return nil, err
	}
	native, free, err := options.native()
	defer free()
	if err != nil {
		return nil, err
	}
	rewards := make([]float64, len(policyLogps))
	err = check(func() C.int32_t {
		return C.dpo_policy_rewards(&native, C.size_t(len(rewards)), doubles(policyLogps), doubles(referenceLogps), doubles(rewards))
	})
	return rewards, err
}

// PolicyDivergence is that of a policy from a reference; infinity is possible.
func PolicyDivergence(options *LossOptions, policyLogps, referenceLogps []float64) (divergence float64, err error) {
	if err := sameLength(len(policyLogps), []named[float64]{{"referenceLogps", referenceLogps}}, nil); err != nil {
		return 0, err
	}
	native, free, err := options.native()
	defer free()
	if err != nil {
		return 0, err
	}
	err = check(func() C.int32_t {
		return C.dpo_policy_divergence(&native, C.size_t(len(policyLogps)), doubles(policyLogps), doubles(referenceLogps),
			(*C.double)(&divergence))
	})
	return divergence, err
}

// BradleyTerry gives the probabilities that answers of the first rewards are preferred to those of the second.
func BradleyTerry(firstRewards, secondRewards []float64) ([]float64, error) {
	if err := sameLength(len(firstRewards), []named[float64]{{"secondRewards", secondRewards}}, nil); err != nil {
		return nil, err
	}
	probabilities := make([]float64, len(firstRewards))
	err := check(func() C.int32_t {
		return C.dpo_bradley_terry(C.size_t(len(firstRewards)), doubles(firstRewards), doubles(secondRewards), doubles(probabilities))
	})
	return probabilities, err
}

// GAE is generalised advantage estimation over completions of `counts` tokens, which stand one after the other.
func GAE(rewards, values []float64, counts []int, gamma, lam float64) (advantages, returns []float64, err error) {
	tokens := 0
	for _, count := range counts {
		tokens += count
	}
	if err := sameLength(tokens, []named[float64]{{"rewards", rewards}, {"values", values}}, nil); err != nil {
		return nil, nil, err
	}
	advantages, returns = make([]float64, tokens), make([]float64, tokens)
	sizes := lengths(counts)
	err = check(func() C.int32_t {
		return C.dpo_gae(doubles(rewards), doubles(values), &sizes[0], C.size_t(len(counts)), C.double(gamma), C.double(lam),
			doubles(advantages), doubles(returns))
	})
	return advantages, returns, err
}

// PPOOptions are those of ComputePPOLoss. nil means every default.
type PPOOptions struct {
	Cliprange      *float64 // nil: 0.2
	CliprangeValue *float64 // nil: 0.2
	VfCoef         *float64 // nil: 0.1
}

// PPOTokens are numbers of drawn tokens: log-probs now and when they were drawn, advantages, and perhaps values and returns.
type PPOTokens struct {
	Logps, OldLogps, Advantages []float32
	Values, OldValues, Returns  []float32 // all nil: no value function
}

// PPOResult is PPO's loss with its gradients for each token; that of the values is nil without them.
type PPOResult struct {
	Loss                          float64
	GradientLogps, GradientValues []float64
}

// ComputePPOLoss gives PPO's loss over tokens and its gradient.
func ComputePPOLoss(options *PPOOptions, tokens *PPOTokens) (*PPOResult, error) {
	count := len(tokens.Logps)
	if err := sameLength(count, []named[float32]{{"OldLogps", tokens.OldLogps}, {"Advantages", tokens.Advantages}}, []named[float32]{
		{"Values", tokens.Values}, {"OldValues", tokens.OldValues}, {"Returns", tokens.Returns},
	}); err != nil {
		return nil, err
	}
	var native C.dpo_ppo_options
	if err := check(func() C.int32_t { return C.dpo_ppo_options_init(&native, C.sizeof_dpo_ppo_options) }); err != nil {
		return nil, err
	}
	if options != nil {
		for _, each := range []struct {
			field *C.double
			value *float64
		}{{&native.cliprange, options.Cliprange}, {&native.cliprange_value, options.CliprangeValue}, {&native.vf_coef, options.VfCoef}} {
			if each.value != nil {
				*each.field = C.double(*each.value)
			}
		}
	}
	result := &PPOResult{GradientLogps: make([]float64, count)}
	if tokens.Values != nil {
		result.GradientValues = make([]float64, count)
	}
	err := check(func() C.int32_t {
		return C.dpo_ppo_loss(&native, C.size_t(count), floats(tokens.Logps), floats(tokens.OldLogps), floats(tokens.Advantages),
			floats(tokens.Values), floats(tokens.OldValues), floats(tokens.Returns), (*C.double)(&result.Loss),
			doubles(result.GradientLogps), doubles(result.GradientValues))
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}
