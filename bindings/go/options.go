// Made by options/generate.py from the tables beside it. DO NOT EDIT.

package libdpo

// Loss: DPO's losses by TRL's names. Formulas: docs/losses.md.
type Loss int32

const (
	// DPO (Rafailov et al. 2023, equation 7).
	LossSigmoid Loss = 0
	// SLiC-HF's hinge on the DPO margin (Zhao et al. 2023).
	LossHinge Loss = 1
	// IPO (Azar et al. 2023, equation 17), on length-normalised log-ratios as in TRL.
	LossIpo Loss = 2
	// EXO for pairs (Ji et al. 2024, equation 16).
	LossExoPair Loss = 3
	// NCA for pairs (Chen et al. 2024).
	LossNcaPair Loss = 4
	// Robust DPO, unbiased under flipped labels (Chowdhury et al. 2024).
	LossRobust Loss = 5
	// BCO on pairs (Jung et al. 2024), without the running mean.
	LossBcoPair Loss = 6
	// SPPO with hard labels (Wu et al. 2024).
	LossSppoHard Loss = 7
	// AOT: stochastic dominance over the batch, paired (Melnyk et al. 2024).
	LossAot Loss = 8
	// AOT over unpaired samples.
	LossAotUnpaired Loss = 9
	// APO-zero (D'Oosterlinck et al. 2024): raises chosen, lowers rejected.
	LossApoZero Loss = 10
	// APO-down: lowers both, the rejected more.
	LossApoDown Loss = 11
	// DiscoPOP, the log-ratio modulated loss (Lu et al. 2024).
	LossDiscopop Loss = 12
	// Negative log-likelihood of the chosen completion, token mean over the micro-batch (the RPO term).
	LossSft Loss = 13
	// DPO on length-normalised log-ratios.
	LossSigmoidNorm Loss = 14
	// cDPO: sigmoid with labels flipped with probability label_smoothing (Mitchell 2023).
	LossConservative Loss = 15
)

// Losses are all of them.
var Losses = []Loss{
	LossSigmoid, LossHinge, LossIpo, LossExoPair, LossNcaPair, LossRobust, LossBcoPair, LossSppoHard, LossAot,
	LossAotUnpaired, LossApoZero, LossApoDown, LossDiscopop, LossSft, LossSigmoidNorm, LossConservative,
}

// String is what LossType calls the loss.
func (l Loss) String() string {
	switch l {
	case LossSigmoid:
		return "sigmoid"
	case LossHinge:
		return "hinge"
	case LossIpo:
		return "ipo"
	case LossExoPair:
		return "exo_pair"
	case LossNcaPair:
		return "nca_pair"
	case LossRobust:
		return "robust"
	case LossBcoPair:
		return "bco_pair"
	case LossSppoHard:
		return "sppo_hard"
	case LossAot:
		return "aot"
	case LossAotUnpaired:
		return "aot_unpaired"
	case LossApoZero:
		return "apo_zero"
	case LossApoDown:
		return "apo_down"
	case LossDiscopop:
		return "discopop"
	case LossSft:
		return "sft"
	case LossSigmoidNorm:
		return "sigmoid_norm"
	case LossConservative:
		return "conservative"
	}
	return "unknown loss"
}

