"""Made by options/generate.py from the tables beside it: options of a run, a class a method, with TRL's names and defaults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional, Union

from .config import RewardedConfig, RunConfig, TextConfig

__all__ = [
    "DPOConfig", "RankedConfig", "SFTConfig", "PretrainConfig", "KTOConfig", "BCOConfig", "CPOConfig", "ORPOConfig",
    "UnlikelihoodConfig", "RewardConfig", "PPOConfig", "RLOOConfig", "GRPOConfig", "OnlineDPOConfig",
]


@dataclass
class TrainingConfig(RunConfig):
    """Options that every method has."""

    learning_rate: Optional[float] = None
    """Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 2e-5 for sft, 5e-4 for
    pretrain, 1e-4 for reward, 3e-6 for ppo, 5e-7 for online_dpo, 1e-6 for the others."""
    lr_scheduler_type: str = "linear"
    """How the learning rate changes over the steps. One of "linear", "cosine", "constant", "constant_with_warmup",
    "cosine_with_restarts", "polynomial", "inverse_sqrt"."""
    warmup_steps: float = 0.0
    """Steps over which the rate rises from 0; below 1: that fraction of all steps. 0 to 2147483647."""
    weight_decay: float = 0.0
    """Decoupled weight decay; sgd adds it to the gradients. Biases and norms are exempt. At least 0."""
    adam_beta1: float = 0.9
    """Decay of AdamW's first moment; Lion's β1. 0 to 0.999999999."""
    adam_beta2: float = 0.999
    """Decay of AdamW's second moment; Lion's β2, which its paper has at 0.99. 0 to 0.999999999."""
    adam_epsilon: float = 1e-8
    """Added to AdamW's denominator. At least 0."""
    optim: str = "adamw_torch"
    """The optimiser. adamw_torch, also called adamw_torch_fused, keeps 8 bytes for each number that is trained;
    adamw_8bit, also called adamw_bnb_8bit, 2; adafactor next to none; lion_32bit 4; lion_8bit 1; sgd none, or 4 with
    momentum. Others than AdamW want other learning rates: Lion a third to a tenth of AdamW's, sgd a far higher one. One
    of "adamw_torch", "adamw_torch_fused", "adamw_8bit", "adamw_bnb_8bit", "adafactor", "lion_32bit", "lion_8bit",
    "sgd"."""
    optim_args: Optional[Union[str, Sequence[str]]] = None
    """Settings of sgd: momentum=0.9, dampening=0, nesterov=true. The other optimisers have none."""
    optim_state_dtype: str = "fp32"
    """What adamw_torch, lion_32bit and sgd keep their states in: bf16 takes half as much memory. Numbers are rounded up or
    down by chance, the same in every run. One of "fp32", "bf16". Source: not in TRL."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this global norm; 0: never. At least 0."""
    per_device_train_batch_size: int = 8
    """Rows of a micro-batch. pretrain, and sft with packing: sequences of max_length tokens. At least 1."""
    per_device_eval_batch_size: int = 8
    """Rows of an evaluation batch. At least 1."""
    gradient_accumulation_steps: int = 1
    """Micro-batches of an optimiser step. At least 1."""
    num_train_epochs: float = 3.0
    """Passes over the data, unless max_steps is set. More than 0, at most 1000000."""
    max_steps: int = -1
    """Optimiser steps; -1: as many as num_train_epochs gives. At least -1."""
    shuffle: bool = True
    """A new order of rows each epoch, as TRL draws it. Source: TRL: shuffle_dataset."""
    seed: int = 42
    """Seed of the row order, of LoRA's first weights and of dropout. 0 to 4294967295."""
    data_seed: Optional[int] = None
    """Seed of the row order alone. 0 to 4294967295. None: seed."""
    max_length: Optional[int] = 1024
    """Tokens of prompt and completion that are kept. pretrain: longer documents are cut into such pieces. At least 1.
    None: all of them."""
    data_cache: str = "auto"
    """Where the tokens of files of rows are kept, so that the next run reads them from there, with hardly any memory: a
    directory; none: rows are in memory; auto: files of more than 256 MB are cached in .dpo-cache beside them. Results
    do not depend on it."""
    truncation_mode: str = "keep_start"
    """Which end of a row longer than max_length is kept. One of "keep_start", "keep_end"."""
    lora_r: int = 0
    """Rank of a new LoRA adapter; 0: train every weight. 0 to 65536. Source: PEFT: r."""
    lora_alpha: Optional[float] = None
    """The adapter is scaled by lora_alpha / lora_r. At least 0. None: lora_r."""
    lora_dropout: float = 0.0
    """Dropout before the adapter's matrix A. Needs disable_dropout off. 0 to 0.999999."""
    lora_target_modules: Optional[Union[str, Sequence[str]]] = None
    """Modules that get an adapter: names such as q_proj, or all-linear; empty: PEFT's choice for the family. Source: PEFT:
    target_modules."""
    use_rslora: bool = False
    """Scale by lora_alpha / √lora_r instead."""
    init_lora_weights: str = "kaiming"
    """What the adapter's matrix A is drawn from. B starts at 0. One of "kaiming", "gaussian"."""
    disable_dropout: bool = True
    """No dropout in policy and reference model."""
    eval_steps: int = 0
    """Steps between evaluations; 0: at the end of every epoch. At least 0."""
    save_steps: int = 500
    """Steps between checkpoints; 0: only the final model. At least 0."""
    save_total_limit: Optional[int] = None
    """Checkpoints that are kept; the oldest go first. At least 1. None: all."""
    autosave_steps: int = -1
    """Steps between writes of the one file that a crashed run resumes from; 0: never, -1: every step for LoRA, never for
    full training. At least -1. Source: not in TRL."""
    overwrite_output_dir: bool = False
    """Start anew in a directory that holds an earlier run."""
    gradient_checkpointing: bool = False
    """Keep each block's input alone and compute the rest again in the backward pass: less memory, the same numbers."""
    offload: Optional[str] = None
    """Directory on a disk for the optimizer's states and for what the forward pass keeps for the backward pass: memory
    holds of them what it has room for. Nothing remains there. Changes no number. None: all is in memory."""
    optimizer_in_backward: bool = False
    """Update the weights of a layer as soon as the backward pass has its gradients, whose memory the next layer then
    takes: full training without 4 bytes of gradients for each number. Needs max_grad_norm 0 and steps of one
    micro-batch. Source: torchtune: optimizer_in_bwd."""
    precision: str = "fp32"
    """Arithmetic of the linear layers. Weights, sums and log-probs are fp32 in both; bf16 is faster on processors that
    have instructions for it and takes the time of fp32 elsewhere. One of "fp32", "bf16"."""
    threads: int = 0
    """Compute threads; 0: one a core, and at most that many. Results do not depend on it. 0 to 1024."""
    memory_limit_mb: int = 0
    """Refuse a run whose plan needs more MiB; 0: what the machine has free. At least 0."""
    engine: str = "auto"
    """Inner loops to compute with; auto: the best for this processor. Engines differ in the last bits of their results.
    One of "auto", "avx512", "avx2", "neon", "portable", "openblas"."""
    reproducible_sums: bool = True
    """Adds up the gradients of a step's micro-batches in one order, so that a run ends in the same bits on any number of
    ranks. Takes another buffer for them where a rank has several micro-batches a step. false: each rank adds up its own
    first. Source: libdpo."""


