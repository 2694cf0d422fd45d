//! What stands between the safe types and the C functions: handles, texts, options and callbacks.

use crate::error::{check, invalid, Result};
use libdpo_sys as sys;
use std::any::Any;
use std::ffi::{CStr, CString};
use std::ops::ControlFlow;
use std::os::raw::{c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::path::Path;
use std::ptr;
use std::time::Duration;

// ------------------------------------------------------------------------------------------------------------ handles

/// An opaque handle, released when it is dropped.
pub(crate) struct Handle<T> {
    pointer: *mut T,
    release: unsafe extern "C" fn(*mut T),
}

// The library lets any thread use a handle; of two calls on one at once the second is refused, or waits.
unsafe impl<T> Send for Handle<T> {}
unsafe impl<T> Sync for Handle<T> {}

impl<T> Handle<T> {
    /// `make` writes the handle on success.
    pub fn new(release: unsafe extern "C" fn(*mut T), make: impl FnOnce(*mut *mut T) -> i32) -> Result<Handle<T>> {
        let mut pointer = ptr::null_mut();
        check(make(&mut pointer))?;
        Ok(Handle { pointer, release })
    }

    pub fn get(&self) -> *mut T {
        self.pointer
    }

    pub fn set_wait(&self, wait: Duration) -> Result<()> {
        let seconds = if wait == Duration::MAX { f64::INFINITY } else { wait.as_secs_f64() };
        check(unsafe { sys::dpo_handle_set_wait(self.pointer as *mut c_void, seconds) })
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        unsafe { (self.release)(self.pointer) }
    }
}

// -------------------------------------------------------------------------------------------------------------- texts

pub(crate) fn c_text(text: &str, what: &str) -> Result<CString> {
    CString::new(text)
        .map_err(|error| invalid(format!("{what} holds a NUL character at byte {}", error.nul_position())))
}

pub(crate) fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| invalid(format!("the path {} holds a NUL character", path.display())))
}

/// NULL for `None`.
pub(crate) fn optional(text: &Option<CString>) -> *const c_char {
    text.as_ref().map_or(ptr::null(), |text| text.as_ptr())
}

/// An array of texts, as C takes it.
pub(crate) struct Texts {
    _owned: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Texts {
    pub fn new<S: AsRef<str>>(texts: impl IntoIterator<Item = S>, what: &str) -> Result<Texts> {
        let owned = texts
            .into_iter()
            .enumerate()
            .map(|(index, text)| c_text(text.as_ref(), &format!("{what} {index}")))
            .collect::<Result<Vec<_>>>()?;
        let pointers = owned.iter().map(|text| text.as_ptr()).collect();
        Ok(Texts { _owned: owned, pointers })
    }

    pub fn get(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }

    pub fn len(&self) -> usize {
        self.pointers.len()
    }
}

/// Text that the library made and that we free: `make` writes it on success.
pub(crate) fn returned_text(make: impl FnOnce(*mut *mut c_char) -> i32) -> Result<String> {
    let mut text = ptr::null_mut();
    check(make(&mut text))?;
    let copy = borrowed_text(text);
    unsafe { sys::dpo_string_free(text) };
    Ok(copy)
}

/// The same where the text's size is told, since it may hold NUL characters.
pub(crate) fn returned_bytes(make: impl FnOnce(*mut *mut c_char, *mut usize) -> i32) -> Result<String> {
    let (mut text, mut size) = (ptr::null_mut(), 0);
    check(make(&mut text, &mut size))?;
    let bytes = unsafe { std::slice::from_raw_parts(text as *const u8, size) };
    let copy = String::from_utf8_lossy(bytes).into_owned();
    unsafe { sys::dpo_string_free(text) };
    Ok(copy)
}

/// A copy of text that the library keeps; NULL is "".
pub(crate) fn borrowed_text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// A slice that the library keeps for as long as the caller says; NULL is empty.
///
/// # Safety
/// `start` holds `count` values for as long as `'a`.
pub(crate) unsafe fn slice<'a, T>(start: *const T, count: usize) -> &'a [T] {
    if start.is_null() || count == 0 {
        return &[];
    }
    std::slice::from_raw_parts(start, count)
}

// ------------------------------------------------------------------------------------------------------------ options

/// Options of a table: they go to the library as JSON, which checks them by the table.
pub(crate) trait Options {
    const KIND: &'static str;
    fn write(&self, object: &mut Object);
}

/// A JSON object in writing; `None` is left out, which is the default.
pub(crate) struct Object(String);

impl Object {
    pub fn of(options: &impl Options) -> String {
        let mut object = Object(String::from("{"));
        options.write(&mut object);
        object.0 + "}"
    }

