//! Proves that the core crates need neither `std` nor, where they say so, an allocator.
//!
//! A `#![no_std]` static library with its own panic handler names each of them. Where `std` hides
//! anywhere below, there are two panic handlers and the compiler says E0152, on any target: no
//! bare-metal toolchain is needed. A crate that is not named would not be linked and would prove
//! nothing, so a third library shows that the proof can fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::manifest::Manifest;
use crate::stage::{Stop, Verdict, cargo, root, run, target_dir};

/// Everything below the sockets.
const WITH_ALLOCATOR: &[&str] = &[
    "netmidi-message",
    "netmidi-wire",
    "netmidi-journal",
    "netmidi-session",
];

/// What also works without a heap.
const WITHOUT_ALLOCATOR: &[&str] = &["netmidi-message", "netmidi-wire", "netmidi-journal"];

/// A crate of ours that brings `std` when it is told to.
const HIDDEN_STD: &str = "netmidi-message";

const PANIC_HANDLER: &str = "
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
";

const ALLOCATOR: &str = "
struct Nothing;

unsafe impl core::alloc::GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: core::alloc::Layout) -> *mut u8 {
        core::ptr::null_mut()
    }
    unsafe fn dealloc(&self, _: *mut u8, _: core::alloc::Layout) {}
}

#[global_allocator]
static NOTHING: Nothing = Nothing;
";

pub(crate) fn check() -> Verdict {
    let mut heap = Vec::new();
    for name in WITH_ALLOCATOR {
        let manifest = manifest_of(name)?;
        let alloc = manifest.features.iter().any(|feature| feature == "alloc");
        heap.push((*name, if alloc { "\"alloc\"" } else { "" }));
    }
    let mut no_heap = Vec::new();
    for name in WITHOUT_ALLOCATOR {
        manifest_of(name)?;
        no_heap.push((*name, ""));
    }
    let std = [(HIDDEN_STD, "\"std\"")];

    println!("with an allocator: {}", WITH_ALLOCATOR.join(", "));
    run(&mut library("heap", &heap, ALLOCATOR)?)?;
    println!("without an allocator: {}", WITHOUT_ALLOCATOR.join(", "));
    run(&mut library("no-heap", &no_heap, "")?)?;
    println!("the proof can fail: {HIDDEN_STD} with its feature std");
    must_fail(&mut library("hidden-std", &std, ALLOCATOR)?)
}

fn manifest_of(name: &str) -> Result<Manifest, Stop> {
    let path = root().join("crates").join(name).join("Cargo.toml");
    if path.exists() {
        Manifest::read(&path)
    } else {
        Err(format!("crates/{name} does not exist, but it is in the list of core crates").into())
    }
}

/// Writes a static library over `crates` (name, features) and gives the command to build it.
fn library(name: &str, crates: &[(&str, &str)], allocator: &str) -> Result<Command, Stop> {
    let folder = target_dir().join("nostd").join(name);
    let mut manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [lib]\npath = \"lib.rs\"\ncrate-type = [\"staticlib\"]\n\n\
         [profile.dev]\npanic = \"abort\"\n\n[dependencies]\n"
    );
    let mut source = "#![no_std]\n\n".to_owned();
    for (krate, features) in crates {
        let path = root().join("crates").join(krate);
        manifest.push_str(&format!(
            "{krate} = {{ path = {path:?}, default-features = false, features = [{features}] }}\n"
        ));
        source.push_str(&format!("use {} as _;\n", krate.replace('-', "_")));
    }
    source.push_str(PANIC_HANDLER);
    source.push_str(allocator);

    let lock = fs::read_to_string(root().join("Cargo.lock"))
        .map_err(|error| format!("Cargo.lock: {error}"))?;
    write(&folder, "Cargo.toml", &manifest)?;
    write(&folder, "lib.rs", &source)?;
    // The versions of the workspace, so that nothing new has to be resolved or downloaded.
    write(&folder, "Cargo.lock", &lock)?;

    let mut command = cargo(["build", "--quiet", "--target-dir"]);
    command
        .arg(target_dir().join("nostd").join("target"))
        .current_dir(folder);
    Ok(command)
}

fn write(folder: &Path, name: &str, text: &str) -> Verdict {
    let path: PathBuf = folder.join(name);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, text))
        .map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Builds a library that has `std` below it; E0152 is the only right end.
fn must_fail(command: &mut Command) -> Verdict {
    let output = command
        .output()
        .map_err(|error| format!("cargo did not start: {error}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Err(
            "a library with std below it was built: this proof proves nothing"
                .to_owned()
                .into(),
        )
    } else if stderr.contains("E0152") {
        println!("fails with E0152, as it must");
        Ok(())
    } else {
        Err(format!("a library with std below it failed, but not with E0152:\n{stderr}").into())
    }
}
