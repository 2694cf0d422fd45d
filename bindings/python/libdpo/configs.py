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

    #: Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 2e-5 for sft, 5e-4 for
    #: pretrain, 1e-4 for reward, 3e-6 for ppo, 5e-7 for online_dpo, 1e-6 for the others.
    learning_rate: Optional[float] = None
    #: How the learning rate changes over the steps. One of "linear", "cosine", "constant", "constant_with_warmup",
    #: "cosine_with_restarts", "polynomial", "inverse_sqrt".
    lr_scheduler_type: str = "linear"
    #: Steps over which the rate rises from 0; below 1: that fraction of all steps. 0 to 2147483647.
    warmup_steps: float = 0.0
    #: AdamW's decoupled weight decay. Biases and norms are exempt. At least 0.
    weight_decay: float = 0.0
    #: Decay of AdamW's first moment. 0 to 0.999999999.
    adam_beta1: float = 0.9
    #: Decay of AdamW's second moment. 0 to 0.999999999.
    adam_beta2: float = 0.999
    #: Added to AdamW's denominator. At least 0.
    adam_epsilon: float = 1e-8
    #: Gradients are scaled down to this global norm; 0: never. At least 0.
    max_grad_norm: float = 1.0
    #: Rows of a micro-batch. pretrain, and sft with packing: sequences of max_length tokens. At least 1.
    per_device_train_batch_size: int = 8
    #: Rows of an evaluation batch. At least 1.
    per_device_eval_batch_size: int = 8
    #: Micro-batches of an optimiser step. At least 1.
    gradient_accumulation_steps: int = 1
    #: Passes over the data, unless max_steps is set. More than 0, at most 1000000.
    num_train_epochs: float = 3.0
    #: Optimiser steps; -1: as many as num_train_epochs gives. At least -1.
    max_steps: int = -1
    #: A new order of rows each epoch, as TRL draws it. Source: TRL: shuffle_dataset.
    shuffle: bool = True
    #: Seed of the row order, of LoRA's first weights and of dropout. 0 to 4294967295.
    seed: int = 42
    #: Seed of the row order alone. 0 to 4294967295. None: seed.
    data_seed: Optional[int] = None
    #: Tokens of prompt and completion that are kept. pretrain: longer documents are cut into such pieces. At least 1.
    #: None: all of them.
    max_length: Optional[int] = 1024
    #: Which end of a row longer than max_length is kept. One of "keep_start", "keep_end".
    truncation_mode: str = "keep_start"
    #: Rank of a new LoRA adapter; 0: train every weight. 0 to 65536. Source: PEFT: r.
    lora_r: int = 0
    #: The adapter is scaled by lora_alpha / lora_r. At least 0. None: lora_r.
    lora_alpha: Optional[float] = None
    #: Dropout before the adapter's matrix A. Needs disable_dropout off. 0 to 0.999999.
    lora_dropout: float = 0.0
    #: Modules that get an adapter: names such as q_proj, or all-linear; empty: PEFT's choice for the family. Source:
    #: PEFT: target_modules.
    lora_target_modules: Optional[Union[str, Sequence[str]]] = None
    #: Scale by lora_alpha / √lora_r instead.
    use_rslora: bool = False
    #: What the adapter's matrix A is drawn from. B starts at 0. One of "kaiming", "gaussian".
    init_lora_weights: str = "kaiming"
    #: No dropout in policy and reference model.
    disable_dropout: bool = True
    #: Steps between evaluations; 0: at the end of every epoch. At least 0.
    eval_steps: int = 0
    #: Steps between checkpoints; 0: only the final model. At least 0.
    save_steps: int = 500
    #: Checkpoints that are kept; the oldest go first. At least 1. None: all.
    save_total_limit: Optional[int] = None
    #: Steps between writes of the one file that a crashed run resumes from; 0: never, -1: every step for LoRA, never
    #: for full training. At least -1. Source: not in TRL.
    autosave_steps: int = -1
    #: Start anew in a directory that holds an earlier run.
    overwrite_output_dir: bool = False
    #: Keep each block's input alone and compute the rest again in the backward pass: less memory, the same numbers.
    gradient_checkpointing: bool = False
    #: Arithmetic of the linear layers. Weights, sums and log-probs are fp32 in both; bf16 is faster on processors that
    #: have instructions for it and takes the time of fp32 elsewhere. One of "fp32", "bf16".
    precision: str = "fp32"
    #: Compute threads; 0: one a core. Results do not depend on it. 0 to 1024.
    threads: int = 0
    #: Refuse a run whose plan needs more MiB; 0: what the machine has free. At least 0.
    memory_limit_mb: int = 0
    #: Inner loops to compute with; auto: the best for this processor. Engines differ in the last bits of their results.
    #: One of "auto", "avx512", "avx2", "neon", "portable", "openblas".
    engine: str = "auto"