// TrainOptions: how a model is trained. Fields that are nil or empty have their defaults; Some makes pointers.
type TrainOptions struct {
	// What is trained, and on which rows. "dpo" on pairs; "ranked" on ranked answers; "sft" on demonstrations, or on
	// the chosen side of pairs; "pretrain" on plain text; "kto" on thumbs up and down; "bco" on thumbs up and down;
	// "cpo" CPO, SimPO or AlphaPO on pairs without a reference model; "orpo" on pairs without a reference model;
	// "unlikelihood" on pairs, the DPO paper's baseline; "reward" a reward model on pairs; "ppo" on the policy's own
	// answers to prompts, by a reward; "rloo" the same without a value function, by leave-one-out means; "grpo" the
	// same by standardised groups; "online_dpo" DPO on its best and worst answers. "": "dpo".
	Method string

	// The loss; several are summed with loss_weights. dpo and online_dpo: the DPO losses. cpo: sigmoid, hinge, ipo,
	// simpo or alphapo. kto: kto or apo_zero_unpaired. sft: nll or dft. A method that finds the default here takes its
	// own. Source: paper, equation 7: sigmoid. nil: "sigmoid". For dpo, sft, kto, cpo and online_dpo.
	LossType []string

	// Weight of each loss in loss_type; empty: 1 each. For dpo and online_dpo.
	LossWeights []float64

	// β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo: the paper's
	// λ. Source: paper, equation 3. More than 0. nil: 0.1. For dpo, ranked, kto, bco, cpo, orpo and online_dpo.
	Beta *float64

	// ε, the share of labels that are assumed to be swapped. For the losses exo_pair, robust, aot, aot_unpaired and
	// conservative, and for cpo. 0 to 1. nil: 0. For dpo, cpo and online_dpo.
	LabelSmoothing *float64

	// The divergence from the reference model that the loss assumes. The paper's is reverse_kl. One of "reverse_kl",
	// "forward_kl", "js_divergence", "alpha_divergence". "": "reverse_kl". For dpo and online_dpo.
	FDivergenceType string

	// Coefficient of alpha_divergence. nil: 0.5. For dpo and online_dpo.
	FAlphaDivergenceCoef *float64

	// Temperature of the discopop loss. More than 0. nil: 0.05. For dpo and online_dpo.
	DiscopopTau *float64

	// LD-DPO: weight of the tokens that the longer completion has beyond the shorter one. 0 to 1. nil: 1. For dpo and
	// online_dpo.
	LdAlpha *float64

	// WPO: weight each pair by how likely the policy is to write it. nil: off. For dpo and online_dpo.
	UseWeighting *bool

	// On rows of prompt and completion: learn the completion only. nil: on. For sft.
	CompletionOnlyLoss *bool

	// On rows of messages: learn only what the chat template writes inside {% generation %}. nil: off. For sft.
	AssistantOnlyLoss *bool

	// Fill sequences of max_length tokens with as many rows as fit, in TRL's order. Rows of one sequence never see each
	// other. Batches then count such sequences. nil: off. For sft.
	Packing *bool

	// Factor on the loss of rows with a thumb up. At least 0. nil: 1. For kto.
	DesirableWeight *float64

	// Factor on the loss of rows with a thumb down. At least 0. nil: 1. For kto.
	UndesirableWeight *float64

	// Weight of the chosen completions' negative log-likelihood. SimPO as published has none: 0. At least 0. nil: 1.
	// For cpo.
	CpoAlpha *float64

	// simpo's γ: the margin between the rewards that the loss asks for. nil: 0.5. For cpo.
	SimpoGamma *float64

	// AlphaPO's shape of the reward, (1 − p^−alpha) / alpha; 0: the log-prob. nil: 0. For cpo.
	Alpha *float64

	// Weight of the rejected completions' log-likelihood, which is taken from that of the chosen ones. Source: paper,
	// appendix C.2; not in TRL. 0 to 1. nil: 1. For unlikelihood.
	UnlikelihoodAlpha *float64

	// Weight of the mean of (chosen + rejected)², which keeps a reward model's scores near 0. At least 0. nil: none;
	// 0.01 is usual. For reward.
	CenterRewardsCoefficient *float64

	// Take the reference model's log-probs as 0. nil: off. For dpo, ranked, kto and bco.
	ReferenceFree *bool

	// Compute the reference log-probs of all rows before the first step, and keep them in the output directory. nil:
	// off. For dpo, ranked, kto and bco.
	PrecomputeRefLogProbs *bool

	// TR-DPO: move the reference model towards the policy every ref_model_sync_steps. Full training only. nil: off. For
	// dpo, ranked, kto and bco.
	SyncRefModel *bool

	// TR-DPO: weight of the policy in the new reference model. 0 to 1. nil: 0.6. For dpo, ranked, kto and bco.
	RefModelMixupAlpha *float64

	// TR-DPO: optimiser steps between two syncs. At least 1. nil: 512. For dpo, ranked, kto and bco.
	RefModelSyncSteps *int

	// β, the weight of the KL penalty: ppo takes it from the reward of every token, rloo from that of a completion,
	// grpo adds it to the loss. At least 0. nil: 0.05 for ppo and rloo, 0 for grpo. For ppo, rloo and grpo.
	KlCoef *float64

	// KL of a token from k = log π − log π_ref. k1 is k, k3 is e^−k − 1 + k. One of "k1", "k3". "": "k1". For ppo.
	KlEstimator string

	// KL of a completion, in nats, that kl_coef is steered towards after each rollout. Source: Ziegler et al. 2019; not
	// in TRL 1.16. At least 1e-9. nil: kl_coef is fixed. For ppo and rloo.
	KlTarget *float64

	// Completions over which kl_coef adapts to kl_target. More than 0. nil: 10000. For ppo and rloo.
	KlHorizon *float64

	// Stop the run when the mean KL of a rollout's completions, in nats, is above this. Source: not in TRL. At least 0.
	// nil: 200; NaN: never. For ppo, rloo, grpo and online_dpo.
	MaxKl *float64

	// ε of PPO's clipped objective: how far the ratio π/π_old counts. At least 0. nil: 0.2. For ppo, rloo and grpo.
	Cliprange *float64

	// How far a value may move from the rollout's before the loss stops following. At least 0. nil: 0.2. For ppo.
	CliprangeValue *float64

	// Weight of the value function's loss. At least 0. nil: 0.1. For ppo.
	VfCoef *float64

	// γ, discount of later rewards. 0 to 1. nil: 1. For ppo.
	Gamma *float64

	// λ of generalised advantage estimation. 0 to 1. nil: 0.95. For ppo.
	Lam *float64

	// Scale the rewards of a rollout to variance 1. nil: off. For ppo.
	WhitenRewards *bool

	// Passes over each rollout. 1 to 1000. nil: 4 for ppo, 1 for rloo, grpo and online_dpo. For ppo, rloo, grpo and
	// online_dpo.
	NumPpoEpochs *int

	// Optimiser steps that a pass over a rollout is divided into. A rollout has per_device_train_batch_size ×
	// gradient_accumulation_steps rows. 1 to 1000000. nil: 1. For ppo, rloo, grpo and online_dpo.
	NumMiniBatches *int

	// Completions of each prompt. 2 to 1024. nil: 2 for rloo and online_dpo, 8 for grpo. For rloo, grpo and online_dpo.
	NumGenerations *int

	// Most tokens of a completion that the policy draws. At least 1. nil: 53 for ppo, 512 for rloo and grpo, 64 for
	// online_dpo. For ppo, rloo, grpo and online_dpo.
	MaxCompletionLength *int

	// Temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it. 0.001 to 1000. nil: 0.7 for ppo,
	// 1 for rloo and grpo, 0.9 for online_dpo. For ppo, rloo, grpo and online_dpo.
	Temperature *float64

	// Taken from the score of a completion that does not end by itself. At least 0. nil: none. For ppo, rloo, grpo and
	// online_dpo.
	MissingEosPenalty *float64

	// Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. nil: 2e-5 for sft, 5e-4 for
	// pretrain, 1e-4 for reward, 3e-6 for ppo, 5e-7 for online_dpo, 1e-6 for the others.
	LearningRate *float64

	// How the learning rate changes over the steps. One of "linear", "cosine", "constant", "constant_with_warmup",
	// "cosine_with_restarts", "polynomial", "inverse_sqrt". "": "linear".
	LrSchedulerType string

	// Steps over which the rate rises from 0; below 1: that fraction of all steps. 0 to 2147483647. nil: 0.
	WarmupSteps *float64

	// Decoupled weight decay; sgd adds it to the gradients. Biases and norms are exempt. At least 0. nil: 0.
	WeightDecay *float64

	// Decay of AdamW's first moment; Lion's β1. 0 to 0.999999999. nil: 0.9.
	AdamBeta1 *float64

	// Decay of AdamW's second moment; Lion's β2, which its paper has at 0.99. 0 to 0.999999999. nil: 0.999.
	AdamBeta2 *float64

	// Added to AdamW's denominator. At least 0. nil: 1e-8.
	AdamEpsilon *float64

	// The optimiser. adamw_torch, also called adamw_torch_fused, keeps 8 bytes for each number that is trained;
	// adamw_8bit, also called adamw_bnb_8bit, 2; adafactor next to none; lion_32bit 4; lion_8bit 1; sgd none, or 4 with
	// momentum. Others than AdamW want other learning rates: Lion a third to a tenth of AdamW's, sgd a far higher one.
	// One of "adamw_torch", "adamw_torch_fused", "adamw_8bit", "adamw_bnb_8bit", "adafactor", "lion_32bit",
	// "lion_8bit", "sgd". "": "adamw_torch".
	Optim string

	// Settings of sgd: momentum=0.9, dampening=0, nesterov=true. The other optimisers have none.
	OptimArgs []string

	// What adamw_torch, lion_32bit and sgd keep their states in: bf16 takes half as much memory. Numbers are rounded up
	// or down by chance, the same in every run. One of "fp32", "bf16". Source: not in TRL. "": "fp32".
	OptimStateDtype string

	// Gradients are scaled down to this global norm; 0: never. At least 0. nil: 1.
	MaxGradNorm *float64

	// Rows of a micro-batch. pretrain, and sft with packing: sequences of max_length tokens. At least 1. nil: 8.
	PerDeviceTrainBatchSize *int

	// Rows of an evaluation batch. At least 1. nil: 8.
	PerDeviceEvalBatchSize *int

	// Micro-batches of an optimiser step. At least 1. nil: 1.
	GradientAccumulationSteps *int

	// Passes over the data, unless max_steps is set. More than 0, at most 1000000. nil: 3.
	NumTrainEpochs *float64

	// Optimiser steps; -1: as many as num_train_epochs gives. At least -1. nil: -1.
	MaxSteps *int

	// A new order of rows each epoch, as TRL draws it. Source: TRL: shuffle_dataset. nil: on.
	Shuffle *bool

	// Seed of the row order, of LoRA's first weights and of dropout. 0 to 4294967295. nil: 42.
	Seed *int

	// Seed of the row order alone. 0 to 4294967295. nil: seed.
	DataSeed *int

	// Tokens of prompt and completion that are kept. pretrain: longer documents are cut into such pieces. At least 1.
	// nil: 1024; 0: all of them.
	MaxLength *int

	// Where the tokens of files of rows are kept, so that the next run reads them from there, with hardly any memory: a
	// directory; none: rows are in memory; auto: files of more than 256 MB are cached in .dpo-cache beside them.
	// Results do not depend on it. "": "auto".
	DataCache string

	// Which end of a row longer than max_length is kept. One of "keep_start", "keep_end". "": "keep_start".
	TruncationMode string

	// Rank of a new LoRA adapter; 0: train every weight. Source: PEFT: r. 0 to 65536. nil: 0.
	LoraR *int

	// The adapter is scaled by lora_alpha / lora_r. At least 0. nil: lora_r.
	LoraAlpha *float64

	// Dropout before the adapter's matrix A. Needs disable_dropout off. 0 to 0.999999. nil: 0.
	LoraDropout *float64

	// Modules that get an adapter: names such as q_proj, or all-linear; empty: PEFT's choice for the family. Source:
	// PEFT: target_modules.
	LoraTargetModules []string

	// Scale by lora_alpha / √lora_r instead. nil: off.
	UseRslora *bool

	// What the adapter's matrix A is drawn from. B starts at 0. One of "kaiming", "gaussian". "": "kaiming".
	InitLoraWeights string

	// No dropout in policy and reference model. nil: on.
	DisableDropout *bool

	// Steps between evaluations; 0: at the end of every epoch. At least 0. nil: 0.
	EvalSteps *int

	// Steps between checkpoints; 0: only the final model. At least 0. nil: 500.
	SaveSteps *int

	// Checkpoints that are kept; the oldest go first. At least 1. nil: all.
	SaveTotalLimit *int

	// Steps between writes of the one file that a crashed run resumes from; 0: never, -1: every step for LoRA, never
	// for full training. Source: not in TRL. At least -1. nil: -1.
	AutosaveSteps *int

	// Start anew in a directory that holds an earlier run. nil: off.
	OverwriteOutputDir *bool

	// Keep each block's input alone and compute the rest again in the backward pass: less memory, the same numbers.
	// nil: off.
	GradientCheckpointing *bool

	// Directory on a disk for the optimizer's states and for what the forward pass keeps for the backward pass: memory
	// holds of them what it has room for. Nothing remains there. Changes no number. "": all is in memory.
	Offload string

	// Update the weights of a layer as soon as the backward pass has its gradients, whose memory the next layer then
	// takes: full training without 4 bytes of gradients for each number. Needs max_grad_norm 0 and steps of one
	// micro-batch. Source: torchtune: optimizer_in_bwd. nil: off.
	OptimizerInBackward *bool

	// Arithmetic of the linear layers. Weights, sums and log-probs are fp32 in both; bf16 is faster on processors that
	// have instructions for it and takes the time of fp32 elsewhere. One of "fp32", "bf16". "": "fp32".
	Precision string

	// Compute threads; 0: one a core, and at most that many. Results do not depend on it. 0 to 1024. nil: 0.
	Threads *int

	// Refuse a run whose plan needs more MiB; 0: what the machine has free. At least 0. nil: 0.
	MemoryLimitMb *int

	// Inner loops to compute with; auto: the best for this processor. Engines differ in the last bits of their results.
	// One of "auto", "avx512", "avx2", "neon", "portable", "openblas". "": "auto".
	Engine string

	// Adds up the gradients of a step's micro-batches in one order, so that a run ends in the same bits on any number
	// of ranks. Takes another buffer for them where a rank has several micro-batches a step. false: each rank adds up
	// its own first. Source: libdpo. nil: on.
	ReproducibleSums *bool

	// Weight of the auxiliary loss of a mixture's routers, which is the lower the more evenly they use the experts; 0:
	// without it. Other models have none. At least 0. nil: what the model's config.json says, 0.01 or 0.001 without it.
	// For dpo, sft, pretrain, kto, rloo and grpo.
	RouterAuxLossCoef *float64

	// Multiply the KL penalty of each token by its ratio π/π_old, so that its gradient is that of the KL from the
	// reference, without bias. Source: TRL; DeepSeek-V3.2. nil: on. For grpo.
	UseBiasCorrectionKl *bool
}

