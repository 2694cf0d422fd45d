"""libdpo: preference-tune the language model that your program already runs, inside your program.

    from libdpo import DPOConfig, DPOTrainer, LoraConfig

    trainer = DPOTrainer(
        "model.gguf", args=DPOConfig(output_dir="run", learning_rate=1e-4), train_dataset="pairs.jsonl",
        peft_config=LoraConfig(r=16, target_modules="all-linear"))
    trainer.train()

Names and defaults are those of TRL. Nothing but this package is needed; with NumPy installed, arrays go in without a copy
and come out as NumPy arrays.
"""

from ._native import lib as _lib
from .classifier import TextClassifier
from .closed_form import OptimalPolicy, bradley_terry, divergence, implicit_rewards, optimal_policy
from .config import (
    BCOConfig, CPOConfig, DPOConfig, GRPOConfig, KTOConfig, LoraConfig, OnlineDPOConfig, ORPOConfig, PPOConfig, PretrainConfig,
    RankedConfig, RewardConfig, RLOOConfig, SFTConfig, UnlikelihoodConfig, describe_options,
)
from .dataset import Dataset, DatasetInfo
from .errors import (
    CancelledError, DivergedError, DPOError, FileError, FormatError, InternalError, InvalidArgumentError, MismatchError,
    NonFiniteError, OutOfMemoryError, StateError, UnsupportedError,
)
from .feedback import Feedback, FeedbackResult
from .losses import LOSS_TYPES, DPOLoss, PPOLoss, RankedLoss, dpo_loss, gae, ppo_loss, ranked_loss
from .model import Completion, Model, ModelInfo, TextScore, export, inspect
from .new_model import create_model, train_tokenizer
from .trainer import (
    Answer, BCOTrainer, CPOTrainer, DPOTrainer, Forward, GRPOTrainer, KTOTrainer, OnlineDPOTrainer, ORPOTrainer, PPOTrainer,
    PretrainTrainer, RankedTrainer, RewardTrainer, RLOOTrainer, SFTTrainer, TrainerCallback, TrainerControl, TrainerState,
    TrainOutput, UnlikelihoodTrainer,
)

__version__: str = _lib.dpo_version().decode()

__all__ = [
    "Answer", "BCOConfig", "BCOTrainer", "CPOConfig", "CPOTrainer", "CancelledError", "Completion", "DPOConfig", "DPOError",
    "DPOLoss", "DPOTrainer", "Dataset", "DatasetInfo", "DivergedError", "Feedback", "FeedbackResult", "FileError",
    "FormatError", "Forward", "GRPOConfig", "GRPOTrainer", "InternalError", "InvalidArgumentError", "KTOConfig",
    "KTOTrainer", "LOSS_TYPES", "LoraConfig", "MismatchError", "Model", "ModelInfo", "NonFiniteError", "ORPOConfig",
    "ORPOTrainer", "OnlineDPOConfig", "OnlineDPOTrainer", "OptimalPolicy", "OutOfMemoryError", "PPOConfig", "PPOLoss",
    "PPOTrainer", "PretrainConfig", "PretrainTrainer", "RLOOConfig", "RLOOTrainer", "RankedConfig", "RankedLoss",
    "RankedTrainer", "RewardConfig", "RewardTrainer", "SFTConfig", "SFTTrainer", "StateError", "TextClassifier",
    "TextScore", "TrainOutput", "TrainerCallback", "TrainerControl", "TrainerState", "UnlikelihoodConfig",
    "UnlikelihoodTrainer", "UnsupportedError", "bradley_terry", "create_model", "describe_options", "divergence",
    "dpo_loss", "export", "gae", "implicit_rewards", "inspect", "optimal_policy", "ppo_loss", "ranked_loss",
    "train_tokenizer",
]
