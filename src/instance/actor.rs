//! The life of one instance: a task that alone writes its record and owns its machine.
//!
//! It takes requests from a bounded mailbox and news from the machine, asks [`policy`](super::policy) what they mean,
//! makes that durable, and only then answers and acts. Nothing it does for long blocks its mailbox: starts run in a task
//! beside it, and what a monitor is asked is not waited for.

use super::Parts;
use super::amend::Amend;
use super::ask::{AskError, StateChange, judge};
use super::ending::Ending;
use super::finish::finish;
use super::follow::{News, follow};
use super::hotplug::Hotplug;
use super::launch::{LaunchError, launch};
use super::plan::{LastResort, Plan, Step};
use super::policy::{Ask, Fate};
use super::record::Record;
use super::replace_root::{self, ReplaceRoot};
use crate::chain::chain;
use crate::machine::Machine;
use crate::model::{Instance, InstanceId, InstanceState, Milestone, ReasonCode, Stage};
use kiln_vmm::protocol;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// How long to wait before what failed is tried again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A request and where its answer goes.
#[derive(Debug)]
pub(super) enum Message {
    /// Its state is to change.
    Ask(Ask, oneshot::Sender<Result<StateChange, AskError>>),
    /// Something is to be attached or detached.
    Hotplug(Hotplug),
    /// Its record is to change.
    Amend(Amend),
    /// Its root volume is to be replaced.
    ReplaceRoot(ReplaceRoot),
}

/// What the actor is in the middle of.
#[derive(Debug)]
pub(super) enum Phase {
    /// Nothing: the instance is stopped.
    Idle,
    /// A start is under way beside the actor.
    Launching {
        task: JoinHandle<Result<Arc<Machine>, LaunchError>>,
        call_off: watch::Sender<bool>,
    },
    /// The machine runs.
    Running {
        machine: Arc<Machine>,
        news: mpsc::Receiver<News>,
        plan: Option<Plan>,
    },
    /// The machine has ended, or never was; what is left of it is removed at `at`.
    Ending { fate: Fate, at: Instant, wait: Duration },
    /// Nothing is left but the record.
    Terminated { purge_at: Instant },
}

impl Phase {
    /// To be dealt with at once.
    pub(super) fn ending(fate: Fate) -> Self {
        Self::Ending {
            fate,
            at: Instant::now(),
            wait: RETRY.0,
        }
    }

    /// A start, in a task of its own.
    pub(super) fn launching(parts: &Arc<Parts>, instance: &Instance) -> Self {
        let (call_off, called_off) = watch::channel(false);
        Self::Launching {
            task: tokio::spawn(launch(Arc::clone(parts), instance.clone(), called_off)),
            call_off,
        }
    }

    /// A machine that runs, or did a moment ago.
    pub(super) fn running(machine: Arc<Machine>, plan: Option<Plan>) -> Self {
        let news = follow(Arc::clone(&machine));
        Self::Running { machine, news, plan }
    }

    /// Waits for the next thing to happen. Dropping the future loses nothing.
    async fn next(&mut self) -> Happening {
        match self {
            Self::Idle => std::future::pending().await,
            Self::Launching { task, .. } => Happening::Launched(task.await.ok()),
            Self::Running { news, plan, .. } => {
                let due = plan.as_ref().and_then(Plan::due);
                let step = async {
                    match due {
                        Some(due) => sleep_until(due).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    news = news.recv() => Happening::News(news.unwrap_or(News::Ended)),
                    () = step => Happening::Due,
                }
            }
            Self::Ending { at, .. } => {
                sleep_until(*at).await;
                Happening::Due
            }
            Self::Terminated { purge_at } => {
                sleep_until(*purge_at).await;
                Happening::Due
            }
        }
    }
}

/// Something that happened without a request.
enum Happening {
    /// The start is over; none if its task died.
    Launched(Option<Result<Arc<Machine>, LaunchError>>),
    /// The machine has news.
    News(News),
    /// It is time.
    Due,
}

/// The actor.
pub(super) struct Actor {
    pub(super) parts: Arc<Parts>,
    pub(super) record: Record,
    mailbox: mpsc::Receiver<Message>,
    pub(super) phase: Phase,
}

impl Actor {
    pub(super) fn new(parts: Arc<Parts>, record: Record, mailbox: mpsc::Receiver<Message>, phase: Phase) -> Self {
        Self {
            parts,
            record,
            mailbox,
            phase,
        }
    }