func (o *TrainOptions) kind() string { return "training" }

func (o *TrainOptions) fields() fields {
	f := fields{}
	f.text("method", o.Method)
	f.texts("loss_type", o.LossType)
	f.reals("loss_weights", o.LossWeights)
	f.real("beta", o.Beta)
	f.real("label_smoothing", o.LabelSmoothing)
	f.text("f_divergence_type", o.FDivergenceType)
	f.real("f_alpha_divergence_coef", o.FAlphaDivergenceCoef)
	f.real("discopop_tau", o.DiscopopTau)
	f.real("ld_alpha", o.LdAlpha)
	f.boolean("use_weighting", o.UseWeighting)
	f.boolean("completion_only_loss", o.CompletionOnlyLoss)
	f.boolean("assistant_only_loss", o.AssistantOnlyLoss)
	f.boolean("packing", o.Packing)
	f.real("desirable_weight", o.DesirableWeight)
	f.real("undesirable_weight", o.UndesirableWeight)
	f.real("cpo_alpha", o.CpoAlpha)
	f.real("simpo_gamma", o.SimpoGamma)
	f.real("alpha", o.Alpha)
	f.real("unlikelihood_alpha", o.UnlikelihoodAlpha)
	f.real("center_rewards_coefficient", o.CenterRewardsCoefficient)
	f.boolean("reference_free", o.ReferenceFree)
	f.boolean("precompute_ref_log_probs", o.PrecomputeRefLogProbs)
	f.boolean("sync_ref_model", o.SyncRefModel)
	f.real("ref_model_mixup_alpha", o.RefModelMixupAlpha)
	f.integer("ref_model_sync_steps", o.RefModelSyncSteps)
	f.real("kl_coef", o.KlCoef)
	f.text("kl_estimator", o.KlEstimator)
	f.real("kl_target", o.KlTarget)
	f.real("kl_horizon", o.KlHorizon)
	f.real("max_kl", o.MaxKl)
	f.real("cliprange", o.Cliprange)
	f.real("cliprange_value", o.CliprangeValue)
	f.real("vf_coef", o.VfCoef)
	f.real("gamma", o.Gamma)
	f.real("lam", o.Lam)
	f.boolean("whiten_rewards", o.WhitenRewards)
	f.integerOrNull("num_ppo_epochs", o.NumPpoEpochs, 0)
	f.integer("num_mini_batches", o.NumMiniBatches)
	f.integerOrNull("num_generations", o.NumGenerations, 0)
	f.integerOrNull("max_completion_length", o.MaxCompletionLength, 0)
	f.real("temperature", o.Temperature)
	f.real("missing_eos_penalty", o.MissingEosPenalty)
	f.real("learning_rate", o.LearningRate)
	f.text("lr_scheduler_type", o.LrSchedulerType)
	f.real("warmup_steps", o.WarmupSteps)
	f.real("weight_decay", o.WeightDecay)
	f.real("adam_beta1", o.AdamBeta1)
	f.real("adam_beta2", o.AdamBeta2)
	f.real("adam_epsilon", o.AdamEpsilon)
	f.text("optim", o.Optim)
	f.texts("optim_args", o.OptimArgs)
	f.text("optim_state_dtype", o.OptimStateDtype)
	f.real("max_grad_norm", o.MaxGradNorm)
	f.integer("per_device_train_batch_size", o.PerDeviceTrainBatchSize)
	f.integer("per_device_eval_batch_size", o.PerDeviceEvalBatchSize)
	f.integer("gradient_accumulation_steps", o.GradientAccumulationSteps)
	f.real("num_train_epochs", o.NumTrainEpochs)
	f.integer("max_steps", o.MaxSteps)
	f.boolean("shuffle", o.Shuffle)
	f.integer("seed", o.Seed)
	f.integerOrNull("data_seed", o.DataSeed, -1)
	f.integerOrNull("max_length", o.MaxLength, 0)
	f.text("data_cache", o.DataCache)
	f.text("truncation_mode", o.TruncationMode)
	f.integer("lora_r", o.LoraR)
	f.real("lora_alpha", o.LoraAlpha)
	f.real("lora_dropout", o.LoraDropout)
	f.texts("lora_target_modules", o.LoraTargetModules)
	f.boolean("use_rslora", o.UseRslora)
	f.text("init_lora_weights", o.InitLoraWeights)
	f.boolean("disable_dropout", o.DisableDropout)
	f.integer("eval_steps", o.EvalSteps)
	f.integer("save_steps", o.SaveSteps)
	f.integerOrNull("save_total_limit", o.SaveTotalLimit, 0)
	f.integer("autosave_steps", o.AutosaveSteps)
	f.boolean("overwrite_output_dir", o.OverwriteOutputDir)
	f.boolean("gradient_checkpointing", o.GradientCheckpointing)
	f.text("offload", o.Offload)
	f.boolean("optimizer_in_backward", o.OptimizerInBackward)
	f.text("precision", o.Precision)
	f.integer("threads", o.Threads)
	f.integer("memory_limit_mb", o.MemoryLimitMb)
	f.text("engine", o.Engine)
	f.boolean("reproducible_sums", o.ReproducibleSums)
	f.real("router_aux_loss_coef", o.RouterAuxLossCoef)
	f.boolean("use_bias_correction_kl", o.UseBiasCorrectionKl)
	return f
}

