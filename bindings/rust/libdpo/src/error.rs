use libdpo_sys as sys;
use std::ffi::CStr;
use std::fmt;

/// What kind of thing went wrong: the `DPO_ERROR_…` codes of `dpo.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// An argument or option is out of range, or does not go with another.
    InvalidArgument,
    /// The operating system refused to read or write a file.
    Io,
    /// A file or text is damaged or of another kind than expected.
    Format,
    /// Valid, but not served by this version.
    Unsupported,
    /// Things that do not belong together, such as an adapter of another model.
    Mismatch,
    /// The plan exceeds the limit, or memory could not be had.
    Memory,
    /// NaN or infinity in a loss, gradient or weight; the step was not applied.
    NonFinite,
    /// A callback or a cancel asked to stop.
    Cancelled,
    /// The call does not fit the handle's state, or another thread is using it.
    State,
    /// A defect in libdpo.
    Internal,
    /// Training left its bounds: the policy went too far from its reference (`max_kl`).
    Diverged,
    /// A code of a newer library.
    Other(i32),
}

impl Status {
    fn from_code(code: i32) -> Status {
        match code {
            sys::DPO_ERROR_INVALID_ARGUMENT => Status::InvalidArgument,
            sys::DPO_ERROR_IO => Status::Io,
            sys::DPO_ERROR_FORMAT => Status::Format,
            sys::DPO_ERROR_UNSUPPORTED => Status::Unsupported,
            sys::DPO_ERROR_MISMATCH => Status::Mismatch,
            sys::DPO_ERROR_MEMORY => Status::Memory,
            sys::DPO_ERROR_NON_FINITE => Status::NonFinite,
            sys::DPO_ERROR_CANCELLED => Status::Cancelled,
            sys::DPO_ERROR_STATE => Status::State,
            sys::DPO_ERROR_INTERNAL => Status::Internal,
            sys::DPO_ERROR_DIVERGED => Status::Diverged,
            other => Status::Other(other),
        }
    }
}

/// What a call failed with: one sentence that names the file, the place and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub status: Status,
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// What every call of the library gives.
pub type Result<T> = std::result::Result<T, Error>;

/// What a call returned, right after it and on its thread: the library keeps its sentence a thread.
pub(crate) fn check(code: i32) -> Result<()> {
    if code == sys::DPO_OK {
        return Ok(());
    }
    let message = unsafe { CStr::from_ptr(sys::dpo_last_error()) };
    Err(Error { status: Status::from_code(code), message: message.to_string_lossy().into_owned() })
}

pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error { status: Status::InvalidArgument, message: message.into() }
}