    pub fn field<T: Value>(&mut self, name: &str, value: &Option<T>) {
        if let Some(value) = value {
            self.name(name);
            value.write(&mut self.0);
        }
    }

    /// `unset` stands for no value, as in C.
    pub fn field_or_null<T: Value + PartialEq>(&mut self, name: &str, value: Option<T>, unset: T) {
        match value {
            Some(value) if value == unset => {
                self.name(name);
                self.0 += "null";
            }
            value => self.field(name, &value),
        }
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        name.to_string().write(&mut self.0);
        self.0.push(':');
    }
}

pub(crate) trait Value {
    fn write(&self, json: &mut String);
}

macro_rules! whole_numbers {
    ($($kind:ty),*) => {
        $(impl Value for $kind {
            fn write(&self, json: &mut String) {
                *json += &self.to_string();
            }
        })*
    };
}
whole_numbers!(bool, i32, i64, u32, u64);

impl Value for f64 {
    /// NaN is no value; JSON has no infinity, and what is written for it is refused with the reason.
    fn write(&self, json: &mut String) {
        *json += &match self {
            number if number.is_nan() => "null".to_string(),
            number if number.is_infinite() => format!("{}1e999", if *number < 0.0 { "-" } else { "" }),
            number => format!("{number:e}"),
        };
    }
}

impl Value for String {
    fn write(&self, json: &mut String) {
        json.push('"');
        for character in self.chars() {
            match character {
                '"' | '\\' => json.extend(['\\', character]),
                control if control < ' ' => *json += &format!("\\u{:04x}", control as u32),
                other => json.push(other),
            }
        }
        json.push('"');
    }
}

impl<T: Value> Value for Vec<T> {
    fn write(&self, json: &mut String) {
        json.push('[');
        for (index, value) in self.iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            value.write(json);
        }
        json.push(']');
    }
}

impl<T: Options> Value for T {
    fn write(&self, json: &mut String) {
        *json += &Object::of(self);
    }
}

/// The struct that C functions take, with these options in it.
pub(crate) struct OptionsHandle(Handle<sys::dpo_options>);

impl OptionsHandle {
    pub fn new<T: Options>(options: &T) -> Result<OptionsHandle> {
        let kind = c_text(T::KIND, "the kind")?;
        let handle =
            Handle::new(sys::dpo_options_release, |out| unsafe { sys::dpo_options_create(kind.as_ptr(), out) })?;
        let json = c_text(&Object::of(options), "an option")?;
        check(unsafe { sys::dpo_options_set_json(handle.get(), json.as_ptr()) })?;
        Ok(OptionsHandle(handle))
    }

    /// `T` is the struct of the kind; valid while this lives.
    pub fn get<T>(&self) -> *const T {
        unsafe { sys::dpo_options_struct(self.0.get()) as *const T }
    }
}

// ---------------------------------------------------------------------------------------------------------- callbacks

/// A closure that C calls through a pointer to this. A panic must not cross C: it becomes a stop, and goes on after the
/// call. Once it has asked to stop, it is not called again in the same call.
pub(crate) struct Callback<F> {
    function: F,
    stopped: bool,
    panic: Option<Box<dyn Any + Send>>,
}

impl<F> Callback<F> {
    pub fn new(function: F) -> Callback<F> {
        Callback { function, stopped: false, panic: None }
    }

    pub fn user_data(&mut self) -> *mut c_void {
        self as *mut Callback<F> as *mut c_void
    }

    /// Calls the closure; 0 goes on.
    ///
    /// # Safety
    /// `user_data` is from a `Callback<F>` that lives, and that nothing else uses.
    pub unsafe fn call(user_data: *mut c_void, call: impl FnOnce(&mut F) -> ControlFlow<()>) -> i32 {
        let callback = &mut *(user_data as *mut Callback<F>);
        if callback.stopped {
            return 1;
        }
        match catch_unwind(AssertUnwindSafe(|| call(&mut callback.function))) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => callback.stopped = true,
            Err(panic) => {
                callback.stopped = true;
                callback.panic = Some(panic);
            }
        }
        callback.stopped as i32
    }

    /// Lets a panic of the closure go on; after the call.
    pub fn resume(&mut self) {
        self.stopped = false;
        if let Some(panic) = self.panic.take() {
            resume_unwind(panic);
        }
    }
}