// GenerationOptions: how completions are drawn. Warpers apply in Hugging Face's order: temperature, top-k, top-p,
// min-p. Fields that are nil or empty have their defaults; Some makes pointers.
type GenerationOptions struct {
	// Most tokens of a completion. At least 1. nil: 128.
	MaxNewTokens *int

	// Sampling temperature; 0: greedy. At least 0. nil: 1.
	Temperature *float64

	// Sample among so many of the likeliest tokens; 0: all. At least 0. nil: 0.
	TopK *int

	// Sample among the likeliest tokens that have this probability together; 1: all. More than 0, at most 1. nil: 1.
	TopP *float64

	// Leave out tokens less likely than this share of the likeliest one's probability; 0: none. 0 to 1. nil: 0.
	MinP *float64

	// A completion depends on the seed and its indices alone, not on what else is in the batch. At least 0. nil: 42.
	Seed *uint64

	// Completions of each prompt. 1 to 4096. nil: 1.
	NumReturnSequences *int

	// Off for prompts that a chat template wrote: they hold their special tokens already. nil: on.
	AddSpecialTokens *bool

	// Arithmetic of the products with weights; bf16 rounds both factors and reads half the bytes. One of "fp32",
	// "bf16". "": "fp32".
	Precision string
}

func (o *GenerationOptions) kind() string { return "generation" }