@dataclass
class DPOConfig(TrainingConfig):
    """Direct preference optimisation on pairs. (Rafailov et al. 2023, equation 7.)"""

    _method = "dpo"

    learning_rate: Optional[float] = None
    """Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 1e-6."""
    loss_type: Union[str, Sequence[str]] = "sigmoid"
    """The loss; several are summed with loss_weights. dpo and online_dpo: the DPO losses. cpo: sigmoid, hinge, ipo, simpo
    or alphapo. kto: kto or apo_zero_unpaired. sft: nll or dft. A method that finds the default here takes its own.
    Source: paper, equation 7: sigmoid."""
    loss_weights: Optional[Sequence[float]] = None
    """Weight of each loss in loss_type; empty: 1 each."""
    beta: float = 0.1
    """β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo: the paper's λ.
    More than 0. Source: paper, equation 3."""
    label_smoothing: float = 0.0
    """ε, the share of labels that are assumed to be swapped. For the losses exo_pair, robust, aot, aot_unpaired and
    conservative, and for cpo. 0 to 1."""
    f_divergence_type: str = "reverse_kl"
    """The divergence from the reference model that the loss assumes. The paper's is reverse_kl. One of "reverse_kl",
    "forward_kl", "js_divergence", "alpha_divergence"."""
    f_alpha_divergence_coef: float = 0.5
    """Coefficient of alpha_divergence."""
    discopop_tau: float = 0.05
    """Temperature of the discopop loss. More than 0."""
    ld_alpha: Optional[float] = None
    """LD-DPO: weight of the tokens that the longer completion has beyond the shorter one. 0 to 1. None: 1."""
    use_weighting: bool = False
    """WPO: weight each pair by how likely the policy is to write it."""
    reference_free: bool = False
    """Take the reference model's log-probs as 0."""
    precompute_ref_log_probs: bool = False
    """Compute the reference log-probs of all rows before the first step, and keep them in the output directory."""
    sync_ref_model: bool = False
    """TR-DPO: move the reference model towards the policy every ref_model_sync_steps. Full training only."""
    ref_model_mixup_alpha: float = 0.6
    """TR-DPO: weight of the policy in the new reference model. 0 to 1."""
    ref_model_sync_steps: int = 512
    """TR-DPO: optimiser steps between two syncs. At least 1."""
    router_aux_loss_coef: Optional[float] = None
    """Weight of the auxiliary loss of a mixture's routers, which is the lower the more evenly they use the experts; 0:
    without it. Other models have none. At least 0. None: what the model's config.json says, 0.01 or 0.001 without it."""


