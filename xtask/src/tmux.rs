//! A terminal that programs are driven in: tmux with a server of our own.

use core::time::Duration;
use std::process::{self, Command};
use std::thread;
use std::time::Instant;

use crate::peers::SOON;
use crate::stage::{Stop, Verdict, stdout_of, works};

/// Between two looks at the screen.
const LOOK: Duration = Duration::from_millis(50);
/// What our shell says when it waits for a command.
const PROMPT: &str = "ready> ";

/// Skips the stage where there is no tmux.
pub(crate) fn need() -> Verdict {
    if works(Command::new("tmux").arg("-V")) {
        Ok(())
    } else {
        let reason = "tmux not found (apt install tmux)";
        Err(Stop::Skipped(reason.to_owned()))
    }
}

/// A terminal of 80 by 24 with a shell in it. Dropping it ends both.
#[derive(Debug)]
pub(crate) struct Tmux {
    server: String,
}

impl Tmux {
    pub(crate) fn start(name: &str) -> Result<Self, Stop> {
        need()?;
        let tmux = Self {
            server: format!("netmidi-{name}-{}", process::id()),
        };
        // Options of the person who runs us must not show in what we look at.
        let size = ["-x", "80", "-y", "24"];
        let shell = ["env", "-u", "NO_COLOR", "-u", "ENV", "LC_ALL=C.UTF-8"];
        let prompt = format!("PS1={PROMPT}");
        let mut command = tmux.command(&["-f", "/dev/null", "new-session", "-d"]);
        command.args(size).args(shell).args([&prompt, "sh", "-i"]);
        stdout_of(&mut command)?;
        tmux.until("the shell is there", |screen| {
            screen.iter().any(|line| line.starts_with(PROMPT.trim()))
        })?;
        Ok(tmux)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-u", "-L", &self.server]).args(args);
        // It may itself run in one.
        command.env_remove("TMUX");
        command
    }

    /// Types a line and its end.
    pub(crate) fn enter(&self, line: &str) -> Verdict {
        self.type_text(line)?;
        self.key("Enter")
    }

    /// Types this, letter by letter.
    pub(crate) fn type_text(&self, text: &str) -> Verdict {
        stdout_of(&mut self.command(&["send-keys", "-l", "--", text])).map(|_| ())
    }

    /// Presses a key by tmux's name for it, such as `C-c` or `Escape`.
    pub(crate) fn key(&self, key: &str) -> Verdict {
        stdout_of(&mut self.command(&["send-keys", key])).map(|_| ())
    }

    pub(crate) fn resize(&self, width: u16, height: u16) -> Verdict {
        let (width, height) = (width.to_string(), height.to_string());
        let resize = ["resize-window", "-x", &width, "-y", &height];
        stdout_of(&mut self.command(&resize)).map(|_| ())
    }

    /// What is on the screen, line by line.
    pub(crate) fn screen(&self) -> Result<Vec<String>, Stop> {
        let text = stdout_of(&mut self.command(&["capture-pane", "-p"]))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The same with its colours.
    pub(crate) fn coloured(&self) -> Result<String, Stop> {
        stdout_of(&mut self.command(&["capture-pane", "-e", "-p"]))
    }

    /// Waits until the screen is as it should be, and gives it.
    pub(crate) fn until(
        &self,
        what: &str,
        is_so: impl Fn(&[String]) -> bool,
    ) -> Result<Vec<String>, Stop> {
        let end = Instant::now() + SOON;
        loop {
            let screen = self.screen()?;
            if is_so(&screen) {
                return Ok(screen);
            }
            if Instant::now() > end {
                let screen = screen.join("\n");
                return Err(format!("not within {SOON:?}: {what}; there was\n{screen}").into());
            }
            thread::sleep(LOOK);
        }
    }

    /// Waits until this is somewhere on the screen.
    pub(crate) fn shows(&self, text: &str) -> Result<Vec<String>, Stop> {
        self.until(&format!("the screen shows {text:?}"), |screen| {
            screen.iter().any(|line| line.contains(text))
        })
    }

    /// Waits until the shell has the terminal again, as it was.
    pub(crate) fn is_given_back(&self, how_it_ended: &str) -> Verdict {
        let is_prompt = |line: &&String| line.starts_with(PROMPT.trim());
        self.until("the shell has the terminal", |screen| {
            let last = screen.iter().rfind(|line| !line.is_empty());
            last.as_ref().is_some_and(is_prompt)
        })?;
        self.enter("echo ended with $?; stty -a | tr ' ;' '\\n\\n' | grep canon")?;
        self.until("it ended well, and the terminal is as it was", |screen| {
            let mut after = screen
                .iter()
                .skip_while(|line| *line != &format!("ended with {how_it_ended}"));
            after.next().is_some() && after.next().is_some_and(|line| line == "icanon")
        })?;
        self.enter("clear")
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // Of our own server only.
        let _ended = works(&mut self.command(&["kill-server"]));
    }
}
