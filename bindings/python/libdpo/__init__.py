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
    DPOConfig, GRPOConfig, KTOConfig, LoraConfig, OnlineDPOConfig, PPOConfig, RewardConfig, RLOOConfig, SFTConfig,
    describe_options,
)
from .dataset import Dataset, DatasetInfo
from .errors import (
    CancelledError, DivergedError, DPOError, FileError, FormatError, InternalError, InvalidArgumentError, MismatchError,
    NonFiniteError, OutOfMemoryError, StateError, UnsupportedError,
)
from .losses import LOSS_TYPES, DPOLoss, PPOLoss, dpo_loss, gae, ppo_loss
from .model import Completion, Model, ModelInfo, TextScore, export, inspect
from .trainer import (
    Answer, DPOTrainer, Forward, GRPOTrainer, KTOTrainer, OnlineDPOTrainer, PPOTrainer, RewardTrainer, RLOOTrainer,
    SFTTrainer, TrainerCallback, TrainerControl, TrainerState, TrainOutput,
)

__version__: str = _lib.dpo_version().decode()

__all__ = [
    "Answer", "CancelledError", "Completion", "DPOConfig", "DPOError", "DPOLoss", "DPOTrainer", "Dataset",
    "DatasetInfo", "DivergedError", "FileError", "FormatError", "Forward", "GRPOConfig", "GRPOTrainer",
    "InternalError", "InvalidArgumentError", "KTOConfig", "KTOTrainer", "LOSS_TYPES", "LoraConfig", "MismatchError",
    "Model", "ModelInfo", "NonFiniteError", "OnlineDPOConfig", "OnlineDPOTrainer", "OptimalPolicy",
    "OutOfMemoryError", "PPOConfig", "PPOLoss", "PPOTrainer", "RLOOConfig", "RLOOTrainer", "RewardConfig",
    "RewardTrainer", "SFTConfig", "SFTTrainer", "StateError", "TextClassifier", "TextScore", "TrainOutput",
    "TrainerCallback", "TrainerControl", "TrainerState", "UnsupportedError", "bradley_terry", "describe_options",
    "divergence", "dpo_loss", "export", "gae", "implicit_rewards", "inspect", "optimal_policy", "ppo_loss",
]