@dataclass
class RankedConfig(TrainingConfig):
    """DPO on rankings of more than two answers, by the Plackett–Luce model. (Rafailov et al. 2023, appendix A.3.)"""

    _method = "ranked"

    learning_rate: Optional[float] = None
    """Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 1e-6."""
    beta: float = 0.1
    """β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo: the paper's λ.
    More than 0. Source: paper, equation 3."""
    reference_free: bool = False
    """Take the reference model's log-probs as 0."""
    precompute_ref_log_probs: bool = False
    """Compute the reference log-probs of all rows before the first step, and keep them in the output directory."""
    sync_ref_model: bool = False
    """TR-DPO: move the reference model towards the policy every ref_model_sync_steps. Full training only."""
    ref_model_mixup_alpha: float = 0.6
    """TR-DPO: weight of the policy in the new reference model. 0 to 1."""
    ref_model_sync_steps: int = 512
    """TR-DPO: optimiser steps between two syncs. At least 1."""


@dataclass
class SFTConfig(TrainingConfig, TextConfig):
    """Supervised fine-tuning on demonstrations, or on the chosen side of pairs."""

    _method = "sft"

    learning_rate: Optional[float] = None
    """Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 2e-5."""
    loss_type: Union[str, Sequence[str]] = "nll"
    """The loss; several are summed with loss_weights. dpo and online_dpo: the DPO losses. cpo: sigmoid, hinge, ipo, simpo
    or alphapo. kto: kto or apo_zero_unpaired. sft: nll or dft. A method that finds the default here takes its own.
    Source: paper, equation 7: sigmoid."""
    completion_only_loss: bool = True
    """On rows of prompt and completion: learn the completion only."""
    assistant_only_loss: bool = False
    """On rows of messages: learn only what the chat template writes inside {% generation %}."""
    packing: bool = False
    """Fill sequences of max_length tokens with as many rows as fit, in TRL's order. Rows of one sequence never see each
    other. Batches then count such sequences."""
    router_aux_loss_coef: Optional[float] = None
    """Weight of the auxiliary loss of a mixture's routers, which is the lower the more evenly they use the experts; 0:
    without it. Other models have none. At least 0. None: what the model's config.json says, 0.01 or 0.001 without it."""


