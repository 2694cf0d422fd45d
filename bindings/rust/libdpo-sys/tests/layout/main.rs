//! The declarations are those of the header: a C compiler's sizes, offsets and constants beside Rust's.

use libdpo_sys::*;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::mem::{align_of, size_of, MaybeUninit};
use std::process::Command;
use std::ptr::addr_of;

/// By name; as the C program prints them, with the C expression that gives the number.
type Numbers = Vec<(String, i64)>;

macro_rules! structs {
    ($($name:ident { $($field:ident),* })*) => {
        pub fn structs() -> Numbers {
            let mut numbers = Numbers::new();
            $(
                numbers.push((format!("sizeof({})", stringify!($name)), size_of::<$name>() as i64));
                numbers.push((format!("_Alignof({})", stringify!($name)), align_of::<$name>() as i64));
                let value = MaybeUninit::<$name>::uninit();
                let start = value.as_ptr();
                $(
                    // No field is read: only addresses are taken.
                    let place = unsafe { addr_of!((*start).$field) } as usize - start as usize;
                    let field = stringify!($field).trim_start_matches("r#");
                    numbers.push((format!("offsetof({}, {})", stringify!($name), field), place as i64));
                )*
            )*
            numbers
        }
    };
}

macro_rules! constants {
    ($($name:ident)*) => {
        pub fn constants() -> Numbers {
            vec![$((stringify!($name).to_string(), $name as i64)),*]
        }
    };
}

macro_rules! functions {
    ($($name:ident)*) => {
        pub fn functions() -> Vec<(&'static str, usize)> {
            vec![$((stringify!($name), $name as *const () as usize)),*]
        }
    };
}

#[rustfmt::skip]
mod table;

/// Prints each expression and its value.
fn by_c(expressions: &[String]) -> BTreeMap<String, i64> {
    let directory = env::temp_dir().join(format!("libdpo-layout-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let (source, program) = (directory.join("layout.c"), directory.join("layout"));
    let mut text = String::from("#include <dpo.h>\n#include <stdio.h>\nint main(void) {\n");
    for expression in expressions {
        text += &format!("    printf(\"%s = %lld\\n\", \"{expression}\", (long long)({expression}));\n");
    }
    text += "    return 0;\n}\n";
    fs::write(&source, text).unwrap();
    let mut compiler = Command::new(env::var("CC").unwrap_or_else(|_| "cc".into()));
    compiler.arg("-std=c11").arg(&source).arg("-o").arg(&program);
    if !env!("LIBDPO_INCLUDE").is_empty() {
        compiler.arg(concat!("-I", env!("LIBDPO_INCLUDE")));
    }
    let compiled = compiler.output().expect("this test needs a C compiler, cc or what CC names");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let output = String::from_utf8(Command::new(&program).output().unwrap().stdout).unwrap();
    fs::remove_dir_all(&directory).unwrap();
    let pairs = output.lines().map(|line| line.split_once(" = ").unwrap());
    pairs.map(|(name, value)| (name.to_string(), value.parse().unwrap())).collect()
}

#[test]
fn structs_and_constants_are_those_of_the_header() {
    let ours: Numbers = table::structs().into_iter().chain(table::constants()).collect();
    assert!(ours.len() > 200);
    let names: Vec<String> = ours.iter().map(|(name, _)| name.clone()).collect();
    let theirs = by_c(&names);
    let differing: Vec<_> = ours.iter().filter(|(name, value)| theirs[name] != *value).collect();
    assert!(differing.is_empty(), "in Rust {differing:?}");
}

#[test]
fn every_function_is_in_the_library() {
    assert!(table::functions().iter().all(|(_, place)| *place != 0));
    assert_eq!(unsafe { dpo_abi_version() }, DPO_ABI_VERSION);
}
