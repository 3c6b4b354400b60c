//! What the control thread knows of the machine: its state, its timeline, and how it ended.

use crate::protocol::{Event, MachineState, Moment, Report, Stage, Status};
use crate::virtio::net::Mac;
use std::collections::BTreeMap;

/// The machine as subscribers and [`Status`] see it.
pub struct MachineView {
    /// The instance; none before the launch.
    pub instance_id: Option<String>,
    /// How it ended.
    pub ended: Option<Report>,
    status: Status,
    /// Since when the interfaces have their leases, in this life of the machine.
    leased: BTreeMap<Mac, u64>,
}

impl Default for MachineView {
    fn default() -> Self {
        let status = Status {
            state: MachineState::Waiting,
            resets: 0,
            timeline: Vec::new(),
        };
        Self {
            instance_id: None,
            ended: None,
            status,
            leased: BTreeMap::new(),
        }
    }
}

impl MachineView {
    /// As the protocol says it.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Whether nothing was launched yet.
    pub fn is_waiting(&self) -> bool {
        self.status.state == MachineState::Waiting
    }

    /// The machine is in `state` now.
    pub fn set_state(&mut self, state: MachineState) {
        self.status.state = state;
    }

    /// A step was reached.
    pub fn reached(&mut self, stage: Stage, at: u64) -> Event {
        let moment = Moment { stage, at };
        self.status.timeline.push(moment);
        Event::Reached(moment)
    }

    /// An interface has its lease.
    pub fn leased(&mut self, mac: Mac, at: u64) -> Event {
        self.leased.insert(mac, at);
        lease_event(mac, at)
    }

    /// The machine begins a new life: the timeline keeps the launch and tells the newest boot.
    pub fn reset(&mut self) -> Event {
        self.status.state = MachineState::Resetting;
        self.status.resets = self.status.resets.saturating_add(1);
        self.status.timeline.retain(|moment| moment.stage == Stage::Launched);
        self.leased.clear();
        Event::Reset
    }

    /// What a new subscriber is told first.
    pub fn history(&self) -> Vec<Event> {
        let reached = self.status.timeline.iter().map(|&moment| Event::Reached(moment));
        let leased = self.leased.iter().map(|(&mac, &at)| lease_event(mac, at));
        reached
            .chain(leased)
            .chain(self.ended.clone().map(Event::Ended))
            .collect()
    }
}

fn lease_event(mac: Mac, at: u64) -> Event {
    Event::Leased {
        mac: mac.to_string(),
        at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_subscriber_is_told_of_the_leases_of_this_life_only() {
        let mut view = MachineView::default();
        let mac: Mac = "02:00:5e:10:00:01".parse().unwrap();
        let told = view.leased(mac, 7);
        assert_eq!(view.history(), [told]);
        view.reset();
        assert_eq!(view.history(), []);
    }

    #[test]
    fn a_machine_that_resets_for_ever_does_not_make_its_timeline_grow() {
        let mut view = MachineView::default();
        view.reached(Stage::Launched, 1);
        for at in 2..1000 {
            view.reached(Stage::Kernel, at);
            view.reset();
        }
        assert_eq!(view.status().timeline.len(), 1);
        assert_eq!(view.status().resets, 998);
        assert_eq!(
            view.history(),
            [Event::Reached(Moment {
                stage: Stage::Launched,
                at: 1
            })]
        );
    }
}
