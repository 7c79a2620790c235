//! What all measurements of this crate need.

#![allow(dead_code, reason = "none needs all of it")]

use std::error::Error;
use std::time::Duration;

pub(crate) type Result<T> = core::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Notes that go on and off all over the keyboard, three octets each.
pub(crate) fn notes(count: usize) -> Vec<u8> {
    let mut octets = Vec::with_capacity(3 * count);
    for number in 0..count {
        let key = (number / 2 * 7 % 128) as u8;
        let velocity = if number % 2 == 0 { 100 } else { 0 };
        octets.extend([0x90, key, velocity]);
    }
    octets
}

/// The number behind `cargo bench`'s own words, if there is any.
pub(crate) fn number() -> Option<usize> {
    std::env::args().find_map(|word| word.parse().ok())
}

/// The processor of the sender, and that of what is measured.
pub(crate) fn processors() -> (usize, usize) {
    let count = std::thread::available_parallelism().map_or(1, Into::into);
    (0, count - 1)
}

/// Keeps the current thread, and those it starts from now on, on one processor. Where the system
/// puts them otherwise decides more than what is measured.
#[cfg(target_os = "linux")]
pub(crate) fn pin_to(processor: usize) {
    let mut set = nix::sched::CpuSet::new();
    let pinned = set
        .set(processor)
        .and_then(|()| nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set));
    if let Err(error) = pinned {
        eprintln!("not kept on processor {processor}: {error}");
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn pin_to(_processor: usize) {}

/// Processor time that the current thread has taken so far; Linux only.
#[cfg(target_os = "linux")]
pub(crate) fn thread_time() -> Option<Duration> {
    used(nix::sys::resource::UsageWho::RUSAGE_THREAD)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn thread_time() -> Option<Duration> {
    None
}

/// Processor time that this process has taken so far.
#[cfg(target_os = "linux")]
pub(crate) fn process_time() -> Option<Duration> {
    used(nix::sys::resource::UsageWho::RUSAGE_SELF)
}

#[cfg(target_os = "linux")]
fn used(who: nix::sys::resource::UsageWho) -> Option<Duration> {
    use nix::sys::time::TimeValLike;
    let usage = nix::sys::resource::getrusage(who).ok()?;
    let both = usage.user_time() + usage.system_time();
    Some(Duration::from_micros(
        both.num_microseconds().try_into().ok()?,
    ))
}

/// How busy the machine is, for whoever reads the numbers.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let average = text.split_whitespace().next().unwrap_or("unknown");
    format!("load average of the last minute: {average}")
}

pub(crate) fn ratio(ours: Duration, plain: Duration) -> f64 {
    ours.as_secs_f64() / plain.as_secs_f64()
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

pub(crate) fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A number that is to be at most this. To miss it is no error: machines differ.
pub(crate) fn at_most(number: f64, goal: f64) -> String {
    let missed = if number > goal { ", missed" } else { "" };
    format!("{number:.2} (goal {goal}{missed})")
}

/// A number that is to be at least this.
pub(crate) fn at_least(number: f64, goal: f64) -> String {
    let missed = if number < goal { ", missed" } else { "" };
    format!("{number:.1} (goal {goal}{missed})")
}