@dataclass
class DPOConfig(TrainingConfig):
    """Direct preference optimisation on pairs. (Rafailov et al. 2023, equation 7.)"""

    _method = "dpo"

    #: Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 1e-6.
    learning_rate: Optional[float] = None
    #: The loss; several are summed with loss_weights. dpo and online_dpo: the DPO losses. cpo: sigmoid, hinge, ipo,
    #: simpo or alphapo. kto: kto or apo_zero_unpaired. sft: nll or dft. A method that finds the default here takes its
    #: own. Source: paper, equation 7: sigmoid.
    loss_type: Union[str, Sequence[str]] = "sigmoid"
    #: Weight of each loss in loss_type; empty: 1 each.
    loss_weights: Optional[Sequence[float]] = None
    #: β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo: the paper's
    #: λ. More than 0. Source: paper, equation 3.
    beta: float = 0.1
    #: ε, the share of labels that are assumed to be swapped. For the losses exo_pair, robust, aot, aot_unpaired and
    #: conservative, and for cpo. 0 to 1.
    label_smoothing: float = 0.0
    #: The divergence from the reference model that the loss assumes. The paper's is reverse_kl. One of "reverse_kl",
    #: "forward_kl", "js_divergence", "alpha_divergence".
    f_divergence_type: str = "reverse_kl"
    #: Coefficient of alpha_divergence.
    f_alpha_divergence_coef: float = 0.5
    #: Temperature of the discopop loss. More than 0.
    discopop_tau: float = 0.05
    #: LD-DPO: weight of the tokens that the longer completion has beyond the shorter one. 0 to 1. None: 1.
    ld_alpha: Optional[float] = None
    #: WPO: weight each pair by how likely the policy is to write it.
    use_weighting: bool = False
    #: Take the reference model's log-probs as 0.
    reference_free: bool = False
    #: Compute the reference log-probs of all rows before the first step, and keep them in the output directory.
    precompute_ref_log_probs: bool = False
    #: TR-DPO: move the reference model towards the policy every ref_model_sync_steps. Full training only.
    sync_ref_model: bool = False
    #: TR-DPO: weight of the policy in the new reference model. 0 to 1.
    ref_model_mixup_alpha: float = 0.6
    #: TR-DPO: optimiser steps between two syncs. At least 1.
    ref_model_sync_steps: int = 512


@dataclass
class RankedConfig(TrainingConfig):
    """DPO on rankings of more than two answers, by the Plackett–Luce model. (Rafailov et al. 2023, appendix A.3.)"""

    _method = "ranked"

    #: Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 1e-6.
    learning_rate: Optional[float] = None
    #: β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo: the paper's
    #: λ. More than 0. Source: paper, equation 3.
    beta: float = 0.1
    #: Take the reference model's log-probs as 0.
    reference_free: bool = False
    #: Compute the reference log-probs of all rows before the first step, and keep them in the output directory.
    precompute_ref_log_probs: bool = False
    #: TR-DPO: move the reference model towards the policy every ref_model_sync_steps. Full training only.
    sync_ref_model: bool = False
    #: TR-DPO: weight of the policy in the new reference model. 0 to 1.
    ref_model_mixup_alpha: float = 0.6
    #: TR-DPO: optimiser steps between two syncs. At least 1.
    ref_model_sync_steps: int = 512