func (o *GenerationOptions) fields() fields {
	f := fields{}
	f.integer("max_new_tokens", o.MaxNewTokens)
	f.real("temperature", o.Temperature)
	f.integer("top_k", o.TopK)
	f.real("top_p", o.TopP)
	f.real("min_p", o.MinP)
	f.unsigned("seed", o.Seed)
	f.integer("num_return_sequences", o.NumReturnSequences)
	f.boolean("add_special_tokens", o.AddSpecialTokens)
	f.text("precision", o.Precision)
	return f
}

// FeedbackOptions: how feedback is trained on. Fields that are nil or empty have their defaults; Some makes pointers.
type FeedbackOptions struct {
	// Stop after so many seconds. What was learned is kept, and the next call goes on. More than 0. nil: no limit.
	MaxSeconds *float64

	// Older records that a session mixes in, drawn at random, for each new one; 1: as many old as new. 0 to 1000. nil:
	// 0.
	Replay *float64

	// New records to wait for before a session begins. At least 1. nil: 8.
	MinRecords *int

	// Start anew: a new adapter, to which every record is new. nil: off.
	Retrain *bool

	// Options of the runs, with feedback's own defaults. The records decide the method.
	Training *TrainOptions
}

func (o *FeedbackOptions) kind() string { return "feedback" }

