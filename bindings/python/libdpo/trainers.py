"""Made by options/generate.py from the tables beside it: a trainer a method, under TRL's names."""

from __future__ import annotations

from . import configs
from .trainer import PolicyTrainer, ReferenceTrainer, RolloutTrainer

__all__ = [
    "DPOTrainer", "RankedTrainer", "SFTTrainer", "PretrainTrainer", "KTOTrainer", "BCOTrainer", "CPOTrainer",
    "ORPOTrainer", "UnlikelihoodTrainer", "RewardTrainer", "PPOTrainer", "RLOOTrainer", "GRPOTrainer",
    "OnlineDPOTrainer",
]


class DPOTrainer(ReferenceTrainer):
    """Direct preference optimisation of ``model`` on pairs, as TRL's class of this name does it.

    ``model``: a path or a ``Model``; opened with an adapter, training goes on from it. ``ref_model``: None is the model
    as it was opened. ``train_dataset`` and ``eval_dataset``: see ``Dataset``. ``peft_config``: a ``LoraConfig``
    (PEFT's, too) for a new adapter; without one and without ``args.lora_r`` every weight is trained.
    """

    _config = configs.DPOConfig


class RankedTrainer(ReferenceTrainer):
    """DPO on ranked answers: rows of ``prompt``, ``completions`` and ``ranks`` (lower is better) or ``scores`` (higher is
    better), or pairs.
    """

    _config = configs.RankedConfig


class SFTTrainer(PolicyTrainer):
    """Supervised fine-tuning on texts, messages, prompts with completions, or the chosen side of pairs."""

    _config = configs.SFTConfig


class PretrainTrainer(PolicyTrainer):
    """Pretraining on text: rows of ``text``, a text file, or a directory. Evaluation gives ``eval_perplexity``."""

    _config = configs.PretrainConfig


class KTOTrainer(ReferenceTrainer):
    """KTO on thumbs up and down: rows of ``prompt``, ``completion`` and ``label``, or pairs, which are taken apart."""

    _config = configs.KTOConfig


class BCOTrainer(ReferenceTrainer):
    """BCO on thumbs up and down, rows as for ``KTOTrainer``."""

    _config = configs.BCOConfig


class CPOTrainer(PolicyTrainer):
    """CPO, SimPO or AlphaPO (``CPOConfig.loss_type``) on pairs."""

    _config = configs.CPOConfig


class ORPOTrainer(PolicyTrainer):
    """ORPO on pairs."""

    _config = configs.ORPOConfig


class UnlikelihoodTrainer(PolicyTrainer):
    """The DPO paper's unlikelihood baseline on pairs."""

    _config = configs.UnlikelihoodConfig


class RewardTrainer(PolicyTrainer):
    """A reward model from pairs, as TRL's class of this name trains it: a score head on ``model``, read at the last token.

    What it saves is opened by ``Model``, whose ``rewards`` then scores text; exported to "safetensors", transformers'
    ``AutoModelForSequenceClassification`` loads it.
    """

    _config = configs.RewardConfig


class PPOTrainer(RolloutTrainer):
    """RLHF's policy optimisation: PPO with a value function on the policy, and a KL penalty at every token."""

    _config = configs.PPOConfig


class RLOOTrainer(RolloutTrainer):
    """PPO's objective without a value function: a completion's reward against the others of its prompt."""

    _config = configs.RLOOConfig


class GRPOTrainer(RolloutTrainer):
    """The same with standardised groups and the penalty in the loss."""

    _config = configs.GRPOConfig


class OnlineDPOTrainer(RolloutTrainer):
    """DPO on pairs of the policy's own answers, judged by ``reward``."""

    _config = configs.OnlineDPOConfig