@dataclass
class PretrainConfig(TrainingConfig, TextConfig):
    """Next-token prediction on plain text."""

    _method = "pretrain"

    learning_rate: Optional[float] = None
    """Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 5e-4."""
    router_aux_loss_coef: Optional[float] = None
    """Weight of the auxiliary loss of a mixture's routers, which is the lower the more evenly they use the experts; 0:
    without it. Other models have none. At least 0. None: what the model's config.json says, 0.01 or 0.001 without it."""


@dataclass
class KTOConfig(TrainingConfig):
    """KTO on answers with a thumb up or down. (Ethayarajh et al. 2024.)"""

    _method = "kto"

    learning_rate: Optional[float] = None
    """Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 1e-6."""
    loss_type: Union[str, Sequence[str]] = "kto"
    """The loss; several are summed with loss_weights. dpo and online_dpo: the DPO losses. cpo: sigmoid, hinge, ipo, simpo
    or alphapo. kto: kto or apo_zero_unpaired. sft: nll or dft. A method that finds the default here takes its own.
    Source: paper, equation 7: sigmoid."""
    beta: float = 0.1
    """β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo: the paper's λ.
    More than 0. Source: paper, equation 3."""
    desirable_weight: float = 1.0
    """Factor on the loss of rows with a thumb up. At least 0."""
    undesirable_weight: float = 1.0
    """Factor on the loss of rows with a thumb down. At least 0."""
    reference_free: bool = False
    """Take the reference model's log-probs as 0."""
    precompute_ref_log_probs: bool = False
    """Compute the reference log-probs of all rows before the first step, and keep them in the output directory."""
    sync_ref_model: bool = False
    """TR-DPO: move the reference model towards the policy every ref_model_sync_steps. Full training only."""
    ref_model_mixup_alpha: float = 0.6
    """TR-DPO: weight of the policy in the new reference model. 0 to 1."""
    ref_model_sync_steps: int = 512
    """TR-DPO: optimiser steps between two syncs. At least 1."""
    router_aux_loss_coef: Optional[float] = None
    """Weight of the auxiliary loss of a mixture's routers, which is the lower the more evenly they use the experts; 0:
    without it. Other models have none. At least 0. None: what the model's config.json says, 0.01 or 0.001 without it."""


@dataclass
class BCOConfig(TrainingConfig):
    """BCO on answers with a thumb up or down: a classifier between the two, whose logit is the implicit reward. (Jung et
    al. 2024.)"""

    _method = "bco"

    learning_rate: Optional[float] = None
    """Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 1e-6."""
    beta: float = 0.1
    """β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo: the paper's λ.
    More than 0. Source: paper, equation 3."""
    reference_free: bool = False
    """Take the reference model's log-probs as 0."""
    precompute_ref_log_probs: bool = False
    """Compute the reference log-probs of all rows before the first step, and keep them in the output directory."""
    sync_ref_model: bool = False
    """TR-DPO: move the reference model towards the policy every ref_model_sync_steps. Full training only."""
    ref_model_mixup_alpha: float = 0.6
    """TR-DPO: weight of the policy in the new reference model. 0 to 1."""
    ref_model_sync_steps: int = 512
    """TR-DPO: optimiser steps between two syncs. At least 1."""


