//! How a guest is brought down: the power button, pressed again until it reacts; after the time limit, by force.
//!
//! A guest's button driver may be loaded late, and a press before that is lost: hence the repetition.

use std::time::Duration;
use tokio::time::Instant;

/// How long a guest has before the button is pressed again.
const PRESS_AGAIN: Duration = Duration::from_secs(5);
/// How long a monitor has to end its machine, before it is killed.
const KILL_AFTER: Duration = Duration::from_secs(15);

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Press the power button.
    Press,
    /// Press it, and have the machine boot again when its guest is off.
    Reboot,
    /// Reset the machine: its guest did not react to a reboot.
    Reset,
    /// End the machine.
    End,
    /// Kill the monitor.
    Kill,
}

/// What happens when the guest does not react in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastResort {
    /// The machine is ended.
    End,
    /// The machine is reset.
    Reset,
}

/// A guest's way down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    next: Option<(Step, Instant)>,
    force_at: Instant,
    last_resort: LastResort,
}

impl Plan {
    /// The button now and again, and the last resort at `force_at`.
    pub fn gentle(now: Instant, force_at: Instant, last_resort: LastResort) -> Self {
        let plan = Self {
            next: None,
            force_at,
            last_resort,
        };
        Self {
            next: Some(plan.button_or_force(now)),
            ..plan
        }
    }

    /// No button: the machine is ended at once.
    pub fn forced(now: Instant) -> Self {
        Self {
            next: Some((Step::End, now)),
            force_at: now,
            last_resort: LastResort::End,
        }
    }

    /// When something is to be done; none when nothing is left to do.
    pub fn due(&self) -> Option<Instant> {
        self.next.map(|(_, due)| due)
    }

    /// What is to be done at `now`, if anything; it counts as done.
    pub fn step(&mut self, now: Instant) -> Option<Step> {
        let (step, _) = self.next.filter(|(_, due)| *due <= now)?;
        self.next = match step {
            Step::Press | Step::Reboot => Some(self.button_or_force(now + PRESS_AGAIN)),
            Step::End => Some((Step::Kill, now + KILL_AFTER)),
            Step::Reset | Step::Kill => None,
        };
        Some(step)
    }

    /// The next press at `at`, unless the time is up before it.
    fn button_or_force(&self, at: Instant) -> (Step, Instant) {
        let (button, force) = match self.last_resort {
            LastResort::End => (Step::Press, Step::End),
            LastResort::Reset => (Step::Reboot, Step::Reset),
        };
        if at < self.force_at {
            (button, at)
        } else {
            (force, self.force_at)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All steps of a plan with the seconds at which they come.
    fn steps(mut plan: Plan, start: Instant) -> Vec<(Step, u64)> {
        let mut steps = Vec::new();
        while let Some(due) = plan.due() {
            steps.push((plan.step(due).unwrap(), (due - start).as_secs()));
            assert!(steps.len() < 100);
        }
        steps
    }

    #[test]
    fn the_button_is_pressed_again_until_the_time_is_up_then_force_is_used() {
        let now = Instant::now();
        let stop = Plan::gentle(now, now + Duration::from_secs(12), LastResort::End);
        let expected = [
            (Step::Press, 0),
            (Step::Press, 5),
            (Step::Press, 10),
            (Step::End, 12),
            (Step::Kill, 27),
        ];
        assert_eq!(steps(stop, now), expected);
    }

    #[test]
    fn a_reboot_ends_in_a_reset() {
        let now = Instant::now();
        let reboot = Plan::gentle(now, now + Duration::from_secs(4), LastResort::Reset);
        assert_eq!(steps(reboot, now), [(Step::Reboot, 0), (Step::Reset, 4)]);
    }

    #[test]
    fn force_asks_no_guest_and_neither_does_a_stop_whose_time_was_up_while_the_daemon_was_down() {
        let now = Instant::now();
        assert_eq!(steps(Plan::forced(now), now), [(Step::End, 0), (Step::Kill, 15)]);
        let late = Plan::gentle(now, now, LastResort::End);
        assert_eq!(steps(late, now), [(Step::End, 0), (Step::Kill, 15)]);
    }

    #[test]
    fn nothing_is_done_before_its_time() {
        let now = Instant::now();
        let mut plan = Plan::gentle(now, now + Duration::from_secs(60), LastResort::End);
        assert_eq!(plan.step(now), Some(Step::Press));
        assert_eq!(plan.step(now + Duration::from_secs(4)), None);
    }
}
