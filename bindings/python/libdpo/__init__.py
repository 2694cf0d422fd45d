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
    BCOConfig, CPOConfig, DPOConfig, KTOConfig, LoraConfig, ORPOConfig, PretrainConfig, RankedConfig, RewardConfig, SFTConfig,
    UnlikelihoodConfig, describe_options,
)
from .dataset import Dataset, DatasetInfo
from .errors import (
    CancelledError, DPOError, FileError, FormatError, InternalError, InvalidArgumentError, MismatchError,
    NonFiniteError, OutOfMemoryError, StateError, UnsupportedError,
)
from .feedback import Feedback, FeedbackResult
from .losses import LOSS_TYPES, DPOLoss, RankedLoss, dpo_loss, ranked_loss
from .model import Completion, Model, ModelInfo, TextScore, export, inspect
from .new_model import create_model, train_tokenizer
from .trainer import (
    BCOTrainer, CPOTrainer, DPOTrainer, Forward, KTOTrainer, ORPOTrainer, PretrainTrainer, RankedTrainer, RewardTrainer, SFTTrainer,
    TrainerCallback, TrainerControl, TrainerState, TrainOutput, UnlikelihoodTrainer,
)

__version__: str = _lib.dpo_version().decode()

__all__ = [
    "BCOConfig", "BCOTrainer", "CPOConfig", "CPOTrainer", "CancelledError", "Completion", "DPOConfig", "DPOError",
    "DPOLoss", "DPOTrainer", "Dataset", "DatasetInfo", "Feedback", "FeedbackResult", "FileError", "FormatError", "Forward", "InternalError",
    "InvalidArgumentError", "KTOConfig", "KTOTrainer", "LOSS_TYPES", "LoraConfig", "MismatchError", "Model",
    "ModelInfo", "NonFiniteError", "ORPOConfig", "ORPOTrainer", "OptimalPolicy", "OutOfMemoryError", "PretrainConfig", "PretrainTrainer", "RankedConfig",
    "RankedLoss", "RankedTrainer", "RewardConfig", "RewardTrainer", "SFTConfig", "SFTTrainer", "StateError",
    "TextClassifier", "TextScore", "TrainOutput", "TrainerCallback", "TrainerControl", "TrainerState",
    "UnlikelihoodConfig", "UnlikelihoodTrainer", "UnsupportedError", "bradley_terry", "create_model", "describe_options", "divergence",
    "dpo_loss", "export", "implicit_rewards", "inspect", "optimal_policy", "ranked_loss", "train_tokenizer",
]
