use crate::classifier::Classifier;
use crate::communicator::Communicator;
use crate::dataset::Dataset;
use crate::error::{check, Result};
use crate::model::Model;
use crate::native::{borrowed_text, c_path, c_text, optional, returned_text, slice, Callback, Handle, OptionsHandle};
use crate::options::TrainOptions;
use libdpo_sys as sys;
use std::borrow::Cow;
use std::ffi::CStr;
use std::mem::{size_of, zeroed};
use std::ops::ControlFlow;
use std::os::raw::{c_char, c_void};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

/// A training of a model on a data set: whole with [`Trainer::run`], or step by step.
///
/// It keeps alive what it needs of the model and the data set, which may be dropped.
pub struct Trainer {
    handle: Arc<Handle<sys::dpo_trainer>>,
    reward: Option<Box<Callback<Reward>>>,
    reduce: Option<Box<Callback<Reduce>>>,
}

type Reward = Box<dyn FnMut(&[Answer], &mut [f64]) -> ControlFlow<()> + Send>;
type Reduce = Box<dyn FnMut(&mut [f32]) -> ControlFlow<()> + Send>;

/// Stops a trainer from anywhere: another thread, or a signal handler.
#[derive(Clone)]
pub struct Canceller(Arc<Handle<sys::dpo_trainer>>);

impl Canceller {
    /// Asks a running run, step, forward or evaluate to stop with [`Status::Cancelled`](crate::Status::Cancelled), within
    /// one micro-batch. If none is running, the next one stops at once.
    pub fn cancel(&self) {
        unsafe { sys::dpo_trainer_cancel(self.0.get()) }
    }
}

/// Metrics of a step or an evaluation, under TRL's names; NaN where a method has none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metrics {
    /// Optimiser steps done.
    pub step: i64,
    pub total_steps: i64,
    pub epoch: f64,
    pub loss: f64,
    /// Before clipping.
    pub grad_norm: f64,
    pub learning_rate: f64,
    pub rewards_chosen: f64,
    pub rewards_rejected: f64,
    /// Ties count as wrong.
    pub rewards_accuracies: f64,
    pub rewards_margins: f64,
    pub logps_chosen: f64,
    pub logps_rejected: f64,
    pub logits_chosen: f64,
    pub logits_rejected: f64,
    /// Nats a token.
    pub entropy: f64,
    pub mean_token_accuracy: f64,
    pub num_tokens: f64,
    /// Wall time of the step.
    pub seconds: f64,
}

impl Metrics {
    fn of(native: &sys::dpo_metrics) -> Metrics {
        Metrics {
            step: native.step,
            total_steps: native.total_steps,
            epoch: native.epoch,
            loss: native.loss,
            grad_norm: native.grad_norm,
            learning_rate: native.learning_rate,
            rewards_chosen: native.rewards_chosen,
            rewards_rejected: native.rewards_rejected,
            rewards_accuracies: native.rewards_accuracies,
            rewards_margins: native.rewards_margins,
            logps_chosen: native.logps_chosen,
            logps_rejected: native.logps_rejected,
            logits_chosen: native.logits_chosen,
            logits_rejected: native.logits_rejected,
            entropy: native.entropy,
            mean_token_accuracy: native.mean_token_accuracy,
            num_tokens: native.num_tokens,
            seconds: native.seconds,
        }
    }

    fn take(call: impl FnOnce(*mut sys::dpo_metrics) -> i32) -> Result<Metrics> {
        let mut native: sys::dpo_metrics = unsafe { zeroed() };
        native.struct_size = size_of::<sys::dpo_metrics>();
        check(call(&mut native))?;
        Ok(Metrics::of(&native))
    }
}

