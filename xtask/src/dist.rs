//! What a release of the command-line tool is made of: a static binary, manual pages, completions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::stage::{Stop, Verdict, cargo, root, run, stdout_of, target_dir, works};

/// Shells, with the file names that they look for.
const SHELLS: [(&str, &str); 5] = [
    ("bash", "netmidi.bash"),
    ("elvish", "netmidi.elv"),
    ("fish", "netmidi.fish"),
    ("powershell", "_netmidi.ps1"),
    ("zsh", "_netmidi"),
];

/// What goes along, from the folder of the workspace.
const TEXTS: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"];

/// Builds everything into `target/dist`, and looks whether it is whole.
pub(crate) fn check() -> Verdict {
    let target = target()?;
    let built = static_binary()?;
    let version = stdout_of(Command::new(&built).arg("--version"))?;
    let version = version.split_whitespace().nth(1).unwrap_or_default();
    let name = format!("netmidi-{version}-{target}");
    let folder = target_dir().join("dist").join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| told(&folder, &error))?;
    }
    let binary = folder.join("netmidi");
    let (man, completions) = (folder.join("man/man1"), folder.join("completions"));
    for path in [&man, &completions] {
        fs::create_dir_all(path).map_err(|error| told(path, &error))?;
    }
    fs::copy(&built, &binary).map_err(|error| told(&binary, &error))?;
    for text in TEXTS {
        let to = folder.join(text);
        fs::copy(root().join(text), &to).map_err(|error| told(&to, &error))?;
    }
    run(Command::new(&binary).arg("man").arg(&man))?;
    let mut commands = 0;
    for page in fs::read_dir(&man).map_err(|error| told(&man, &error))? {
        let page = page.map_err(|error| told(&man, &error))?.path();
        let text = fs::read_to_string(&page).map_err(|error| told(&page, &error))?;
        if !text.contains(".SH NAME") || !text.contains(".SH SYNOPSIS") {
            return Err(format!("{} is no manual page", page.display()).into());
        }
        commands += 1;
    }
    for (shell, file) in SHELLS {
        let script = stdout_of(Command::new(&binary).args(["completions", shell]))?;
        if !script.contains("serve") {
            return Err(format!("the completions for {shell} do not know `serve`").into());
        }
        let to = completions.join(file);
        fs::write(&to, script).map_err(|error| told(&to, &error))?;
    }
    let octets = fs::metadata(&binary)
        .map_err(|error| told(&binary, &error))?
        .len();
    println!(
        "{}: {:.1} MB static, {commands} manual pages, completions for {} shells",
        folder.display(),
        octets as f64 / 1e6,
        SHELLS.len()
    );
    let archive = format!("{name}.tar.gz");
    let mut tar = Command::new("tar");
    tar.args(["czf", &archive, &name])
        .current_dir(target_dir().join("dist"));
    if works(Command::new("tar").arg("--version")) {
        run(&mut tar)?;
    }
    Ok(())
}

/// The release build of the tool that needs nothing of the system, without local ports.
pub(crate) fn static_binary() -> Result<PathBuf, Stop> {
    let target = target()?;
    // A target that is named keeps the flags away from build scripts and procedural macros, which
    // cannot be static.
    run(cargo([
        "build",
        "--release",
        "--package",
        "netmidi-cli",
        "--no-default-features",
        "--target",
        &target,
    ])
    .env("RUSTFLAGS", "-C target-feature=+crt-static"))?;
    let binary = target_dir()
        .join(&target)
        .join("release")
        .join(format!("netmidi{}", std::env::consts::EXE_SUFFIX));
    if cfg!(target_os = "linux") {
        let octets = fs::read(&binary).map_err(|error| told(&binary, &error))?;
        if is_dynamic(&octets) != Some(false) {
            return Err(format!("{} needs a dynamic linker", binary.display()).into());
        }
    }
    Ok(binary)
}

/// The target that is built for.
fn target() -> Result<String, Stop> {
    let version = stdout_of(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or_else(|| "rustc does not tell its host".to_owned())?;
    if !host.contains("linux") {
        return Ok(host.to_owned());
    }
    // Static by itself; used where its standard library is installed.
    let musl = host.replace("-gnu", "-musl");
    let sysroot = stdout_of(Command::new("rustc").args(["--print", "sysroot"]))?;
    let installed = Path::new(sysroot.trim()).join("lib/rustlib").join(&musl);
    Ok(match installed.join("lib").exists() {
        true => musl,
        false => host.to_owned(),
    })
}

/// Whether an ELF file of 64 bits names an interpreter (`PT_INTERP`); none if it is no such file.
fn is_dynamic(octets: &[u8]) -> Option<bool> {
    const INTERPRETER: u32 = 3;
    let number = |at: usize, len: usize| -> Option<u64> {
        let mut octets = octets.get(at..at + len)?.to_vec();
        octets.resize(8, 0);
        Some(u64::from_le_bytes(octets.try_into().ok()?))
    };
    if octets.get(..6)? != b"\x7FELF\x02\x01" {
        return None;
    }
    let (first, size) = (number(32, 8)?, number(54, 2)?);
    for index in 0..number(56, 2)? {
        let at = usize::try_from(first + index * size).ok()?;
        if number(at, 4)? == u64::from(INTERPRETER) {
            return Some(true);
        }
    }
    Some(false)
}

fn told(path: &Path, error: &std::io::Error) -> Stop {
    Stop::Failed(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_is_found() {
        // A header with one program header behind it.
        let elf = |kind: u8| {
            let mut octets = vec![0; 64 + 56];
            octets[..6].copy_from_slice(b"\x7FELF\x02\x01");
            octets[32] = 64;
            octets[54] = 56;
            octets[56] = 1;
            octets[64] = kind;
            octets
        };
        assert_eq!(is_dynamic(&elf(3)), Some(true));
        assert_eq!(is_dynamic(&elf(1)), Some(false));
        assert_eq!(is_dynamic(b"MZ"), None);
    }
}
