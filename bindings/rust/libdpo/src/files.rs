//! Files: what is in them, exports, new tokenizers and models.

use crate::error::{check, Result};
use crate::native::{c_path, optional, returned_text, OptionsHandle, Texts};
use crate::options::{ExportOptions, ModelShape, TokenizerOptions};
use libdpo_sys as sys;
use std::path::Path;

/// What a model, adapter, checkpoint or data file holds, as JSON.
pub fn inspect(path: impl AsRef<Path>) -> Result<String> {
    let path = c_path(path.as_ref())?;
    returned_text(|json| unsafe { sys::dpo_inspect(path.as_ptr(), json) })
}

/// What [`export`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum ExportFormat {
    /// libdpo's own form.
    Hdf5 = sys::DPO_EXPORT_HDF5,
    /// A Hugging Face directory.
    Safetensors = sys::DPO_EXPORT_SAFETENSORS,
    /// A model for llama.cpp.
    Gguf = sys::DPO_EXPORT_GGUF,
    /// An adapter directory for PEFT.
    Peft = sys::DPO_EXPORT_PEFT,
    /// An adapter that llama.cpp loads.
    GgufLora = sys::DPO_EXPORT_GGUF_LORA,
}

/// Converts a model, adapter or checkpoint file. The output appears whole or not at all.
pub fn export(
    input: impl AsRef<Path>,
    format: ExportFormat,
    output: impl AsRef<Path>,
    options: &ExportOptions,
) -> Result<()> {
    let (input, output) = (c_path(input.as_ref())?, c_path(output.as_ref())?);
    let native = OptionsHandle::new(options)?;
    check(unsafe { sys::dpo_export(input.as_ptr(), format as i32, output.as_ptr(), native.get()) })
}

/// Whether what was learned survived an export: scores pairs of a JSON-lines file under both, and tells as JSON.
pub fn export_check(
    input: impl AsRef<Path>,
    output: impl AsRef<Path>,
    data: impl AsRef<Path>,
    reference: Option<&Path>,
    options: &ExportOptions,
) -> Result<String> {
    let (input, output, data) = (c_path(input.as_ref())?, c_path(output.as_ref())?, c_path(data.as_ref())?);
    let reference = reference.map(c_path).transpose()?;
    let native = OptionsHandle::new(options)?;
    returned_text(|json| unsafe {
        sys::dpo_export_check(input.as_ptr(), output.as_ptr(), data.as_ptr(), optional(&reference), native.get(), json)
    })
}

/// Learns a byte-level BPE tokenizer from text files, JSON lines with "text", or directories of such files.
pub fn train_tokenizer(
    paths: &[impl AsRef<Path>],
    directory: impl AsRef<Path>,
    options: &TokenizerOptions,
) -> Result<()> {
    let paths = Texts::new(paths.iter().map(|path| path.as_ref().to_string_lossy()), "path")?;
    let directory = c_path(directory.as_ref())?;
    let native = OptionsHandle::new(options)?;
    check(unsafe { sys::dpo_tokenizer_train(paths.get(), paths.len(), native.get(), directory.as_ptr()) })
}

/// Writes a model with fresh weights: a Hugging Face directory, or libdpo's file if `output` ends in .h5.
pub fn create_model(shape: &ModelShape, output: impl AsRef<Path>) -> Result<()> {
    let output = c_path(output.as_ref())?;
    let native = OptionsHandle::new(shape)?;
    check(unsafe { sys::dpo_model_create(native.get(), output.as_ptr()) })
}