@dataclass
class SFTConfig(TrainingConfig, TextConfig):
    """Supervised fine-tuning on demonstrations, or on the chosen side of pairs."""

    _method = "sft"

    #: Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 2e-5.
    learning_rate: Optional[float] = None
    #: The loss; several are summed with loss_weights. dpo and online_dpo: the DPO losses. cpo: sigmoid, hinge, ipo,
    #: simpo or alphapo. kto: kto or apo_zero_unpaired. sft: nll or dft. A method that finds the default here takes its
    #: own. Source: paper, equation 7: sigmoid.
    loss_type: Union[str, Sequence[str]] = "nll"
    #: On rows of prompt and completion: learn the completion only.
    completion_only_loss: bool = True
    #: On rows of messages: learn only what the chat template writes inside {% generation %}.
    assistant_only_loss: bool = False
    #: Fill sequences of max_length tokens with as many rows as fit, in TRL's order. Rows of one sequence never see each
    #: other. Batches then count such sequences.
    packing: bool = False


@dataclass
class PretrainConfig(TrainingConfig, TextConfig):
    """Next-token prediction on plain text."""

    _method = "pretrain"

    #: Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 5e-4.
    learning_rate: Optional[float] = None


@dataclass
class KTOConfig(TrainingConfig):
    """KTO on answers with a thumb up or down. (Ethayarajh et al. 2024.)"""

    _method = "kto"

    #: Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 1e-6.
    learning_rate: Optional[float] = None
    #: The loss; several are summed with loss_weights. dpo and online_dpo: the DPO losses. cpo: sigmoid, hinge, ipo,
    #: simpo or alphapo. kto: kto or apo_zero_unpaired. sft: nll or dft. A method that finds the default here takes its
    #: own. Source: paper, equation 7: sigmoid.
    loss_type: Union[str, Sequence[str]] = "kto"
    #: β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo: the paper's
    #: λ. More than 0. Source: paper, equation 3.
    beta: float = 0.1
    #: Factor on the loss of rows with a thumb up. At least 0.
    desirable_weight: float = 1.0
    #: Factor on the loss of rows with a thumb down. At least 0.
    undesirable_weight: float = 1.0
    #: Take the reference model's log-probs as 0.
    reference_free: bool = False
    #: Compute the reference log-probs of all rows before the first step, and keep them in the output directory.
    precompute_ref_log_probs: bool = False
    #: TR-DPO: move the reference model towards the policy every ref_model_sync_steps. Full training only.
    sync_ref_model: bool = False
    #: TR-DPO: weight of the policy in the new reference model. 0 to 1.
    ref_model_mixup_alpha: float = 0.6
    #: TR-DPO: optimiser steps between two syncs. At least 1.
    ref_model_sync_steps: int = 512


@dataclass
class BCOConfig(TrainingConfig):
    """BCO on answers with a thumb up or down: a classifier between the two, whose logit is the implicit reward. (Jung et
    al. 2024.)"""

    _method = "bco"

    #: Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 1e-6.
    learning_rate: Optional[float] = None
    #: β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo: the paper's
    #: λ. More than 0. Source: paper, equation 3.
    beta: float = 0.1
    #: Take the reference model's log-probs as 0.
    reference_free: bool = False
    #: Compute the reference log-probs of all rows before the first step, and keep them in the output directory.
    precompute_ref_log_probs: bool = False
    #: TR-DPO: move the reference model towards the policy every ref_model_sync_steps. Full training only.
    sync_ref_model: bool = False
    #: TR-DPO: weight of the policy in the new reference model. 0 to 1.
    ref_model_mixup_alpha: float = 0.6
    #: TR-DPO: optimiser steps between two syncs. At least 1.
    ref_model_sync_steps: int = 512


