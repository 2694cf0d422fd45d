use crate::error::{check, invalid, Result};
use crate::native::{c_path, c_text, optional, slice, Handle};
use libdpo_sys as sys;
use std::any::Any;
use std::ffi::CString;
use std::mem::size_of;
use std::os::raw::{c_char, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::Path;
use std::ptr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The ranks of a training: several processes that train one model together (docs/scaling.md).
pub struct Communicator(pub(crate) Handle<sys::dpo_communicator>);

/// What ranks talk through, if not MPI: a host's own engine. All ranks call its functions in the same order, one at a time,
/// from threads of the library. An error is the sentence that says why a rank does not answer.
pub trait Collectives: Send + Sync {
    /// `receive` gets `sizes[r]` bytes of each rank r, one after the other; `send` are this rank's.
    fn all_gather(&self, send: &[u8], receive: &mut [u8], sizes: &[usize]) -> std::result::Result<(), String>;

    /// `send` holds `send_sizes[r]` bytes for each rank r, and `receive` gets `receive_sizes[r]` from it.
    fn all_to_all(
        &self,
        send: &[u8],
        send_sizes: &[usize],
        receive: &mut [u8],
        receive_sizes: &[usize],
    ) -> std::result::Result<(), String>;

    /// Ends every rank, this one too. It returns only if it cannot.
    fn abort(&self, _exit_status: i32) {}
}

impl Communicator {
    /// The ranks that mpirun or srun started. `plugin` is the file of libdpo-mpi.so; `None`: beside libdpo.so, or where the
    /// loader finds it. A rank may keep the others waiting for `timeout`.
    pub fn mpi(plugin: Option<&Path>, timeout: Duration) -> Result<Communicator> {
        let path = plugin.map(c_path).transpose()?;
        Handle::new(sys::dpo_communicator_release, |out| unsafe {
            sys::dpo_communicator_open_mpi(optional(&path), timeout.as_secs_f64(), out)
        })
        .map(Communicator)
    }

    /// The ranks of a host's own engine. `name` is for messages.
    pub fn new(rank: usize, size: usize, name: &str, engine: impl Collectives + 'static) -> Result<Communicator> {
        let number = |value: usize| i32::try_from(value).map_err(|_| invalid(format!("there are no {value} ranks")));
        let name = c_text(name, "the name")?;
        let context =
            Box::into_raw(Box::new(Context { engine: Box::new(engine), rank, size, failure: Mutex::new(None) }));
        let made = (|| {
            let functions = sys::dpo_collectives {
                struct_size: size_of::<sys::dpo_collectives>(),
                version: sys::DPO_COLLECTIVES_VERSION,
                rank: number(rank)?,
                size: number(size)?,
                name: name.as_ptr(),
                context: context as *mut c_void,
                all_gather: Some(all_gather),
                all_to_all: Some(all_to_all),
                last_error: Some(last_error),
                abort: Some(abort),
                release: Some(release),
            };
            Handle::new(sys::dpo_communicator_release, |out| unsafe { sys::dpo_communicator_create(&functions, out) })
        })();
        if made.is_err() {
            // What was refused is still ours.
            drop(unsafe { Box::from_raw(context) });
        }
        made.map(Communicator)
    }

    /// This process's rank, and the number of ranks.
    pub fn ranks(&self) -> Result<(usize, usize)> {
        let (mut rank, mut size) = (0, 0);
        check(unsafe { sys::dpo_communicator_ranks(self.0.get(), &mut rank, &mut size) })?;
        Ok((rank as usize, size as usize))
    }

    /// Ends every rank, this one too, for a program that cannot go on. It returns, with an error, only where the engine cannot.
    pub fn abort(&self, exit_status: i32) -> Result<()> {
        check(unsafe { sys::dpo_communicator_abort(self.0.get(), exit_status) })
    }
}

/// The engine in use, and why its last call failed.
struct Context {
    engine: Box<dyn Collectives>,
    rank: usize,
    size: usize,
    failure: Mutex<Option<CString>>,
}

impl Context {
    /// A panic must not cross C: it is the error of the call.
    fn call(&self, call: impl FnOnce(&dyn Collectives) -> std::result::Result<(), String>) -> i32 {
        let reason = match catch_unwind(AssertUnwindSafe(|| call(&*self.engine))) {
            Ok(Ok(())) => return 0,
            Ok(Err(reason)) => reason,
            Err(panic) => message(&*panic),
        };
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = CString::new(reason.replace('\0', " ")).ok();
        1
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text.to_string(),
        (_, Some(text)) => text.clone(),
        _ => "the engine panicked".to_string(),
    }
}

/// The library's memory, to be written.
///
/// # Safety
/// `start` holds `count` bytes for as long as `'a`, and nothing else uses them.
unsafe fn room<'a>(start: *mut c_void, count: usize) -> &'a mut [u8] {
    if start.is_null() || count == 0 {
        return &mut [];
    }
    std::slice::from_raw_parts_mut(start as *mut u8, count)
}

unsafe extern "C" fn all_gather(
    context: *mut c_void,
    send: *const c_void,
    receive: *mut c_void,
    sizes: *const usize,
) -> i32 {
    let context = &*(context as *const Context);
    let sizes = slice(sizes, context.size);
    let send = slice(send as *const u8, sizes[context.rank]);
    let receive = room(receive, sizes.iter().sum());
    context.call(|engine| engine.all_gather(send, receive, sizes))
}

unsafe extern "C" fn all_to_all(
    context: *mut c_void,
    send: *const c_void,
    send_sizes: *const usize,
    receive: *mut c_void,
    receive_sizes: *const usize,
) -> i32 {
    let context = &*(context as *const Context);
    let (send_sizes, receive_sizes) = (slice(send_sizes, context.size), slice(receive_sizes, context.size));
    let send = slice(send as *const u8, send_sizes.iter().sum());
    let receive = room(receive, receive_sizes.iter().sum());
    context.call(|engine| engine.all_to_all(send, send_sizes, receive, receive_sizes))
}

unsafe extern "C" fn last_error(context: *mut c_void) -> *const c_char {
    let failure = (*(context as *const Context)).failure.lock().unwrap_or_else(PoisonError::into_inner);
    failure.as_ref().map_or(ptr::null(), |failure| failure.as_ptr())
}

/// Also while another call is running.
unsafe extern "C" fn abort(context: *mut c_void, exit_status: i32) {
    let engine = &(*(context as *const Context)).engine;
    // It could not: the caller is told so.
    let _ = catch_unwind(AssertUnwindSafe(|| engine.abort(exit_status)));
}

unsafe extern "C" fn release(context: *mut c_void, _healthy: i32) {
    let context = Box::from_raw(context as *mut Context);
    let _ = catch_unwind(AssertUnwindSafe(|| drop(context)));
}