func (o *FeedbackOptions) fields() fields {
	f := fields{}
	f.realOrNull("max_seconds", o.MaxSeconds, 0.0)
	f.real("replay", o.Replay)
	f.integer("min_records", o.MinRecords)
	f.boolean("retrain", o.Retrain)
	if o.Training != nil {
		f["training"] = o.Training.fields()
	}
	return f
}

// TokenizerOptions: how a byte-level BPE tokenizer is learned from text. Fields that are nil or empty have their
// defaults; Some makes pointers.
type TokenizerOptions struct {
	// Tokens, special ones and the 256 bytes included. There are fewer where the text has no more pairs. At least 1.
	// nil: 8192.
	VocabularySize *int

	// Pairs that occur less often become no token. At least 0. nil: 2.
	MinimumFrequency *int

	// How text is cut into words. One of "gpt2", "smollm", "llama3", "qwen2". "": "gpt2".
	PreTokenizer string

	// "chatml", or Jinja. chatml also makes <|im_end|> the token that ends answers. "": none.
	ChatTemplate string

	// Begins a sequence. "": <|endoftext|>.
	BosToken string

	// Ends documents and answers. "": <|endoftext|>, with chatml <|im_end|>.
	EosToken string

	// Fills up batches in other programs. "": <|endoftext|>.
	PadToken string

	// More tokens that are never part of a word, in the order of their ids.
	SpecialTokens []string

	// Replace what stands there. nil: off.
	Overwrite *bool
}