@dataclass
class CPOConfig(TrainingConfig):
    """CPO, SimPO or AlphaPO: pairs without a reference model. (Xu et al. 2024; Meng et al. 2024; Gupta et al. 2025.)"""

    _method = "cpo"

    learning_rate: Optional[float] = None
    """Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 1e-6."""
    loss_type: Union[str, Sequence[str]] = "sigmoid"
    """The loss; several are summed with loss_weights. dpo and online_dpo: the DPO losses. cpo: sigmoid, hinge, ipo, simpo
    or alphapo. kto: kto or apo_zero_unpaired. sft: nll or dft. A method that finds the default here takes its own.
    Source: paper, equation 7: sigmoid."""
    beta: float = 0.1
    """β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo: the paper's λ.
    More than 0. Source: paper, equation 3."""
    label_smoothing: float = 0.0
    """ε, the share of labels that are assumed to be swapped. For the losses exo_pair, robust, aot, aot_unpaired and
    conservative, and for cpo. 0 to 1."""
    cpo_alpha: float = 1.0
    """Weight of the chosen completions' negative log-likelihood. SimPO as published has none: 0. At least 0."""
    simpo_gamma: float = 0.5
    """simpo's γ: the margin between the rewards that the loss asks for."""
    alpha: float = 0.0
    """AlphaPO's shape of the reward, (1 − p^−alpha) / alpha; 0: the log-prob."""


@dataclass
class ORPOConfig(TrainingConfig):
    """ORPO: likelihood and odds ratio of pairs, without a reference model. (Hong et al. 2024.)"""

    _method = "orpo"

    learning_rate: Optional[float] = None
    """Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 1e-6."""
    beta: float = 0.1
    """β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo: the paper's λ.
    More than 0. Source: paper, equation 3."""


@dataclass
class UnlikelihoodConfig(TrainingConfig):
    """Log-likelihood of the chosen answer minus a part of that of the rejected one: the DPO paper's baseline. (Rafailov et
    al. 2023, section 6.)"""

    _method = "unlikelihood"

    learning_rate: Optional[float] = None
    """Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 1e-6."""
    unlikelihood_alpha: float = 1.0
    """Weight of the rejected completions' log-likelihood, which is taken from that of the chosen ones. 0 to 1. Source:
    paper, appendix C.2; not in TRL."""


@dataclass
class RewardConfig(TrainingConfig):
    """A reward model on pairs by the Bradley–Terry loss. Rows longer than max_length are left out. (Rafailov et al. 2023,
    equation 2.)"""

    _method = "reward"

    learning_rate: Optional[float] = None
    """Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 1e-4."""
    center_rewards_coefficient: Optional[float] = None
    """Weight of the mean of (chosen + rejected)², which keeps a reward model's scores near 0. At least 0. None: none; 0.01
    is usual."""


@dataclass
class PPOConfig(TrainingConfig, RewardedConfig):
    """PPO: the policy answers prompts itself and learns from a reward, held to the reference model by a KL penalty.
    (Schulman et al. 2017; Ziegler et al. 2019.)"""

    _method = "ppo"
    _draws = True

    learning_rate: Optional[float] = None
    """Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 3e-6."""
    kl_coef: Optional[float] = None
    """β, the weight of the KL penalty: ppo takes it from the reward of every token, rloo from that of a completion, grpo
    adds it to the loss. At least 0. None: 0.05."""
    kl_estimator: str = "k1"
    """KL of a token from k = log π − log π_ref. k1 is k, k3 is e^−k − 1 + k. One of "k1", "k3"."""
    kl_target: Optional[float] = None
    """KL of a completion, in nats, that kl_coef is steered towards after each rollout. At least 1e-9. None: kl_coef is
    fixed. Source: Ziegler et al. 2019; not in TRL 1.16."""
    kl_horizon: float = 10000.0
    """Completions over which kl_coef adapts to kl_target. More than 0."""
    max_kl: Optional[float] = 200.0
    """Stop the run when the mean KL of a rollout's completions, in nats, is above this. At least 0. None: never. Source:
    not in TRL."""
    cliprange: float = 0.2
    """ε of PPO's clipped objective: how far the ratio π/π_old counts. At least 0."""
    cliprange_value: float = 0.2
    """How far a value may move from the rollout's before the loss stops following. At least 0."""
    vf_coef: float = 0.1
    """Weight of the value function's loss. At least 0."""
    gamma: float = 1.0
    """γ, discount of later rewards. 0 to 1."""
    lam: float = 0.95
    """λ of generalised advantage estimation. 0 to 1."""
    whiten_rewards: bool = False
    """Scale the rewards of a rollout to variance 1."""
    num_ppo_epochs: Optional[int] = None
    """Passes over each rollout. 1 to 1000. None: 4."""
    num_mini_batches: int = 1
    """Optimiser steps that a pass over a rollout is divided into. A rollout has per_device_train_batch_size ×
    gradient_accumulation_steps rows. 1 to 1000000."""
    max_completion_length: Optional[int] = None
    """Most tokens of a completion that the policy draws. At least 1. None: 53."""
    temperature: Optional[float] = None
    """Temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it. 0.001 to 1000. None: 0.7."""
    missing_eos_penalty: Optional[float] = None
    """Taken from the score of a completion that does not end by itself. At least 0. None: none."""


