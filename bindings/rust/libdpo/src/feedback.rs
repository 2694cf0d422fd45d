use crate::error::{check, Result};
use crate::model::Model;
use crate::native::{c_path, c_text, optional, returned_text, Callback, Handle, OptionsHandle};
use crate::options::FeedbackOptions;
use crate::trainer::{event, Event};
use libdpo_sys as sys;
use std::mem::{size_of, zeroed};
use std::ops::ControlFlow;
use std::path::Path;

/// A file of what people said of a model's answers. Every call may come from any thread at any time.
pub struct Feedback(Handle<sys::dpo_feedback>);

/// What a training on feedback came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Nothing was changed.
    NothingNew,
    /// There are fewer new records than `min_records`; nothing was changed.
    Waiting,
    /// Everything is trained on.
    Finished,
    /// `max_seconds` are over: the next call goes on.
    Stopped,
    /// One of a newer library.
    Other(i32),
}

/// What a training on feedback did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedbackResult {
    pub outcome: Outcome,
    /// Of the session, or waiting for one.
    pub new_records: u64,
    /// Older ones that the session mixed in.
    pub replayed: u64,
    /// New ones that cannot be trained on.
    pub skipped: u64,
    /// Optimiser steps of this call.
    pub steps: i64,
}

impl Feedback {
    /// The first record makes the file.
    pub fn open(path: impl AsRef<Path>) -> Result<Feedback> {
        let path = c_path(path.as_ref())?;
        Handle::new(sys::dpo_feedback_release, |out| unsafe { sys::dpo_feedback_open(path.as_ptr(), out) })
            .map(Feedback)
    }

    /// Records a thumb up or down on an answer, and gives the record's number. It is on the disk when the call returns.
    pub fn record_thumb(&self, prompt: &str, answer: &str, up: bool, weight: f64) -> Result<u64> {
        let (prompt, answer) = (c_text(prompt, "the prompt")?, c_text(answer, "the answer")?);
        let mut id = 0;
        check(unsafe {
            sys::dpo_feedback_record_thumb(self.0.get(), prompt.as_ptr(), answer.as_ptr(), up as i32, weight, &mut id)
        })?;
        Ok(id)
    }

    /// Records that one answer was liked better than another.
    pub fn record_choice(&self, prompt: &str, chosen: &str, rejected: &str, weight: f64) -> Result<u64> {
        let prompt = c_text(prompt, "the prompt")?;
        let (chosen, rejected) = (c_text(chosen, "the chosen answer")?, c_text(rejected, "the rejected answer")?);
        let mut id = 0;
        check(unsafe {
            sys::dpo_feedback_record_choice(
                self.0.get(),
                prompt.as_ptr(),
                chosen.as_ptr(),
                rejected.as_ptr(),
                weight,
                &mut id,
            )
        })?;
        Ok(id)
    }

    /// Records a row as JSON: for chat prompts, a time of your own, and further keys.
    pub fn record_json(&self, row: &str) -> Result<u64> {
        let row = c_text(row, "the row")?;
        let mut id = 0;
        check(unsafe { sys::dpo_feedback_record_json(self.0.get(), row.as_ptr(), &mut id) })?;
        Ok(id)
    }

    /// Records in the file.
    pub fn count(&self) -> Result<u64> {
        let mut count = 0;
        check(unsafe { sys::dpo_feedback_count(self.0.get(), &mut count) })?;
        Ok(count)
    }

    /// What the file holds and, with a directory, what of it is trained on there, as JSON.
    pub fn status(&self, directory: Option<&Path>) -> Result<String> {
        let directory = directory.map(c_path).transpose()?;
        returned_text(|json| unsafe { sys::dpo_feedback_status(self.0.get(), optional(&directory), json) })
    }

    /// Trains the adapter in `directory` on what is new in the file: adapter.h5 and, for llama.cpp, adapter.gguf. Meant
    /// for a thread of its own. Other calls may use the model meanwhile.
    pub fn train(
        &self,
        model: &Model,
        directory: impl AsRef<Path>,
        options: &FeedbackOptions,
    ) -> Result<FeedbackResult> {
        self.train_with(model, directory, options, |_| ControlFlow::Continue(()))
    }

    /// The same with what happens meanwhile; `Break` stops it with [`Status::Cancelled`](crate::Status::Cancelled). What
    /// was learned is kept, and the next call goes on.
    pub fn train_with<F: FnMut(Event) -> ControlFlow<()>>(
        &self,
        model: &Model,
        directory: impl AsRef<Path>,
        options: &FeedbackOptions,
        on_event: F,
    ) -> Result<FeedbackResult> {
        let directory = c_path(directory.as_ref())?;
        let native = OptionsHandle::new(options)?;
        let mut result: sys::dpo_feedback_result = unsafe { zeroed() };
        result.struct_size = size_of::<sys::dpo_feedback_result>();
        let mut callback = Callback::new(on_event);
        let user_data = callback.user_data();
        let status = check(unsafe {
            sys::dpo_feedback_train(
                self.0.get(),
                model.0.get(),
                directory.as_ptr(),
                native.get(),
                Some(event::<F>),
                user_data,
                &mut result,
            )
        });
        callback.resume();
        status?;
        Ok(FeedbackResult {
            outcome: match result.outcome {
                sys::DPO_FEEDBACK_NOTHING_NEW => Outcome::NothingNew,
                sys::DPO_FEEDBACK_WAITING => Outcome::Waiting,
                sys::DPO_FEEDBACK_FINISHED => Outcome::Finished,
                sys::DPO_FEEDBACK_STOPPED => Outcome::Stopped,
                other => Outcome::Other(other),
            },
            new_records: result.new_records,
            replayed: result.replayed,
            skipped: result.skipped,
            steps: result.steps,
        })
    }

    /// Asks a running training of this file to stop; if none is running, the next one stops at once.
    pub fn cancel(&self) {
        unsafe { sys::dpo_feedback_cancel(self.0.get()) }
    }
}