func (o *TokenizerOptions) kind() string { return "tokenizer" }

func (o *TokenizerOptions) fields() fields {
	f := fields{}
	f.integer("vocabulary_size", o.VocabularySize)
	f.integer("minimum_frequency", o.MinimumFrequency)
	f.text("pre_tokenizer", o.PreTokenizer)
	f.text("chat_template", o.ChatTemplate)
	f.text("bos_token", o.BosToken)
	f.text("eos_token", o.EosToken)
	f.text("pad_token", o.PadToken)
	f.texts("special_tokens", o.SpecialTokens)
	f.boolean("overwrite", o.Overwrite)
	return f
}

// ModelShape: the sizes of a new model. What is not set follows from the others as the family's models usually have it.
// Fields that are nil or empty have their defaults; Some makes pointers.
type ModelShape struct {
	// Family of the model, by the model_type of Hugging Face's config.json. "": "llama".
	Family string

	// A directory with tokenizer.json, or a model: the new model gets its tokenizer. "": none.
	Tokenizer string

	// Tokens of the vocabulary. At least 1. nil: the tokenizer's.
	VocabularySize *int

	// Width of the hidden states. At least 1. nil: 256.
	HiddenSize *int

	// Number of blocks. At least 1. nil: 4.
	Layers *int

	// Attention heads. At least 1. nil: one for every 64 of hidden_size.
	Heads *int

	// Heads of keys and values. At least 1. nil: heads.
	KvHeads *int

	// Width of the MLP. At least 1. nil: 8/3 of hidden_size, rounded up to a multiple of 32; gpt2: 4 times hidden_size.
	IntermediateSize *int

	// Tokens that the model reads at most. At least 1. nil: 1024.
	ContextLength *int

	// The head is the token embedding. nil: on.
	TieWordEmbeddings *bool

	// Standard deviation of the weights. At least 0. nil: 0.02.
	InitializerRange *float64

	// Seed of the weights: equal shapes and seeds give equal files. At least 0. nil: 42.
	Seed *uint64

	// Replace what stands there. nil: off.
	Overwrite *bool
}

