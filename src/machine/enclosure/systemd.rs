//! Scopes of systemd, asked for over D-Bus (org.freedesktop.systemd1).

use super::{EnclosureError, Limits};
use std::time::Duration;
use zbus::export::ordered_stream::OrderedStreamExt;

use zbus::{Connection, OwnedObjectPath, Variant, connection};

/// The slice that virtual machines belong in.
const SLICE: &str = "machine.slice";
/// systemd's own socket, for hosts without a message bus.
const PRIVATE: &str = "unix:path=/run/systemd/private";
/// How long systemd may take for a scope.
const LIMIT: Duration = Duration::from_secs(30);
/// What systemd answers when a unit is not there.
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";

type Property<'a> = (&'a str, Variant<'a>);

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Manager {
    fn subscribe(&self) -> zbus::Result<()>;

    fn start_transient_unit(
        &self,
        name: &str,
        mode: &str,
        properties: &[Property<'_>],
        aux: &[(&str, &[Property<'_>])],
    ) -> zbus::Result<OwnedObjectPath>;

    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;

    #[zbus(signal)]
    fn job_removed(&self, id: u32, job: OwnedObjectPath, unit: String, result: String) -> zbus::Result<()>;
}

/// A connection to the service manager.
#[derive(Debug)]
pub struct Systemd {
    manager: ManagerProxy<'static>,
}

impl Systemd {
    /// Connects over the system's message bus, else over systemd's own socket.
    pub(super) async fn connect() -> zbus::Result<Self> {
        let connection = match Connection::system().await {
            Ok(connection) => connection,
            Err(_) => connection::Builder::address(PRIVATE).p2p().build().await?,
        };
        let manager = ManagerProxy::new(&connection).await?;
        manager.subscribe().await?;
        Ok(Self { manager })
    }

    /// Starts a scope around a process and waits until it is in.
    pub(super) async fn start_scope(&self, unit: &str, pid: i32, limits: Limits) -> Result<(), EnclosureError> {
        let failed = |source| EnclosureError::Systemd {
            doing: "start",
            unit: unit.to_owned(),
            source,
        };
        let mut done = self.manager.receive_job_removed().await.map_err(failed)?;
        let pids = vec![u32::try_from(pid).unwrap_or_default()];
        let properties = [
            ("Description", Variant::from("kiln instance")),
            ("Slice", Variant::from(SLICE)),
            ("PIDs", Variant::from(pids)),
            ("CollectMode", Variant::from("inactive-or-failed")),
            ("MemoryMax", Variant::from(limits.memory)),
            ("MemorySwapMax", Variant::from(0_u64)),
            (
                "CPUQuotaPerSecUSec",
                Variant::from(limits.cpu_percent.saturating_mul(10_000)),
            ),
            ("TasksMax", Variant::from(limits.tasks)),
        ];
        let job = self
            .manager
            .start_transient_unit(unit, "fail", &properties, &[])
            .await
            .map_err(failed)?;
        let result = tokio::time::timeout(LIMIT, async {
            while let Some(signal) = done.next().await {
                if let Ok(args) = signal.args()
                    && *args.job() == job
                {
                    return args.result().clone();
                }
            }
            "no answer".to_owned()
        });
        match result.await.unwrap_or_else(|_| "no answer".to_owned()) {
            result if result == "done" => Ok(()),
            result => Err(EnclosureError::Scope {
                unit: unit.to_owned(),
                result,
            }),
        }
    }

    /// Stops a scope; one that is gone is fine, and the rule: a scope goes with its last process.
    pub(super) async fn stop_scope(&self, unit: &str) -> Result<(), EnclosureError> {
        match self.manager.stop_unit(unit, "replace").await {
            Ok(_) => Ok(()),
            Err(zbus::Error::MethodError(name, ..)) if name.as_str() == NO_SUCH_UNIT => Ok(()),
            Err(source) => Err(EnclosureError::Systemd {
                doing: "stop",
                unit: unit.to_owned(),
                source,
            }),
        }
    }
}
