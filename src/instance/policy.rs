//! What a request does in each state, and what becomes of an instance whose machine has ended. Pure: the actor asks.

use super::ending::Ending;
use crate::model::{InstanceState, Protection, ReasonCode, ShutdownBehavior};
use InstanceState::{Pending, Running, ShuttingDown, Stopped, Stopping, Terminated};

/// What a user asks of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ask {
    /// StartInstances.
    Start,
    /// StopInstances; by force, the guest is not asked.
    Stop {
        /// Whether the guest is not asked.
        force: bool,
    },
    /// RebootInstances.
    Reboot,
    /// TerminateInstances; by force, the guest is not asked.
    Terminate {
        /// Whether the guest is not asked.
        force: bool,
    },
}

impl Ask {
    /// What can't be done to an instance in the wrong state: `started`, `stopped`.
    pub const fn participle(self) -> &'static str {
        match self {
            Self::Start => "started",
            Self::Stop { .. } => "stopped",
            Self::Reboot => "rebooted",
            Self::Terminate { .. } => "terminated",
        }
    }
}

/// What is to be done about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is carried out.
    Act,
    /// It is so already, or on its way; nothing changes.
    Nothing,
    /// It can't be done in this state (`IncorrectInstanceState`).
    Refuse,
}

/// What a request does to an instance in `state`.
pub fn decide(state: InstanceState, rebooting: bool, ask: Ask) -> Verdict {
    use Verdict::{Act, Nothing, Refuse};
    match (ask, state) {
        (Ask::Start, Stopped) => Act,
        (Ask::Start, Pending | Running) => Nothing,
        (Ask::Start, Stopping | ShuttingDown | Terminated) => Refuse,

        (Ask::Stop { .. }, Running) => Act,
        (Ask::Stop { force: true }, Stopping) => Act,
        (Ask::Stop { force: false }, Stopping) => Nothing,
        (Ask::Stop { .. }, Stopped) => Nothing,
        // As EC2: what is not up yet can be terminated, and not stopped.
        (Ask::Stop { .. }, Pending | ShuttingDown | Terminated) => Refuse,

        (Ask::Reboot, Running) if rebooting => Nothing,
        (Ask::Reboot, Running) => Act,
        (Ask::Reboot, Pending | Stopping | Stopped | ShuttingDown | Terminated) => Refuse,

        (Ask::Terminate { .. }, Pending | Running | Stopping | Stopped) => Act,
        (Ask::Terminate { force: true }, ShuttingDown) => Act,
        (Ask::Terminate { force: false }, ShuttingDown) => Nothing,
        (Ask::Terminate { .. }, Terminated) => Nothing,
    }
}

/// What protects an instance from a request that would be carried out, by EC2's name.
pub const fn forbidden(protection: Protection, ask: Ask) -> Option<&'static str> {
    match ask {
        Ask::Terminate { .. } if protection.termination => Some("disableApiTermination"),
        // What is not to be stopped is not to be stopped for good, either.
        Ask::Stop { .. } | Ask::Terminate { .. } if protection.stop => Some("disableApiStop"),
        _ => None,
    }
}

/// What becomes of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is stopped. Without a reason it keeps the one it has.
    Stop(Option<(ReasonCode, String)>),
    /// It is terminated. Without a reason it keeps the one it has.
    Terminate(Option<(ReasonCode, String)>),
    /// It is running and boots again, from the root volume that it is given; or, if there is a reason why it can't, from the one it had.
    Boot(Option<String>),
}

/// What becomes of an instance whose machine has ended.
pub fn fate(state: InstanceState, behavior: ShutdownBehavior, ending: &Ending) -> Fate {
    match (state, ending) {
        (Stopping | Stopped, _) => Fate::Stop(None),
        (ShuttingDown | Terminated, _) => Fate::Terminate(None),
        (Pending | Running, Ending::PoweredOff) => {
            let reason = Some((
                ReasonCode::InstanceInitiatedShutdown,
                "Instance initiated shutdown".into(),
            ));
            match behavior {
                ShutdownBehavior::Stop => Fate::Stop(reason),
                ShutdownBehavior::Terminate => Fate::Terminate(reason),
            }
        }
        // A user's data is at stake: what ended by itself is stopped, whatever its guest's shutdown would do.
        (Pending | Running, Ending::BootFailed(why)) => Fate::Stop(Some((ReasonCode::ClientError, why.clone()))),
        (Pending | Running, ending) => Fate::Stop(Some((ReasonCode::InternalError, ending.describe()))),
    }
}

