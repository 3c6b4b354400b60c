//! How a command fails: what, on which object, why, what to do next, and the exit status that scripts go by.

use super::catalogs::CatalogError;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// The exit statuses of `kiln`, as `kiln --help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It failed, for a reason that has no status of its own.
    Failed = 1,
    /// The command line makes no sense. Clap ends with the same status.
    Usage = 2,
    /// There is no such instance, image or file.
    NotFound = 3,
    /// What was waited for did not happen in time.
    Timeout = 4,
    /// The host has no room for it.
    Capacity = 5,
    /// kilnd does not answer.
    DaemonDown = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Nobody listens on the socket, or it may not be used by this user.
    #[error("The daemon can't be reached on {socket}")]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The daemon answered, but not in the way that was agreed.
    #[error("The daemon's answer to {request} can't be understood")]
    Answer {
        /// What it was asked.
        request: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The connection ended before the answer was there.
    #[error("The daemon did not finish its answer to {request}; it may have been stopped")]
    Lost {
        /// What it was asked.
        request: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The daemon refused.
    #[error("{operation} failed: {message} ({code})")]
    Refused {
        /// EC2's name of what was asked, or the path.
        operation: String,
        /// EC2's error code.
        code: String,
        /// The daemon's sentence.
        message: String,
        /// Under which the daemon's log has it.
        request_id: String,
    },
    /// A name, identifier or prefix that nothing has.
    #[error("There is no {noun} {name:?}")]
    NotFound {
        /// `instance`, `image` and so on.
        noun: &'static str,
        /// What was given.
        name: String,
        /// Names much like it.
        alike: Vec<String>,
        /// What to do when none is alike.
        advice: String,
    },
    /// A name or prefix that several have.
    #[error("Several {noun}s match {name:?}: {}", matches.join(", "))]
    Ambiguous {
        /// `instance`, `image` and so on.
        noun: &'static str,
        /// What was given.
        name: String,
        /// Their identifiers.
        matches: Vec<String>,
    },
    /// What was waited for did not happen in time.
    #[error("Instance {instance} did not reach {goal} within {seconds} s; it is {state} now")]
    Timeout {
        /// The instance.
        instance: String,
        /// The state or stage.
        goal: String,
        /// The limit.
        seconds: u64,
        /// Its state.
        state: String,
    },
    /// What was waited for can't happen any more.
    #[error("Instance {instance} is {state} and will not reach {goal}: {reason}")]
    Unreached {
        /// The instance.
        instance: String,
        /// The state or stage.
        goal: String,
        /// Its state.
        state: String,
        /// Its state's reason.
        reason: String,
    },
    /// A guest can't be got into.
    #[error("There is no way into {instance} by ssh yet: {problem}")]
    NoSsh {
        /// The instance.
        instance: String,
        /// What was in the way last.
        problem: String,
    },
    /// An image could not be made.
    #[error("The image {image} is {state}: {why}")]
    ImageNotMade {
        /// The image.
        image: String,
        /// What it is instead of available.
        state: String,
        /// Why.
        why: String,
    },
    /// A volume could not be made.
    #[error("The volume {volume} could not be made; the daemon's log says why")]
    VolumeNotMade {
        /// The volume.
        volume: String,
    },
    /// A root volume could not be replaced.
    #[error("The root volume is not replaced, and the instance has the one that it had ({task}): {why}")]
    RootNotReplaced {
        /// The task.
        task: String,
        /// Why.
        why: String,
    },
    /// A file of the user's can't be used.
    #[error("File {path} can't be used")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("Can't start {program}")]
    Start {
        /// The program.
        program: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A program that was run failed.
    #[error("{program} failed, {status}")]
    Program {
        /// The program.
        program: String,
        /// How it ended.
        status: String,
    },
    /// The arguments make no sense together.
    #[error("{0}")]
    Usage(String),
    /// A task of the daemon's failed.
    #[error("The {noun} of {what} failed: {message}")]
    Task {
        /// `import` or `export`.
        noun: &'static str,
        /// Of what.
        what: String,
        /// What the task says.
        message: String,
    },
    /// A catalog, or an image of it, can't be had.
    #[error(transparent)]
    Catalog(Box<CatalogError>),
    /// Its user ended an export.
    #[error("The export of {image} was interrupted; nothing is left of it")]
    Interrupted {
        /// The image.
        image: String,
    },
    /// Signals can't be listened to.
    #[error("Signals can't be listened to")]
    Signals(#[source] io::Error),
    /// The daemon's configuration can't be read.
    #[error("The daemon's configuration can't be used")]
    Config(#[source] Box<crate::config::LoadConfigError>),
    /// The daemon has no query endpoint.
    #[error("The daemon has no query endpoint, where clients of EC2 could ask it")]
    NoEndpoint,
    /// `doctor` found something that must be mended.
    #[error("{0} of the checks failed; each line above says what to do")]
    Unfit(usize),
    /// `pool scrub` found snapshots that are not what they were.
    #[error("{0} snapshots are not what was written")]
    Damaged(usize),
    /// `why` found out why.
    #[error("{instance} can't be reached: {problems} of the steps failed; each line above says what to do")]
    NoWay {
        /// The instance, as its owner calls it.
        instance: String,
        /// How many.
        problems: usize,
    },
    /// The terminal could not be used.
    #[error("The terminal can't be used")]
    Terminal(#[source] io::Error),
    /// Standard output could not be written.
    #[error("Standard output can't be written")]
    Output(#[source] io::Error),
}

impl From<CatalogError> for CommandError {
    fn from(error: CatalogError) -> CommandError {
        CommandError::Catalog(Box::new(error))
    }
}

impl CommandError {
    /// The exit status that goes with it.
    pub fn exit(&self) -> Exit {
        match self {
            CommandError::Unreachable { .. } | CommandError::Lost { .. } => Exit::DaemonDown,
            CommandError::NotFound { .. } => Exit::NotFound,
            CommandError::Ambiguous { .. } | CommandError::Usage(_) => Exit::Usage,
            CommandError::Timeout { .. } | CommandError::NoSsh { .. } => Exit::Timeout,
            CommandError::File { source, .. } if source.kind() == io::ErrorKind::NotFound => Exit::NotFound,
            CommandError::Refused { code, .. } => match code.as_str() {
                "InsufficientInstanceCapacity" => Exit::Capacity,
                code if code.ends_with(".NotFound") => Exit::NotFound,
                _ => Exit::Failed,
            },
            CommandError::Catalog(error) => error.exit(),
            _ => Exit::Failed,
        }
    }

    /// Whether the reader of standard output has had enough (`kiln ps | head -1`): no failure at all.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, CommandError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What to do next.
    fn advice(&self) -> Option<String> {
        Some(match self {
            CommandError::Unreachable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "join the group of the socket, or use sudo: usermod -aG kiln YOU, then log in anew".into()
            }
            CommandError::Unreachable { .. } => {
                "start it with systemctl start kilnd, or name its socket with --socket; kiln doctor checks the host"
                    .into()
            }
            CommandError::Lost { .. } | CommandError::Answer { .. } => "journalctl -u kilnd says what happened".into(),
            CommandError::NotFound { alike, advice, .. } => match alike.as_slice() {
                [] => advice.clone(),
                alike => format!("did you mean {}?", alike.join(" or ")),
            },
            CommandError::Catalog(error) => error.advice()?.into(),
            CommandError::Ambiguous {
                noun: "catalog image", ..
            } => "name the catalog too: CATALOG/NAME".into(),
            CommandError::Ambiguous { .. } => "give more of the identifier".into(),
            CommandError::Timeout { instance, .. }
            | CommandError::NoSsh { instance, .. }
            | CommandError::Unreached { instance, .. } => {
                format!("kiln logs {instance} shows how far it came")
            }
            CommandError::NoEndpoint => {
                "write listen = \"127.0.0.1:8773\" under [ec2] in /etc/kiln/kiln.toml, and systemctl restart kilnd; guests run on".into()
            }
            CommandError::Start { program: "aws", .. } => "install it: apt install awscli, or pip install awscli".into(),
            CommandError::Damaged(_) => {
                "copy what you need out of them, check the disk, and make them anew: kiln snapshots create, kiln images create".into()
            }
            CommandError::VolumeNotMade { volume } => format!("kiln volumes rm {volume}, and make it again"),
            CommandError::ImageNotMade { image, .. } => format!("kiln images rm {image}, and make it again"),
            CommandError::Refused { code, .. } if code == "InsufficientInstanceCapacity" => {
                "stop an instance, or take a smaller --type; kiln status shows what is free".into()
            }
            CommandError::Refused { code, .. } if code == "InternalError" => {
                "journalctl -u kilnd has the cause under this request".into()
            }
            _ => return None,
        })
    }

    /// All that a person is told: the failure, its causes, what to do, the request.
    pub fn report(&self) -> String {
        let mut text = format!("error: {self}\n");
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let _ = writeln!(
                text,
                "  why: {}",
                error.to_string().trim_end().replace('\n', "\n       ")
            );
            cause = error.source();
        }
        if let Some(advice) = self.advice() {
            let _ = writeln!(text, "  try: {advice}");
        }
        if let CommandError::Refused { request_id, .. } = self {
            let _ = writeln!(text, "  request: {request_id}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str) -> CommandError {
        CommandError::Refused {
            operation: "RunInstances".into(),
            code: code.into(),
            message: "No".into(),
            request_id: "r-1".into(),
        }
    }

    #[test]
    fn codes_of_the_daemon_become_exit_statuses() {
        assert_eq!(refused("InvalidAMIID.NotFound").exit(), Exit::NotFound);
        assert_eq!(refused("InsufficientInstanceCapacity").exit(), Exit::Capacity);
        assert_eq!(refused("InvalidParameterValue").exit(), Exit::Failed);
    }

    #[test]
    fn a_report_says_what_failed_why_and_what_to_do() {
        let text = CommandError::Unreachable {
            socket: "/run/kiln/kiln.sock".into(),
            source: io::Error::from(io::ErrorKind::NotFound),
        }
        .report();
        assert!(
            text.starts_with("error: The daemon can't be reached on /run/kiln/kiln.sock\n  why: "),
            "{text}"
        );
        assert!(text.contains("  try: start it with systemctl start kilnd"), "{text}");
        assert!(refused("InternalError").report().ends_with("  request: r-1\n"));
    }
}