@dataclass
class CPOConfig(TrainingConfig):
    """CPO, SimPO or AlphaPO: pairs without a reference model. (Xu et al. 2024; Meng et al. 2024; Gupta et al. 2025.)"""

    _method = "cpo"

    #: Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 1e-6.
    learning_rate: Optional[float] = None
    #: The loss; several are summed with loss_weights. dpo and online_dpo: the DPO losses. cpo: sigmoid, hinge, ipo,
    #: simpo or alphapo. kto: kto or apo_zero_unpaired. sft: nll or dft. A method that finds the default here takes its
    #: own. Source: paper, equation 7: sigmoid.
    loss_type: Union[str, Sequence[str]] = "sigmoid"
    #: β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo: the paper's
    #: λ. More than 0. Source: paper, equation 3.
    beta: float = 0.1
    #: ε, the share of labels that are assumed to be swapped. For the losses exo_pair, robust, aot, aot_unpaired and
    #: conservative, and for cpo. 0 to 1.
    label_smoothing: float = 0.0
    #: Weight of the chosen completions' negative log-likelihood. SimPO as published has none: 0. At least 0.
    cpo_alpha: float = 1.0
    #: simpo's γ: the margin between the rewards that the loss asks for.
    simpo_gamma: float = 0.5
    #: AlphaPO's shape of the reward, (1 − p^−alpha) / alpha; 0: the log-prob.
    alpha: float = 0.0


@dataclass
class ORPOConfig(TrainingConfig):
    """ORPO: likelihood and odds ratio of pairs, without a reference model. (Hong et al. 2024.)"""

    _method = "orpo"

    #: Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 1e-6.
    learning_rate: Optional[float] = None
    #: β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo: the paper's
    #: λ. More than 0. Source: paper, equation 3.
    beta: float = 0.1


@dataclass
class UnlikelihoodConfig(TrainingConfig):
    """Log-likelihood of the chosen answer minus a part of that of the rejected one: the DPO paper's baseline. (Rafailov et
    al. 2023, section 6.)"""

    _method = "unlikelihood"

    #: Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 1e-6.
    learning_rate: Optional[float] = None
    #: Weight of the rejected completions' log-likelihood, which is taken from that of the chosen ones. 0 to 1. Source:
    #: paper, appendix C.2; not in TRL.
    unlikelihood_alpha: float = 1.0


@dataclass
class RewardConfig(TrainingConfig):
    """A reward model on pairs by the Bradley–Terry loss. Rows longer than max_length are left out. (Rafailov et al. 2023,
    equation 2.)"""

    _method = "reward"

    #: Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 1e-4.
    learning_rate: Optional[float] = None
    #: Weight of the mean of (chosen + rejected)², which keeps a reward model's scores near 0. At least 0. None: none;
    #: 0.01 is usual.
    center_rewards_coefficient: Optional[float] = None


