//! Preference-tune the language model that your program already runs, inside your program.
//!
//! Six levels, as in `dpo.h`: [`loss`] and its kin on log-probs from any engine; [`Model`] for log-probs and answers;
//! [`Trainer::step`] and its parts; [`Trainer::run`]; [`export`] and [`Classifier`] around them; [`Feedback`].
//!
//! Handles are released when they are dropped, in any order, and may be used from any thread. An [`Error`] has a status
//! and one sentence that names the file, the place and what was expected. Options are structs of `Option`s: `None` is the
//! library's default. JSON is text, to be read with the crate that you use.

mod classifier;
mod communicator;
mod dataset;
mod error;
mod feedback;
mod files;
mod losses;
mod model;
mod native;
#[rustfmt::skip]
mod options;
mod trainer;

pub use classifier::Classifier;
pub use communicator::{Collectives, Communicator};
pub use dataset::{Dataset, DatasetInfo, Pair, PairIds, Reading};
pub use error::{Error, Result, Status};
pub use feedback::{Feedback, FeedbackResult, Outcome};
pub use files::{create_model, export, export_check, inspect, train_tokenizer, ExportFormat};
pub use losses::{
    bradley_terry, gae, loss, policy_divergence, policy_optimum, policy_rewards, ppo_loss, ranked_loss, FDivergence,
    LossOptions, Losses, Pairs, PpoLoss, PpoOptions, RankedLosses, Ranking, Values,
};
pub use model::{
    Completion, CompletionIds, Completions, Evaluation, Judge, Model, ModelInfo, OpenOptions, Score, Token, TokenScores,
};
pub use options::{
    ExportOptions, FeedbackOptions, GenerationOptions, Loss, ModelShape, TokenizerOptions, TrainOptions,
};
pub use trainer::{Answer, Canceller, Event, Forward, Metrics, Parameter, Resume, Trainer};

/// The version of the library that runs, such as "0.1.0".
pub fn version() -> &'static str {
    let text = unsafe { std::ffi::CStr::from_ptr(libdpo_sys::dpo_version()) };
    text.to_str().unwrap_or_default()
}