@dataclass
class RLOOConfig(TrainingConfig, RewardedConfig):
    """RLOO: PPO without a value function; an answer is compared with the mean of the prompt's other answers. (Ahmadian et
    al. 2024.)"""

    _method = "rloo"
    _draws = True

    learning_rate: Optional[float] = None
    """Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 1e-6."""
    kl_coef: Optional[float] = None
    """β, the weight of the KL penalty: ppo takes it from the reward of every token, rloo from that of a completion, grpo
    adds it to the loss. At least 0. None: 0.05."""
    kl_target: Optional[float] = None
    """KL of a completion, in nats, that kl_coef is steered towards after each rollout. At least 1e-9. None: kl_coef is
    fixed. Source: Ziegler et al. 2019; not in TRL 1.16."""
    kl_horizon: float = 10000.0
    """Completions over which kl_coef adapts to kl_target. More than 0."""
    max_kl: Optional[float] = 200.0
    """Stop the run when the mean KL of a rollout's completions, in nats, is above this. At least 0. None: never. Source:
    not in TRL."""
    cliprange: float = 0.2
    """ε of PPO's clipped objective: how far the ratio π/π_old counts. At least 0."""
    num_ppo_epochs: Optional[int] = None
    """Passes over each rollout. 1 to 1000. None: 1."""
    num_mini_batches: int = 1
    """Optimiser steps that a pass over a rollout is divided into. A rollout has per_device_train_batch_size ×
    gradient_accumulation_steps rows. 1 to 1000000."""
    num_generations: Optional[int] = None
    """Completions of each prompt. 2 to 1024. None: 2."""
    max_completion_length: Optional[int] = None
    """Most tokens of a completion that the policy draws. At least 1. None: 512."""
    temperature: Optional[float] = None
    """Temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it. 0.001 to 1000. None: 1."""
    missing_eos_penalty: Optional[float] = None
    """Taken from the score of a completion that does not end by itself. At least 0. None: none."""
    router_aux_loss_coef: Optional[float] = None
    """Weight of the auxiliary loss of a mixture's routers, which is the lower the more evenly they use the experts; 0:
    without it. Other models have none. At least 0. None: what the model's config.json says, 0.01 or 0.001 without it."""