@dataclass
class PPOConfig(TrainingConfig, RewardedConfig):
    """PPO: the policy answers prompts itself and learns from a reward, held to the reference model by a KL penalty.
    (Schulman et al. 2017; Ziegler et al. 2019.)"""

    _method = "ppo"
    _draws = True

    #: Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 3e-6.
    learning_rate: Optional[float] = None
    #: β, the weight of the KL penalty: ppo takes it from the reward of every token, rloo from that of a completion,
    #: grpo adds it to the loss. At least 0. None: 0.05.
    kl_coef: Optional[float] = None
    #: KL of a token from k = log π − log π_ref. k1 is k, k3 is e^−k − 1 + k. One of "k1", "k3".
    kl_estimator: str = "k1"
    #: KL of a completion, in nats, that kl_coef is steered towards after each rollout. At least 1e-9. None: kl_coef is
    #: fixed. Source: Ziegler et al. 2019; not in TRL 1.16.
    kl_target: Optional[float] = None
    #: Completions over which kl_coef adapts to kl_target. More than 0.
    kl_horizon: float = 10000.0
    #: Stop the run when the mean KL of a rollout's completions, in nats, is above this. At least 0. None: never.
    #: Source: not in TRL.
    max_kl: Optional[float] = 200.0
    #: ε of PPO's clipped objective: how far the ratio π/π_old counts. At least 0.
    cliprange: float = 0.2
    #: How far a value may move from the rollout's before the loss stops following. At least 0.
    cliprange_value: float = 0.2
    #: Weight of the value function's loss. At least 0.
    vf_coef: float = 0.1
    #: γ, discount of later rewards. 0 to 1.
    gamma: float = 1.0
    #: λ of generalised advantage estimation. 0 to 1.
    lam: float = 0.95
    #: Scale the rewards of a rollout to variance 1.
    whiten_rewards: bool = False
    #: Passes over each rollout. 1 to 1000. None: 4.
    num_ppo_epochs: Optional[int] = None
    #: Optimiser steps that a pass over a rollout is divided into. A rollout has per_device_train_batch_size ×
    #: gradient_accumulation_steps rows. 1 to 1000000.
    num_mini_batches: int = 1
    #: Most tokens of a completion that the policy draws. At least 1. None: 53.
    max_completion_length: Optional[int] = None
    #: Temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it. 0.001 to 1000. None: 0.7.
    temperature: Optional[float] = None
    #: Taken from the score of a completion that does not end by itself. At least 0. None: none.
    missing_eos_penalty: Optional[float] = None


@dataclass
class RLOOConfig(TrainingConfig, RewardedConfig):
    """RLOO: PPO without a value function; an answer is compared with the mean of the prompt's other answers. (Ahmadian et
    al. 2024.)"""

    _method = "rloo"
    _draws = True

    #: Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 1e-6.
    learning_rate: Optional[float] = None
    #: β, the weight of the KL penalty: ppo takes it from the reward of every token, rloo from that of a completion,
    #: grpo adds it to the loss. At least 0. None: 0.05.
    kl_coef: Optional[float] = None
    #: KL of a completion, in nats, that kl_coef is steered towards after each rollout. At least 1e-9. None: kl_coef is
    #: fixed. Source: Ziegler et al. 2019; not in TRL 1.16.
    kl_target: Optional[float] = None
    #: Completions over which kl_coef adapts to kl_target. More than 0.
    kl_horizon: float = 10000.0
    #: Stop the run when the mean KL of a rollout's completions, in nats, is above this. At least 0. None: never.
    #: Source: not in TRL.
    max_kl: Optional[float] = 200.0
    #: ε of PPO's clipped objective: how far the ratio π/π_old counts. At least 0.
    cliprange: float = 0.2
    #: Passes over each rollout. 1 to 1000. None: 1.
    num_ppo_epochs: Optional[int] = None
    #: Optimiser steps that a pass over a rollout is divided into. A rollout has per_device_train_batch_size ×
    #: gradient_accumulation_steps rows. 1 to 1000000.
    num_mini_batches: int = 1
    #: Completions of each prompt. 2 to 1024. None: 2.
    num_generations: Optional[int] = None
    #: Most tokens of a completion that the policy draws. At least 1. None: 512.
    max_completion_length: Optional[int] = None
    #: Temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it. 0.001 to 1000. None: 1.
    temperature: Optional[float] = None
    #: Taken from the score of a completion that does not end by itself. At least 0. None: none.
    missing_eos_penalty: Optional[float] = None


