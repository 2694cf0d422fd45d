"""libdpo: preference-tune the language model that your program already runs, inside your program.

    from libdpo import DPOConfig, DPOTrainer, LoraConfig

    trainer = DPOTrainer(
        "model.gguf", args=DPOConfig(output_dir="run", learning_rate=1e-4),
        train_dataset="pairs.jsonl", peft_config=LoraConfig(r=16, target_modules="all-linear"))
    trainer.train()

Names and defaults are those of TRL. Nothing but this package is needed; with NumPy installed, arrays go in without a copy
and come out as NumPy arrays.
"""

from . import configs as _configs, trainers as _trainers
from ._native import lib as _lib
from .callbacks import (
    EarlyStoppingCallback, PrinterCallback, ProgressCallback, TrainerCallback, TrainerControl, TrainerState,
)
from .classifier import TextClassifier
from .closed_form import OptimalPolicy, bradley_terry, divergence, implicit_rewards, optimal_policy
from .config import LoraConfig, RunConfig, describe_options
from .configs import *
from .configs import TrainingConfig
from .dataset import Dataset, DatasetInfo
from .distributed import Communicator
from .errors import (
    CancelledError, DivergedError, DPOError, FileError, FormatError, InternalError, InvalidArgumentError, MismatchError,
    NonFiniteError, OutOfMemoryError, StateError, UnsupportedError,
)
from .feedback import Feedback, FeedbackResult
from .losses import LOSS_TYPES, DPOLoss, PPOLoss, RankedLoss, dpo_loss, gae, ppo_loss, ranked_loss
from .model import Completion, Model, ModelInfo, TextScore, export, inspect
from .new_model import create_model, train_tokenizer
from .rewards import Answer
from .trainer import (
    EvalPrediction, Forward, PolicyTrainer, PredictionOutput, ReferenceTrainer, RolloutTrainer, Trainer, TrainOutput,
)
from .trainers import *

__version__: str = _lib.dpo_version().decode()

__all__ = [
    *_trainers.__all__, "Trainer", "ReferenceTrainer", "PolicyTrainer", "RolloutTrainer", *_configs.__all__, "TrainingConfig",
    "RunConfig", "LoraConfig",
    "Answer", "CancelledError", "Communicator", "Completion", "DPOError", "DPOLoss", "Dataset", "DatasetInfo", "DivergedError",
    "EarlyStoppingCallback", "EvalPrediction", "Feedback", "FeedbackResult", "FileError", "FormatError", "Forward",
    "InternalError", "InvalidArgumentError", "LOSS_TYPES", "MismatchError", "Model", "ModelInfo", "NonFiniteError",
    "OptimalPolicy", "OutOfMemoryError", "PPOLoss", "PredictionOutput", "PrinterCallback", "ProgressCallback",
    "RankedLoss", "StateError", "TextClassifier", "TextScore", "TrainOutput", "TrainerCallback", "TrainerControl",
    "TrainerState", "UnsupportedError", "bradley_terry", "create_model", "describe_options", "divergence",
    "dpo_loss", "export", "gae", "implicit_rewards", "inspect", "optimal_policy", "ppo_loss", "ranked_loss",
    "train_tokenizer",
]