/// What a run tells while it works.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A step is done; `json` has all its metrics.
    Step { metrics: Metrics, json: Cow<'a, str> },
    /// An evaluation is done.
    Evaluation { metrics: Metrics, json: Cow<'a, str> },
    /// A file was written.
    Checkpoint(Cow<'a, Path>),
    /// A sentence for the user.
    Note(Cow<'a, str>),
    /// Rows done of a long phase.
    Progress { phase: Cow<'a, str>, done: u64, total: u64 },
    /// Of a kind that this version of the crate does not know.
    Other(i32),
}

impl<'a> Event<'a> {
    /// # Safety
    /// `native` is what the library gave a callback that is still running.
    unsafe fn of(native: &'a sys::dpo_event) -> Event<'a> {
        let text = text(native.text);
        match (native.kind, native.metrics.as_ref()) {
            (sys::DPO_EVENT_STEP, Some(metrics)) => {
                Event::Step { metrics: Metrics::of(metrics), json: self::text(native.metrics_json) }
            }
            (sys::DPO_EVENT_EVALUATION, Some(metrics)) => {
                Event::Evaluation { metrics: Metrics::of(metrics), json: self::text(native.metrics_json) }
            }
            (sys::DPO_EVENT_CHECKPOINT, _) => Event::Checkpoint(match text {
                Cow::Borrowed(path) => Cow::Borrowed(Path::new(path)),
                Cow::Owned(path) => Cow::Owned(PathBuf::from(path)),
            }),
            (sys::DPO_EVENT_NOTE, _) => Event::Note(text),
            (sys::DPO_EVENT_PROGRESS, _) => Event::Progress { phase: text, done: native.done, total: native.total },
            (kind, _) => Event::Other(kind),
        }
    }
}

unsafe fn text<'a>(text: *const c_char) -> Cow<'a, str> {
    if text.is_null() {
        return Cow::Borrowed("");
    }
    CStr::from_ptr(text).to_string_lossy()
}

/// The C function that calls a closure over events; its user data is a `Callback<F>`.
pub(crate) unsafe extern "C" fn event<F: FnMut(Event) -> ControlFlow<()>>(
    native: *const sys::dpo_event,
    user_data: *mut c_void,
) -> i32 {
    Callback::<F>::call(user_data, |on_event| on_event(Event::of(&*native)))
}

/// An answer that the policy drew, to be rewarded.
#[derive(Clone, Debug)]
pub struct Answer<'a> {
    /// Text, or a JSON array of chat messages; empty where the model has no tokenizer.
    pub prompt: Cow<'a, str>,
    /// Without special tokens; empty likewise.
    pub completion: Cow<'a, str>,
    pub prompt_is_chat: bool,
    /// It ended by itself, not at `max_completion_length`.
    pub stopped: bool,
    pub prompt_ids: &'a [i32],
    pub completion_ids: &'a [i32],
}

/// Where a run begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// At the start; the directory is empty, new, or to be overwritten.
    Never,
    /// At the last checkpoint in the directory, or at the start where there is none.
    Last,
    /// At this checkpoint.
    From(PathBuf),
}

/// Log-probs of rows of a data set under policy and reference.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    pub policy_chosen: Vec<f64>,
    pub policy_rejected: Vec<f64>,
    pub reference_chosen: Vec<f64>,
    pub reference_rejected: Vec<f64>,
}

impl Forward {
    fn of(rows: usize) -> Forward {
        let zeros = vec![0.0; rows];
        Forward {
            policy_chosen: zeros.clone(),
            policy_rejected: zeros.clone(),
            reference_chosen: zeros.clone(),
            reference_rejected: zeros,
        }
    }
}

/// Where a parameter lies in the flat values and gradients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Hugging Face's name, or PEFT's for an adapter.
    pub name: String,
    pub offset: usize,
    pub size: usize,
    pub shape: Vec<i64>,
}

impl Trainer {
    /// `reference` is another model to compare with; `None`: the model as it was opened. The plan is made here: it fails
    /// with [`Status::Memory`](crate::Status::Memory) before any large allocation if it does not fit.
    pub fn new(
        model: &Model,
        reference: Option<&Model>,
        dataset: &Dataset,
        evaluation: Option<&Dataset>,
        options: &TrainOptions,
    ) -> Result<Trainer> {
        Self::create(None, model, reference, dataset, evaluation, options)
    }

    /// The trainer of one of several ranks: all of them make it, and call its methods in the same order. An error of one is given
    /// on all.
    pub fn distributed(
        ranks: &Communicator,
        model: &Model,
        reference: Option<&Model>,
        dataset: &Dataset,
        evaluation: Option<&Dataset>,
        options: &TrainOptions,
    ) -> Result<Trainer> {
        Self::create(Some(ranks), model, reference, dataset, evaluation, options)
    }

    fn create(
        ranks: Option<&Communicator>,
        model: &Model,
        reference: Option<&Model>,
        dataset: &Dataset,
        evaluation: Option<&Dataset>,
        options: &TrainOptions,
    ) -> Result<Trainer> {
        let native = OptionsHandle::new(options)?;
        let reference = reference.map_or(ptr::null_mut(), |model| model.0.get());
        let evaluation = evaluation.map_or(ptr::null_mut(), |dataset| dataset.0.get());
        let (model, dataset) = (model.0.get(), dataset.0.get());
        let handle = Handle::new(sys::dpo_trainer_release, |out| unsafe {
            match ranks {
                None => sys::dpo_trainer_create(model, reference, dataset, evaluation, native.get(), out),
                Some(ranks) => sys::dpo_trainer_create_distributed(
                    ranks.0.get(),
                    model,
                    reference,
                    dataset,
                    evaluation,
                    native.get(),
                    out,
                ),
            }
        })?;
        Ok(Trainer { handle: Arc::new(handle), reward: None, reduce: None })
    }

    fn get(&self) -> *mut sys::dpo_trainer {
        self.handle.get()
    }

    /// What stops the trainer from another thread.
    pub fn canceller(&self) -> Canceller {
        Canceller(self.handle.clone())
    }

    /// The plan as JSON: steps, tokens, memory by part, options.
    pub fn plan(&mut self) -> Result<String> {
        returned_text(|json| unsafe { sys::dpo_trainer_plan(self.get(), json) })
    }

    /// Everything that the last step or evaluation measured, as JSON.
    pub fn last_metrics(&mut self) -> Result<String> {
        returned_text(|json| unsafe { sys::dpo_trainer_last_metrics(self.get(), json) })
    }

    /// Runs what remains of the plan. The directory gets metrics.jsonl, checkpoints, final.h5 and report.html.
    ///
    /// `Break` stops the run cleanly after a checkpoint with [`Status::Cancelled`](crate::Status::Cancelled). A panic of
    /// `on_event` does, too, and goes on when the run has ended.
    pub fn run<F: FnMut(Event) -> ControlFlow<()>>(
        &mut self,
        directory: impl AsRef<Path>,
        resume: Resume,
        on_event: F,
    ) -> Result<()> {
        let directory = c_path(directory.as_ref())?;
        let resume = match resume {
            Resume::Never => None,
            Resume::Last => Some(c_text("last", "resume")?),
            Resume::From(path) => Some(c_path(&path)?),
        };
        let mut callback = Callback::new(on_event);
        let user_data = callback.user_data();
        let status = unsafe {
            sys::dpo_trainer_run(self.get(), directory.as_ptr(), optional(&resume), Some(event::<F>), user_data)
        };
        let result = check(status);
        callback.resume();
        self.resume();
        result
    }

    /// The next optimiser step of the plan; after the last one [`Status::State`](crate::Status::State).
    pub fn step(&mut self) -> Result<Metrics> {
        let result = Metrics::take(|metrics| unsafe { sys::dpo_trainer_step(self.get(), metrics) });
        self.resume();
        result
    }

    /// Metrics of the evaluation data set now.
    pub fn evaluate(&mut self) -> Result<Metrics> {
        let result = Metrics::take(|metrics| unsafe { sys::dpo_trainer_evaluate(self.get(), metrics) });
        self.resume();
        result
    }

    /// The same of another data set, read with the options of this trainer.
    pub fn evaluate_data(&mut self, dataset: &Dataset) -> Result<Metrics> {
        let result =
            Metrics::take(|metrics| unsafe { sys::dpo_trainer_evaluate_data(self.get(), dataset.0.get(), metrics) });
        self.resume();
        result
    }

    /// Log-probs of every row of a data set now; of a reward model its scores. No [`Trainer::backward`] can follow.
    pub fn score_data(&mut self, dataset: &Dataset) -> Result<Forward> {
        let rows = dataset.info()?.rows as usize;
        let mut result = Forward::of(rows);
        check(unsafe {
            sys::dpo_trainer_score_data(
                self.get(),
                dataset.0.get(),
                rows,
                result.policy_chosen.as_mut_ptr(),
                result.policy_rejected.as_mut_ptr(),
                result.reference_chosen.as_mut_ptr(),
                result.reference_rejected.as_mut_ptr(),
            )
        })?;
        Ok(result)
    }

    /// Lets panics of the reward and reduce closures go on.
    fn resume(&mut self) {
        if let Some(reward) = &mut self.reward {
            reward.resume();
        }
        if let Some(reduce) = &mut self.reduce {
            reduce.resume();
        }
    }

    // ------------------------------------------------------------------------------------------------------- in parts

    /// Log-probs of rows of the data set, to be followed by your own loss and [`Trainer::backward`].
    pub fn forward(&mut self, rows: &[usize]) -> Result<Forward> {
        let mut result = Forward::of(rows.len());
        check(unsafe {
            sys::dpo_trainer_forward(
                self.get(),
                rows.as_ptr(),
                rows.len(),
                result.policy_chosen.as_mut_ptr(),
                result.policy_rejected.as_mut_ptr(),
                result.reference_chosen.as_mut_ptr(),
                result.reference_rejected.as_mut_ptr(),
            )
        })?;
        Ok(result)
    }

    /// Log-probs of the scored tokens of the last forward: for each row chosen, then rejected.
    pub fn token_logps(&mut self) -> Result<Vec<f32>> {
        let mut count = 0;
        check(unsafe { sys::dpo_trainer_token_count(self.get(), &mut count) })?;
        let mut logps = vec![0.0; count];
        check(unsafe { sys::dpo_trainer_token_logps(self.get(), logps.as_mut_ptr(), count) })?;
        Ok(logps)
    }

    /// Adds the gradients of your loss with respect to the log-probs of the last forward.
    pub fn backward(&mut self, gradient_chosen: &[f64], gradient_rejected: &[f64]) -> Result<()> {
        if gradient_chosen.len() != gradient_rejected.len() {
            return Err(crate::error::invalid("gradient_chosen and gradient_rejected differ in length"));
        }
        check(unsafe {
            sys::dpo_trainer_backward(
                self.get(),
                gradient_chosen.as_ptr(),
                gradient_rejected.as_ptr(),
                gradient_chosen.len(),
            )
        })
    }

    /// The same with a gradient for each scored token, as [`Trainer::token_logps`] orders them.
    pub fn backward_tokens(&mut self, gradients: &[f32]) -> Result<()> {
        check(unsafe { sys::dpo_trainer_backward_tokens(self.get(), gradients.as_ptr(), gradients.len()) })
    }

    /// Clips, steps the optimiser and sets the gradients to zero. Loss and rewards are your own: they are NaN here.
    pub fn apply(&mut self) -> Result<Metrics> {
        let result = Metrics::take(|metrics| unsafe { sys::dpo_trainer_apply(self.get(), metrics) });
        self.resume();
        result
    }

    /// The trained parameters and their gradients, flat.
    pub fn parameters(&mut self) -> Result<(&mut [f32], &mut [f32])> {
        let (mut values, mut gradients, mut count) = (ptr::null_mut(), ptr::null_mut(), 0);
        check(unsafe { sys::dpo_trainer_parameters(self.get(), &mut values, &mut gradients, &mut count) })?;
        // They live as long as the trainer, and no call on it can run while they are borrowed from it.
        unsafe { Ok((std::slice::from_raw_parts_mut(values, count), std::slice::from_raw_parts_mut(gradients, count))) }
    }

    /// Where each parameter lies in them.
    pub fn parameter_list(&mut self) -> Result<Vec<Parameter>> {
        let mut count = 0;
        check(unsafe { sys::dpo_trainer_parameter_count(self.get(), &mut count) })?;
        (0..count)
            .map(|index| {
                let (mut name, mut offset, mut size) = (ptr::null(), 0, 0);
                let (mut shape, mut dimensions) = ([0; 4], 0);
                check(unsafe {
                    sys::dpo_trainer_parameter_at(
                        self.get(),
                        index,
                        &mut name,
                        &mut offset,
                        &mut size,
                        shape.as_mut_ptr(),
                        &mut dimensions,
                    )
                })?;
                Ok(Parameter {
                    name: borrowed_text(name),
                    offset,
                    size,
                    shape: shape[..dimensions.min(shape.len())].to_vec(),
                })
            })
            .collect()
    }

    // -------------------------------------------------------------------------------------------------------- rewards

    /// For methods that learn from the policy's own answers: writes a reward for each of them. `Break` fails the step with
    /// [`Status::Cancelled`](crate::Status::Cancelled), unapplied.
    pub fn set_reward(
        &mut self,
        reward: impl FnMut(&[Answer], &mut [f64]) -> ControlFlow<()> + Send + 'static,
    ) -> Result<()> {
        unsafe extern "C" fn call(answers: *const sys::dpo_answers, rewards: *mut f64, user_data: *mut c_void) -> i32 {
            let answers = &*answers;
            Callback::<Reward>::call(user_data, |reward| {
                let list: Vec<Answer> = (0..answers.count).map(|index| answer(answers, index)).collect();
                reward(&list, std::slice::from_raw_parts_mut(rewards, answers.count))
            })
        }
        let mut callback: Box<Callback<Reward>> = Box::new(Callback::new(Box::new(reward)));
        check(unsafe { sys::dpo_trainer_set_reward(self.get(), Some(call), callback.user_data()) })?;
        self.reward = Some(callback);
        Ok(())
    }

    /// The same with a reward model as the judge; it need not be kept.
    pub fn set_reward_model(&mut self, model: &Model) -> Result<()> {
        check(unsafe { sys::dpo_trainer_set_reward_model(self.get(), model.0.get()) })?;
        self.reward = None;
        Ok(())
    }

    /// The same with a classifier's log-odds; with `completion_only` it does not see the prompt.
    pub fn set_reward_classifier(&mut self, classifier: &Classifier, completion_only: bool) -> Result<()> {
        check(unsafe {
            sys::dpo_trainer_set_reward_classifier(self.get(), classifier.0.get(), completion_only as i32)
        })?;
        self.reward = None;
        Ok(())
    }

    /// Calls `reduce` once an optimiser step with the flat gradient, before clipping: the place for a mean over machines.
    /// `Break` stops the step with [`Status::Cancelled`](crate::Status::Cancelled), unapplied.
    pub fn set_reduce(&mut self, reduce: impl FnMut(&mut [f32]) -> ControlFlow<()> + Send + 'static) -> Result<()> {
        unsafe extern "C" fn call(gradients: *mut f32, count: usize, user_data: *mut c_void) -> i32 {
            Callback::<Reduce>::call(user_data, |reduce| reduce(std::slice::from_raw_parts_mut(gradients, count)))
        }
        let mut callback: Box<Callback<Reduce>> = Box::new(Callback::new(Box::new(reduce)));
        check(unsafe { sys::dpo_trainer_set_reduce(self.get(), Some(call), callback.user_data()) })?;
        self.reduce = Some(callback);
        Ok(())
    }

    // ---------------------------------------------------------------------------------------------------------- files

    /// Writes parameters, optimiser, position and options crash-safely.
    pub fn save(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = c_path(path.as_ref())?;
        check(unsafe { sys::dpo_trainer_save(self.get(), path.as_ptr()) })
    }

    /// Reads them back. A checkpoint of another run is refused.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = c_path(path.as_ref())?;
        check(unsafe { sys::dpo_trainer_load(self.get(), path.as_ptr()) })
    }

    /// Writes the trained adapter or model alone, as a run does in final.h5.
    pub fn save_model(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = c_path(path.as_ref())?;
        check(unsafe { sys::dpo_trainer_save_model(self.get(), path.as_ptr()) })
    }

    /// How long calls wait while something else uses the trainer; see [`Model::set_wait`].
    pub fn set_wait(&self, wait: Duration) -> Result<()> {
        self.handle.set_wait(wait)
    }
}

unsafe fn answer<'a>(answers: &'a sys::dpo_answers, index: usize) -> Answer<'a> {
    Answer {
        prompt: text(*answers.prompts.add(index)),
        completion: text(*answers.completions.add(index)),
        prompt_is_chat: *answers.prompt_is_chat.add(index) != 0,
        stopped: *answers.stopped.add(index) != 0,
        prompt_ids: slice(*answers.prompt_ids.add(index), *answers.prompt_lengths.add(index)),
        completion_ids: slice(*answers.completion_ids.add(index), *answers.completion_lengths.add(index)),
    }
}