func (o *ModelShape) kind() string { return "shape" }

func (o *ModelShape) fields() fields {
	f := fields{}
	f.text("family", o.Family)
	f.text("tokenizer", o.Tokenizer)
	f.integerOrNull("vocabulary_size", o.VocabularySize, 0)
	f.integer("hidden_size", o.HiddenSize)
	f.integer("layers", o.Layers)
	f.integerOrNull("heads", o.Heads, 0)
	f.integerOrNull("kv_heads", o.KvHeads, 0)
	f.integerOrNull("intermediate_size", o.IntermediateSize, 0)
	f.integer("context_length", o.ContextLength)
	f.boolean("tie_word_embeddings", o.TieWordEmbeddings)
	f.real("initializer_range", o.InitializerRange)
	f.unsigned("seed", o.Seed)
	f.boolean("overwrite", o.Overwrite)
	return f
}

// ExportOptions: how a model or adapter is converted. Fields that are nil or empty have their defaults; Some makes
// pointers.
type ExportOptions struct {
	// An adapter to put on the model. "": none.
	Adapter string

	// The model of an adapter whose file names it no more. "": the one that the adapter's file names.
	Base string

	// Number format of the weights. q8_0 is for GGUF models only; HDF5 is always f32. One of "f32", "f16", "bf16",
	// "q8_0". "": "f32".
	Dtype string

	// Add the adapter into the weights. nil: off.
	Merge *bool

	// Replace what stands there. nil: off.
	Overwrite *bool
}

func (o *ExportOptions) kind() string { return "export" }

func (o *ExportOptions) fields() fields {
	f := fields{}
	f.text("adapter", o.Adapter)
	f.text("base", o.Base)
	f.text("dtype", o.Dtype)
	f.boolean("merge", o.Merge)
	f.boolean("overwrite", o.Overwrite)
	return f
}
