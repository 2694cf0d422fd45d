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
from .config import DPOConfig, KTOConfig, LoraConfig, PretrainConfig, RewardConfig, SFTConfig, describe_options
from .dataset import Dataset, DatasetInfo
from .errors import (
    CancelledError, DPOError, FileError, FormatError, InternalError, InvalidArgumentError, MismatchError,
    NonFiniteError, OutOfMemoryError, StateError, UnsupportedError,
)
from .losses import LOSS_TYPES, DPOLoss, dpo_loss
from .model import Completion, Model, ModelInfo, TextScore, export, inspect
from .new_model import create_model, train_tokenizer
from .trainer import (
    DPOTrainer, Forward, KTOTrainer, PretrainTrainer, RewardTrainer, SFTTrainer, TrainerCallback, TrainerControl,
    TrainerState, TrainOutput,
)

__version__: str = _lib.dpo_version().decode()

__all__ = [
    "CancelledError", "Completion", "DPOConfig", "DPOError", "DPOLoss", "DPOTrainer", "Dataset", "DatasetInfo",
    "FileError", "FormatError", "Forward", "InternalError", "InvalidArgumentError", "LOSS_TYPES", "LoraConfig",
    "KTOConfig", "KTOTrainer", "MismatchError", "Model", "ModelInfo", "NonFiniteError", "OptimalPolicy", "OutOfMemoryError",
    "PretrainConfig", "PretrainTrainer", "RewardConfig", "RewardTrainer", "SFTConfig", "SFTTrainer", "StateError",
    "TextClassifier", "TextScore", "TrainOutput", "TrainerCallback", "TrainerControl", "TrainerState", "UnsupportedError",
    "bradley_terry", "create_model", "describe_options", "divergence", "dpo_loss", "export", "implicit_rewards", "inspect",
    "optimal_policy", "train_tokenizer",
]