@dataclass
class GRPOConfig(TrainingConfig, RewardedConfig):
    """GRPO: an answer's advantage is its reward, standardised among the answers to the same prompt. (Shao et al. 2024.)"""

    _method = "grpo"
    _draws = True

    learning_rate: Optional[float] = None
    """Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 1e-6."""
    kl_coef: Optional[float] = None
    """β, the weight of the KL penalty: ppo takes it from the reward of every token, rloo from that of a completion, grpo
    adds it to the loss. At least 0. None: 0."""
    max_kl: Optional[float] = 200.0
    """Stop the run when the mean KL of a rollout's completions, in nats, is above this. At least 0. None: never. Source:
    not in TRL."""
    cliprange: float = 0.2
    """ε of PPO's clipped objective: how far the ratio π/π_old counts. At least 0."""
    num_ppo_epochs: Optional[int] = None
    """Passes over each rollout. 1 to 1000. None: 1."""
    num_mini_batches: int = 1
    """Optimiser steps that a pass over a rollout is divided into. A rollout has per_device_train_batch_size ×
    gradient_accumulation_steps rows. 1 to 1000000."""
    num_generations: Optional[int] = None
    """Completions of each prompt. 2 to 1024. None: 8."""
    max_completion_length: Optional[int] = None
    """Most tokens of a completion that the policy draws. At least 1. None: 512."""
    temperature: Optional[float] = None
    """Temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it. 0.001 to 1000. None: 1."""
    missing_eos_penalty: Optional[float] = None
    """Taken from the score of a completion that does not end by itself. At least 0. None: none."""
    router_aux_loss_coef: Optional[float] = None
    """Weight of the auxiliary loss of a mixture's routers, which is the lower the more evenly they use the experts; 0:
    without it. Other models have none. At least 0. None: what the model's config.json says, 0.01 or 0.001 without it."""
    use_bias_correction_kl: bool = True
    """Multiply the KL penalty of each token by its ratio π/π_old, so that its gradient is that of the KL from the
    reference, without bias. Source: TRL; DeepSeek-V3.2."""


@dataclass
class OnlineDPOConfig(TrainingConfig, RewardedConfig):
    """Online DPO: the policy answers each prompt several times, and DPO learns from its best and its worst answer. (Guo et
    al. 2024.)"""

    _method = "online_dpo"
    _draws = True

    learning_rate: Optional[float] = None
    """Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 5e-7."""
    loss_type: Union[str, Sequence[str]] = "sigmoid"
    """The loss; several are summed with loss_weights. dpo and online_dpo: the DPO losses. cpo: sigmoid, hinge, ipo, simpo
    or alphapo. kto: kto or apo_zero_unpaired. sft: nll or dft. A method that finds the default here takes its own.
    Source: paper, equation 7: sigmoid."""
    loss_weights: Optional[Sequence[float]] = None
    """Weight of each loss in loss_type; empty: 1 each."""
    beta: float = 0.1
    """β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo: the paper's λ.
    More than 0. Source: paper, equation 3."""
    label_smoothing: float = 0.0
    """ε, the share of labels that are assumed to be swapped. For the losses exo_pair, robust, aot, aot_unpaired and
    conservative, and for cpo. 0 to 1."""
    f_divergence_type: str = "reverse_kl"
    """The divergence from the reference model that the loss assumes. The paper's is reverse_kl. One of "reverse_kl",
    "forward_kl", "js_divergence", "alpha_divergence"."""
    f_alpha_divergence_coef: float = 0.5
    """Coefficient of alpha_divergence."""
    discopop_tau: float = 0.05
    """Temperature of the discopop loss. More than 0."""
    ld_alpha: Optional[float] = None
    """LD-DPO: weight of the tokens that the longer completion has beyond the shorter one. 0 to 1. None: 1."""
    use_weighting: bool = False
    """WPO: weight each pair by how likely the policy is to write it."""
    max_kl: Optional[float] = 200.0
    """Stop the run when the mean KL of a rollout's completions, in nats, is above this. At least 0. None: never. Source:
    not in TRL."""
    num_ppo_epochs: Optional[int] = None
    """Passes over each rollout. 1 to 1000. None: 1."""
    num_mini_batches: int = 1
    """Optimiser steps that a pass over a rollout is divided into. A rollout has per_device_train_batch_size ×
    gradient_accumulation_steps rows. 1 to 1000000."""
    num_generations: Optional[int] = None
    """Completions of each prompt. 2 to 1024. None: 2."""
    max_completion_length: Optional[int] = None
    """Most tokens of a completion that the policy draws. At least 1. None: 64."""
    temperature: Optional[float] = None
    """Temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it. 0.001 to 1000. None: 0.9."""
    missing_eos_penalty: Optional[float] = None
    """Taken from the score of a completion that does not end by itself. At least 0. None: none."""