    /// Lives until the instance is purged, or the daemon ends; then its guest runs on.
    pub(super) async fn run(mut self) {
        loop {
            tokio::select! {
                message = self.mailbox.recv() => match message {
                    Some(Message::Ask(ask, answer)) => self.answer(ask, answer).await,
                    Some(Message::Hotplug(what)) => self.hotplug(what).await,
                    Some(Message::Amend(what)) => self.amend(what).await,
                    Some(Message::ReplaceRoot(what)) => self.replace_root(what).await,
                    None => return,
                },
                happening = self.phase.next() => match happening {
                    Happening::Launched(result) => self.launched(result).await,
                    Happening::News(news) => self.news(news).await,
                    Happening::Due if self.due().await => {}
                    Happening::Due => return,
                },
            }
        }
    }

    pub(super) fn instance(&self) -> &Instance {
        &self.record.instance
    }

    // Requests.

    async fn answer(&mut self, ask: Ask, answer: oneshot::Sender<Result<StateChange, AskError>>) {
        let (id, previous) = (self.instance().id, self.instance().state);
        let standing = (previous, self.instance().rebooting);
        let done = match judge(id, standing, self.instance().attributes.protection, ask) {
            Ok(true) => self.act(ask).await,
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        let change = done.map(|()| StateChange {
            instance: id,
            previous,
            current: self.instance().state,
        });
        // Whoever asked may have gone; what was done stays done.
        let _ = answer.send(change);
    }

    async fn act(&mut self, ask: Ask) -> Result<(), AskError> {
        let id = self.instance().id;
        let record_error = |source| AskError::Record { instance: id, source };
        match ask {
            Ask::Start => {
                let reserved = self
                    .record
                    .reserve(self.parts.capacity, self.parts.public_pool.clone())
                    .await;
                reserved.map_err(|source| AskError::Reserve { instance: id, source })?;
                self.phase = Phase::launching(&self.parts, self.instance());
            }
            Ask::Stop { force } => {
                if self.instance().state != InstanceState::Stopping {
                    let reason = (ReasonCode::UserInitiatedShutdown, "User initiated shutdown".into());
                    self.record
                        .enter(InstanceState::Stopping, Some(reason))
                        .await
                        .map_err(record_error)?;
                }
                self.bring_down(force);
            }
            Ask::Terminate { force } => {
                let was_down = self.instance().state == InstanceState::Stopped;
                if self.instance().state != InstanceState::ShuttingDown {
                    let reason = (ReasonCode::UserInitiatedShutdown, "User initiated shutdown".into());
                    self.record
                        .enter(InstanceState::ShuttingDown, Some(reason))
                        .await
                        .map_err(record_error)?;
                }
                if was_down {
                    self.phase = Phase::ending(Fate::Terminate(None));
                } else {
                    self.bring_down(force);
                }
            }
            Ask::Reboot => {
                self.record.set_rebooting(true).await.map_err(record_error)?;
                if let Phase::Running { plan, .. } = &mut self.phase {
                    let now = Instant::now();
                    *plan = Some(Plan::gentle(now, now + self.parts.stop_time_limit, LastResort::Reset));
                }
            }
        }
        Ok(())
    }

    /// Has the machine go down, now that the record says that it is to.
    fn bring_down(&mut self, force: bool) {
        let now = Instant::now();
        match &mut self.phase {
            Phase::Running { plan, .. } if force => *plan = Some(Plan::forced(now)),
            Phase::Running { plan, .. } => {
                *plan = Some(Plan::gentle(now, now + self.parts.stop_time_limit, LastResort::End));
            }
            // The sender is kept; the task ends soon and is dealt with then.
            Phase::Launching { call_off, .. } => {
                call_off.send_replace(true);
            }
            Phase::Ending { fate, at, .. } => {
                *fate = match self.record.instance.state {
                    InstanceState::ShuttingDown => Fate::Terminate(None),
                    _ => Fate::Stop(None),
                };
                *at = now;
            }
            Phase::Idle | Phase::Terminated { .. } => {}
        }
    }

    // Starting.

    async fn launched(&mut self, result: Option<Result<Arc<Machine>, LaunchError>>) {
        match result {
            Some(Ok(machine)) => self.up(machine).await,
            Some(Err(error)) => {
                let why = chain(&error);
                tracing::warn!(instance = %self.instance().id, error = %why, "An instance could not be started");
                self.not_launched(error.code(), why).await;
            }
            None => {
                let why = "The start of the instance died".to_owned();
                self.not_launched(ReasonCode::InternalError, why).await;
            }
        }
    }

    async fn not_launched(&mut self, code: ReasonCode, why: String) {
        self.phase = Phase::ending(replace_root::failed_start(&self.parts, self.instance(), code, why).await);
    }

    /// The guest runs: so says the record, unless it is to go down already.
    async fn up(&mut self, machine: Arc<Machine>) {
        let written = match self.instance().state {
            InstanceState::Pending => self.record.enter(InstanceState::Running, None).await,
            InstanceState::Running => self.record.set_rebooting(false).await,
            _ => Ok(()),
        };
        let going_down = matches!(
            self.instance().state,
            InstanceState::Stopping | InstanceState::ShuttingDown
        );
        let plan = match written {
            Ok(()) if going_down => Some(Plan::forced(Instant::now())),
            Ok(()) => None,
            // What can't be recorded must not run on unrecorded.
            Err(error) => {
                tracing::error!(instance = %self.instance().id, %error, "A start could not be recorded");
                Some(Plan::forced(Instant::now()))
            }
        };
        self.record.show_machine(Some(Arc::clone(&machine)));
        self.phase = Phase::running(machine, plan);
        if let Err(error) = self.is_up().await {
            let error = chain(&error);
            tracing::error!(instance = %self.instance().id, %error, "That a root volume is replaced can't be recorded");
        }
    }

    // The machine.

    async fn news(&mut self, news: News) {
        match news {
            News::Ended => self.ended().await,
            News::Event(protocol::Event::Reached(moment)) => {
                if let Some(milestone) = milestone(moment) {
                    self.record.reach(milestone).await;
                }
            }
            News::Event(protocol::Event::Leased { at, .. }) => {
                if let Some(at) = instant(at) {
                    self.record
                        .reach(Milestone {
                            stage: Stage::Lease,
                            at,
                        })
                        .await;
                }
            }
            News::Event(protocol::Event::Reset) => self.was_reset().await,
            News::Event(protocol::Event::DeviceNeedsReset { device, reason }) => {
                self.record
                    .tell(super::events::Happened::DeviceNeedsReset { device, reason });
            }
            News::Event(protocol::Event::Detached { device }) => {
                tracing::info!(instance = %self.instance().id, device, "A device is detached");
                self.detached(&device).await;
            }
            // The process is about to end; its report is read then.
            News::Event(protocol::Event::Ended(_)) => {}
        }
    }

    /// The guest boots again in the same machine. If a reboot was asked for, that was it.
    async fn was_reset(&mut self) {
        self.record.tell(super::events::Happened::Reset);
        let replacing = replace_root::is_replacing(&self.parts, self.instance()).await;
        if self.instance().rebooting && !replacing {
            if let Err(error) = self.record.set_rebooting(false).await {
                tracing::warn!(instance = %self.instance().id, %error, "The end of a reboot could not be recorded");
            }
            if let Phase::Running { plan, .. } = &mut self.phase {
                *plan = None;
            }
        }
        if let Err(error) = self.record.restart_timeline().await {
            tracing::warn!(instance = %self.instance().id, %error, "A timeline could not be begun anew");
        }
    }

    async fn ended(&mut self) {
        self.record.show_machine(None);
        let path = self.parts.layout.report(self.instance().id);
        let ending = tokio::task::spawn_blocking(move || Ending::read(&path))
            .await
            .unwrap_or(Ending::Vanished);
        tracing::info!(instance = %self.instance().id, how = %ending.describe(), "A machine ended");
        self.phase = Phase::ending(replace_root::fate(&self.parts, self.instance(), &ending).await);
    }

    // What is due. Returns whether the instance is still there.

    async fn due(&mut self) -> bool {
        match &mut self.phase {
            Phase::Running { machine, plan, .. } => {
                if let Some(step) = plan.as_mut().and_then(|plan| plan.step(Instant::now())) {
                    take_step(self.record.instance.id, Arc::clone(machine), step);
                }
                true
            }
            Phase::Ending { fate, .. } => {
                let fate = fate.clone();
                self.meet(fate).await;
                true
            }
            Phase::Terminated { .. } => match super::finish::purge(&self.parts, self.record.instance.id).await {
                Ok(()) => false,
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(instance = %self.record.instance.id, %error, "A terminated instance can't be purged yet");
                    self.phase = Phase::Terminated {
                        purge_at: Instant::now() + RETRY.1,
                    };
                    true
                }
            },
            Phase::Idle | Phase::Launching { .. } => true,
        }
    }