@dataclass
class GRPOConfig(TrainingConfig, RewardedConfig):
    """GRPO: an answer's advantage is its reward, standardised among the answers to the same prompt. (Shao et al. 2024.)"""

    _method = "grpo"
    _draws = True

    #: Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 1e-6.
    learning_rate: Optional[float] = None
    #: β, the weight of the KL penalty: ppo takes it from the reward of every token, rloo from that of a completion,
    #: grpo adds it to the loss. At least 0. None: 0.
    kl_coef: Optional[float] = None
    #: Stop the run when the mean KL of a rollout's completions, in nats, is above this. At least 0. None: never.
    #: Source: not in TRL.
    max_kl: Optional[float] = 200.0
    #: ε of PPO's clipped objective: how far the ratio π/π_old counts. At least 0.
    cliprange: float = 0.2
    #: Passes over each rollout. 1 to 1000. None: 1.
    num_ppo_epochs: Optional[int] = None
    #: Optimiser steps that a pass over a rollout is divided into. A rollout has per_device_train_batch_size ×
    #: gradient_accumulation_steps rows. 1 to 1000000.
    num_mini_batches: int = 1
    #: Completions of each prompt. 2 to 1024. None: 8.
    num_generations: Optional[int] = None
    #: Most tokens of a completion that the policy draws. At least 1. None: 512.
    max_completion_length: Optional[int] = None
    #: Temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it. 0.001 to 1000. None: 1.
    temperature: Optional[float] = None
    #: Taken from the score of a completion that does not end by itself. At least 0. None: none.
    missing_eos_penalty: Optional[float] = None


@dataclass
class OnlineDPOConfig(TrainingConfig, RewardedConfig):
    """Online DPO: the policy answers each prompt several times, and DPO learns from its best and its worst answer. (Guo et
    al. 2024.)"""

    _method = "online_dpo"
    _draws = True

    #: Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. None: 5e-7.
    learning_rate: Optional[float] = None
    #: The loss; several are summed with loss_weights. dpo and online_dpo: the DPO losses. cpo: sigmoid, hinge, ipo,
    #: simpo or alphapo. kto: kto or apo_zero_unpaired. sft: nll or dft. A method that finds the default here takes its
    #: own. Source: paper, equation 7: sigmoid.
    loss_type: Union[str, Sequence[str]] = "sigmoid"
    #: Weight of each loss in loss_type; empty: 1 each.
    loss_weights: Optional[Sequence[float]] = None
    #: β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo: the paper's
    #: λ. More than 0. Source: paper, equation 3.
    beta: float = 0.1
    #: ε, the share of labels that are assumed to be swapped. For the losses exo_pair, robust, aot, aot_unpaired and
    #: conservative, and for cpo. 0 to 1.
    label_smoothing: float = 0.0
    #: The divergence from the reference model that the loss assumes. The paper's is reverse_kl. One of "reverse_kl",
    #: "forward_kl", "js_divergence", "alpha_divergence".
    f_divergence_type: str = "reverse_kl"
    #: Coefficient of alpha_divergence.
    f_alpha_divergence_coef: float = 0.5
    #: Temperature of the discopop loss. More than 0.
    discopop_tau: float = 0.05
    #: LD-DPO: weight of the tokens that the longer completion has beyond the shorter one. 0 to 1. None: 1.
    ld_alpha: Optional[float] = None
    #: WPO: weight each pair by how likely the policy is to write it.
    use_weighting: bool = False
    #: Stop the run when the mean KL of a rollout's completions, in nats, is above this. At least 0. None: never.
    #: Source: not in TRL.
    max_kl: Optional[float] = 200.0
    #: Passes over each rollout. 1 to 1000. None: 1.
    num_ppo_epochs: Optional[int] = None
    #: Optimiser steps that a pass over a rollout is divided into. A rollout has per_device_train_batch_size ×
    #: gradient_accumulation_steps rows. 1 to 1000000.
    num_mini_batches: int = 1
    #: Completions of each prompt. 2 to 1024. None: 2.
    num_generations: Optional[int] = None
    #: Most tokens of a completion that the policy draws. At least 1. None: 64.
    max_completion_length: Optional[int] = None
    #: Temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it. 0.001 to 1000. None: 0.9.
    temperature: Optional[float] = None
    #: Taken from the score of a completion that does not end by itself. At least 0. None: none.
    missing_eos_penalty: Optional[float] = None
