use crate::error::{check, invalid, Result};
use crate::model::Model;
use crate::native::{borrowed_text, c_path, Callback, Handle, OptionsHandle, Texts};
use crate::options::TrainOptions;
use libdpo_sys as sys;
use std::mem::{size_of, zeroed};
use std::ops::ControlFlow;
use std::os::raw::{c_char, c_void};
use std::path::Path;

/// Rows to train on, tokenised for the method and `max_length` of the options that they were read with.
pub struct Dataset(pub(crate) Handle<sys::dpo_dataset>);

/// A preference pair as text.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    pub prompt: &'a str,
    pub chosen: &'a str,
    pub rejected: &'a str,
}

/// A preference pair as token ids, end of sequence included where it shall count.
#[derive(Clone, Copy, Debug, Default)]
pub struct PairIds<'a> {
    pub prompt: &'a [i32],
    pub chosen: &'a [i32],
    pub rejected: &'a [i32],
}

/// How far rows were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// `tokenising` and others.
    pub phase: String,
    /// Bytes; 0 where they are unknown.
    pub done: u64,
    pub total: u64,
    pub rows: u64,
}

/// What a data set holds.
#[derive(Clone, Debug, PartialEq)]
pub struct DatasetInfo {
    pub rows: u64,
    /// Their prompt was not shorter than `max_length`.
    pub dropped_rows: u64,
    pub truncated_rows: u64,
    /// Chosen equals rejected, or all ranked tie: no gradient from them.
    pub identical_rows: u64,
    pub duplicate_rows: u64,
    /// The same pair the other way round.
    pub contradicting_rows: u64,
    /// Distinct tokens, prompts counted once a pair.
    pub tokens: u64,
    /// Tokens of the longest prompt and completion.
    pub longest_row: u64,
    /// Fraction of pairs; 0.5 is no length bias.
    pub longer_is_chosen: f64,
}

impl Dataset {
    /// Rows of a file or directory: JSON lines, or what else docs/data.md tells of.
    pub fn open(model: &Model, path: impl AsRef<Path>, options: &TrainOptions) -> Result<Dataset> {
        let path = c_path(path.as_ref())?;
        let native = OptionsHandle::new(options)?;
        Dataset::new(|out| unsafe { sys::dpo_dataset_open_jsonl(model.0.get(), path.as_ptr(), native.get(), out) })
    }

    /// Rows of several files or directories, one after the other. `on_reading` is told how far they were read; `Break` ends the
    /// reading with [`Status::Cancelled`](crate::Status::Cancelled).
    pub fn open_all<P: AsRef<Path>, F: FnMut(Reading) -> ControlFlow<()>>(
        model: &Model,
        paths: &[P],
        options: &TrainOptions,
        on_reading: F,
    ) -> Result<Dataset> {
        unsafe extern "C" fn call<F: FnMut(Reading) -> ControlFlow<()>>(
            phase: *const c_char,
            done: u64,
            total: u64,
            rows: u64,
            user_data: *mut c_void,
        ) -> i32 {
            Callback::<F>::call(user_data, |on_reading| {
                on_reading(Reading { phase: borrowed_text(phase), done, total, rows })
            })
        }
        let paths = paths.iter().map(|path| c_path(path.as_ref())).collect::<Result<Vec<_>>>()?;
        let pointers: Vec<_> = paths.iter().map(|path| path.as_ptr()).collect();
        let native = OptionsHandle::new(options)?;
        let mut callback = Callback::new(on_reading);
        let user_data = callback.user_data();
        let result = Dataset::new(|out| unsafe {
            sys::dpo_dataset_open(
                model.0.get(),
                pointers.as_ptr(),
                pointers.len(),
                native.get(),
                Some(call::<F>),
                user_data,
                out,
            )
        });
        callback.resume();
        result
    }

    /// The same from JSON lines in memory.
    pub fn from_jsonl(model: &Model, rows: &str, options: &TrainOptions) -> Result<Dataset> {
        let native = OptionsHandle::new(options)?;
        let text = rows.as_ptr() as *const c_char;
        Dataset::new(|out| unsafe { sys::dpo_dataset_from_jsonl(model.0.get(), text, rows.len(), native.get(), out) })
    }

    /// Texts.
    pub fn from_pairs(model: &Model, pairs: &[Pair], options: &TrainOptions) -> Result<Dataset> {
        let prompts = Texts::new(pairs.iter().map(|pair| pair.prompt), "prompt")?;
        let chosen = Texts::new(pairs.iter().map(|pair| pair.chosen), "chosen")?;
        let rejected = Texts::new(pairs.iter().map(|pair| pair.rejected), "rejected")?;
        let native = OptionsHandle::new(options)?;
        Dataset::new(|out| unsafe {
            sys::dpo_dataset_from_pairs(
                model.0.get(),
                prompts.get(),
                chosen.get(),
                rejected.get(),
                pairs.len(),
                native.get(),
                out,
            )
        })
    }

    /// Token ids; no model is needed. Methods that answer prompts themselves take the prompts; the rest is then empty.
    pub fn from_tokens(pairs: &[PairIds], options: &TrainOptions) -> Result<Dataset> {
        let ids = |part: for<'a> fn(&PairIds<'a>) -> &'a [i32]| {
            let lists: Vec<&[i32]> = pairs.iter().map(part).collect();
            (lists.concat(), lists.iter().map(|ids| ids.len()).collect::<Vec<usize>>())
        };
        let (prompt_ids, prompt_lengths) = ids(|pair| pair.prompt);
        let (chosen_ids, chosen_lengths) = ids(|pair| pair.chosen);
        let (rejected_ids, rejected_lengths) = ids(|pair| pair.rejected);
        if pairs.is_empty() {
            return Err(invalid("there are no pairs"));
        }
        let native = OptionsHandle::new(options)?;
        Dataset::new(|out| unsafe {
            sys::dpo_dataset_from_tokens(
                prompt_ids.as_ptr(),
                prompt_lengths.as_ptr(),
                chosen_ids.as_ptr(),
                chosen_lengths.as_ptr(),
                rejected_ids.as_ptr(),
                rejected_lengths.as_ptr(),
                pairs.len(),
                native.get(),
                out,
            )
        })
    }

    fn new(make: impl FnOnce(*mut *mut sys::dpo_dataset) -> i32) -> Result<Dataset> {
        Handle::new(sys::dpo_dataset_release, make).map(Dataset)
    }

    /// What the data set holds.
    pub fn info(&self) -> Result<DatasetInfo> {
        let mut info: sys::dpo_dataset_info = unsafe { zeroed() };
        info.struct_size = size_of::<sys::dpo_dataset_info>();
        check(unsafe { sys::dpo_dataset_get_info(self.0.get(), &mut info) })?;
        Ok(DatasetInfo {
            rows: info.rows,
            dropped_rows: info.dropped_rows,
            truncated_rows: info.truncated_rows,
            identical_rows: info.identical_rows,
            duplicate_rows: info.duplicate_rows,
            contradicting_rows: info.contradicting_rows,
            tokens: info.tokens,
            longest_row: info.longest_row,
            longer_is_chosen: info.longer_is_chosen,
        })
    }
}
