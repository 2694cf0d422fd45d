//! libdpo's C interface as `dpo.h` declares it: the same names, types and manual. The crate `libdpo` is the safe way to
//! use it.
#![allow(non_camel_case_types)]

#[rustfmt::skip]
mod declarations;
pub use declarations::*;
