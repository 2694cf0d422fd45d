//! Finds libdpo.so: in `LIBDPO_DIR` (what `make build` or `make install` wrote, with lib and include in it), or where
//! pkg-config says, or where the linker looks anyway. Crates that depend on this one get the folder as `DEP_DPO_LIB`.

use std::env;
use std::path::Path;
use std::process::{exit, Command};

fn main() {
    println!("cargo:rerun-if-env-changed=LIBDPO_DIR");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
    println!("cargo:rustc-link-lib=dylib=dpo");
    if let Some((lib, include)) = in_directory().or_else(by_pkg_config) {
        println!("cargo:rustc-link-search=native={lib}");
        println!("cargo:lib={lib}");
        println!("cargo:include={include}");
        // For this crate's test, which compiles a C program.
        println!("cargo:rustc-env=LIBDPO_INCLUDE={include}");
    } else {
        println!("cargo:warning=libdpo.so is looked for where the linker looks: neither LIBDPO_DIR nor pkg-config tells of it");
        println!("cargo:rustc-env=LIBDPO_INCLUDE=");
    }
}

fn in_directory() -> Option<(String, String)> {
    let root = env::var("LIBDPO_DIR").ok()?;
    let (lib, include) = (format!("{root}/lib"), format!("{root}/include"));
    if !Path::new(&lib).join("libdpo.so").exists() {
        eprintln!("LIBDPO_DIR is {root}, but there is no {lib}/libdpo.so");
        exit(1);
    }
    Some((lib, include))
}

fn by_pkg_config() -> Option<(String, String)> {
    Some((variable("libdir")?, variable("includedir")?))
}

fn variable(name: &str) -> Option<String> {
    let output = Command::new("pkg-config").args([&format!("--variable={name}"), "dpo"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_string();
    (output.status.success() && !text.is_empty()).then_some(text)
}