    /// Brings an instance without a machine where it is to be; what fails is tried again later.
    async fn meet(&mut self, fate: Fate) {
        match finish(&self.parts, &mut self.record, &fate).await {
            Ok(()) => match fate {
                Fate::Stop(_) => self.phase = Phase::Idle,
                Fate::Boot(_) => self.boot_again().await,
                Fate::Terminate(_) => {
                    self.phase = Phase::Terminated {
                        purge_at: Instant::now() + self.parts.retention,
                    };
                }
            },
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(instance = %self.instance().id, %error, "An instance can't be brought to rest yet");
                if let Phase::Ending { at, wait, .. } = &mut self.phase {
                    *at = Instant::now() + *wait;
                    *wait = (*wait * 2).min(RETRY.1);
                }
            }
        }
    }

    /// A guest that runs gets another machine: it sees a reboot.
    async fn boot_again(&mut self) {
        if let Err(error) = self.record.restart_timeline().await {
            tracing::warn!(instance = %self.instance().id, %error, "A timeline could not be begun anew");
        }
        self.phase = Phase::launching(&self.parts, self.instance());
    }
}

/// Does a step of a plan beside the actor: a monitor may take its time to answer.
fn take_step(id: InstanceId, machine: Arc<Machine>, step: Step) {
    let request = match step {
        Step::Press => protocol::Request::PowerButton,
        Step::Reboot => protocol::Request::Reboot,
        Step::Reset => protocol::Request::Reset,
        Step::End => protocol::Request::Stop,
        Step::Kill => {
            tracing::warn!(instance = %id, "A monitor did not end its machine in time and is killed");
            tokio::spawn(async move { machine.process().kill().await });
            return;
        }
    };
    tokio::spawn(async move {
        if let Err(error) = machine.request(&request).await {
            let error = chain(&error);
            tracing::debug!(instance = %id, ?step, %error, "A monitor did not do as it was asked");
        }
    });
}

/// A step of the boot as the record has it; the launch itself is on record already.
fn milestone(moment: protocol::Moment) -> Option<Milestone> {
    let stage = match moment.stage {
        protocol::Stage::Launched => return None,
        protocol::Stage::Kernel => Stage::Kernel,
        protocol::Stage::Init => Stage::Init,
        protocol::Stage::Login => Stage::Login,
        protocol::Stage::Ready => Stage::Ready,
    };
    let at = instant(moment.at)?;
    Some(Milestone { stage, at })
}

/// A monitor's microseconds since 1970.
fn instant(micros: u64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).ok()
}