/// What becomes of an instance that could not be started: one that never ran is terminated, as EC2 does; another goes
/// back to being stopped.
pub fn failed_start(state: InstanceState, ran: bool, code: ReasonCode, why: String) -> Fate {
    match state {
        Stopping | Stopped => Fate::Stop(None),
        ShuttingDown | Terminated => Fate::Terminate(None),
        Pending | Running if ran => Fate::Stop(Some((code, why))),
        Pending | Running => Fate::Terminate(Some((code, why))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKS: [Ask; 6] = [
        Ask::Start,
        Ask::Stop { force: false },
        Ask::Stop { force: true },
        Ask::Reboot,
        Ask::Terminate { force: false },
        Ask::Terminate { force: true },
    ];

    fn of(state: InstanceState, ask: Ask) -> Verdict {
        decide(state, false, ask)
    }

    #[test]
    fn a_second_start_changes_nothing() {
        assert_eq!(of(Stopped, Ask::Start), Verdict::Act);
        assert_eq!(of(Pending, Ask::Start), Verdict::Nothing);
        assert_eq!(of(Running, Ask::Start), Verdict::Nothing);
    }

    #[test]
    fn an_instance_that_is_going_down_is_not_started() {
        for state in [Stopping, ShuttingDown, Terminated] {
            assert_eq!(of(state, Ask::Start), Verdict::Refuse, "{state}");
        }
    }

    #[test]
    fn a_pending_instance_can_not_be_stopped_and_can_be_terminated() {
        assert_eq!(of(Pending, Ask::Stop { force: false }), Verdict::Refuse);
        assert_eq!(of(Pending, Ask::Stop { force: true }), Verdict::Refuse);
        assert_eq!(of(Pending, Ask::Terminate { force: false }), Verdict::Act);
    }

    #[test]
    fn a_stop_can_be_forced_while_it_is_under_way() {
        assert_eq!(of(Stopping, Ask::Stop { force: false }), Verdict::Nothing);
        assert_eq!(of(Stopping, Ask::Stop { force: true }), Verdict::Act);
    }

    #[test]
    fn a_stopping_instance_can_be_terminated() {
        assert_eq!(of(Stopping, Ask::Terminate { force: false }), Verdict::Act);
    }

    #[test]
    fn nothing_brings_a_terminated_instance_back() {
        for ask in ASKS {
            assert_ne!(of(Terminated, ask), Verdict::Act, "{ask:?}");
        }
    }

    #[test]
    fn terminate_is_never_refused() {
        for state in InstanceState::ALL {
            assert_ne!(of(state, Ask::Terminate { force: false }), Verdict::Refuse, "{state}");
        }
    }

    #[test]
    fn a_reboot_under_way_is_not_begun_again() {
        assert_eq!(decide(Running, true, Ask::Reboot), Verdict::Nothing);
        assert_eq!(decide(Running, true, Ask::Stop { force: false }), Verdict::Act);
    }

    #[test]
    fn an_instance_is_protected_from_what_would_take_it_down_and_from_nothing_else() {
        let of = |termination, stop, ask| forbidden(Protection { termination, stop }, ask);
        let (stop, terminate) = (Ask::Stop { force: true }, Ask::Terminate { force: true });
        assert_eq!(of(true, false, terminate), Some("disableApiTermination"));
        assert_eq!(of(true, false, stop), None);
        assert_eq!(of(false, true, stop), Some("disableApiStop"));
        assert_eq!(of(false, true, terminate), Some("disableApiStop"));
        for ask in [Ask::Start, Ask::Reboot] {
            assert_eq!(of(true, true, ask), None);
        }
        assert!(ASKS.into_iter().all(|ask| of(false, false, ask).is_none()));
    }

    #[test]
    fn the_guests_own_power_off_does_what_the_instance_says() {
        let of = |behavior| fate(Running, behavior, &Ending::PoweredOff);
        let reason = |code| matches!(code, Some((ReasonCode::InstanceInitiatedShutdown, _)));
        assert!(matches!(of(ShutdownBehavior::Stop), Fate::Stop(code) if reason(code.clone())));
        assert!(matches!(of(ShutdownBehavior::Terminate), Fate::Terminate(code) if reason(code.clone())));
    }

    #[test]
    fn a_crash_never_terminates() {
        for ending in [
            Ending::Crashed("rip".into()),
            Ending::Failed("x".into()),
            Ending::Vanished,
            Ending::Ended,
        ] {
            for state in [Pending, Running] {
                let fate = fate(state, ShutdownBehavior::Terminate, &ending);
                assert!(
                    matches!(fate, Fate::Stop(Some((ReasonCode::InternalError, _)))),
                    "{ending:?}: {fate:?}"
                );
            }
        }
    }

    #[test]
    fn only_an_instance_that_never_ran_is_terminated_by_a_failed_start() {
        let of = |ran| failed_start(Pending, ran, ReasonCode::ClientError, "no kernel".into());
        assert!(matches!(of(false), Fate::Terminate(Some(_))));
        assert!(matches!(of(true), Fate::Stop(Some(_))));
    }
}
