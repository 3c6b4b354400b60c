//! A client of the daemon's socket.

use crate::console::Console;
use crate::http;
use serde_json::{Value, json};
use std::fmt;
use std::fs::File;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The daemon on a socket.
#[derive(Debug, Clone)]
pub struct Api {
    socket: PathBuf,
}

/// An answer that refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// EC2's error code.
    pub code: String,
    /// For people.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.message)
    }
}

impl Api {
    /// A client of the daemon on `socket`.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.into() }
    }

    /// Carries out an operation, which must succeed.
    #[track_caller]
    pub fn call(&self, operation: &str, request: &Value) -> Value {
        self.call_with(operation, request, &[])
    }

    /// The same with open files, which the request names `fd:0`, `fd:1`, ….
    #[track_caller]
    pub fn call_with(&self, operation: &str, request: &Value, files: &[File]) -> Value {
        match self.try_call(operation, request, files) {
            Ok(answer) => answer,
            Err(refusal) => panic!("{operation} {request} was refused: {refusal}"),
        }
    }

    /// Carries out an operation, which must be refused.
    #[track_caller]
    pub fn refused(&self, operation: &str, request: &Value) -> Refusal {
        match self.try_call(operation, request, &[]) {
            Ok(answer) => panic!("{operation} {request} should have been refused, and answered {answer}"),
            Err(refusal) => refusal,
        }
    }

    /// Carries out an operation, or says how it was refused.
    ///
    /// # Errors
    /// The daemon's own refusal. That it can't be reached or answers no JSON is a panic.
    #[track_caller]
    pub fn try_call(&self, operation: &str, request: &Value, files: &[File]) -> Result<Value, Refusal> {
        let head = format!("POST /{operation} HTTP/1.1\r\nContent-Type: application/json\r\nConnection: close\r\n");
        let answer = http::send(&self.socket, &head, &request.to_string(), files, PATIENCE)
            .unwrap_or_else(|error| panic!("{operation} got no answer: {error}"));
        let status = answer.status;
        let text = answer
            .text()
            .unwrap_or_else(|error| panic!("{operation}'s answer broke off: {error}"));
        let value: Value = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{operation} answered {status} without JSON ({error}): {text:?}"));
        if status == 200 {
            return Ok(value);
        }
        let member = |name: &str| value["Error"][name].as_str().unwrap_or_default().to_owned();
        let (code, message) = (member("Code"), member("Message"));
        Err(Refusal { status, code, message })
    }

    /// Carries out an operation whose daemon may end before it answers; gives what it answered, if it did and did not refuse.
    #[must_use]
    pub fn attempt(&self, operation: &str, request: &Value, files: &[File]) -> Option<Value> {
        let head = format!("POST /{operation} HTTP/1.1\r\nContent-Type: application/json\r\nConnection: close\r\n");
        let answer = http::send(&self.socket, &head, &request.to_string(), files, PATIENCE).ok()?;
        let accepted = answer.status == 200;
        let text = answer.text().ok()?;
        serde_json::from_str(&text).ok().filter(|_| accepted)
    }

    /// A request that is no operation of EC2's: its first line and headers, and its body. Gives status and body of the answer, if the
    /// daemon does not end before it.
    #[must_use]
    pub fn ask(&self, head: &str, body: &str) -> Option<(u16, String)> {
        let head = format!("{head}\r\nConnection: close\r\n");
        let answer = http::send(&self.socket, &head, body, &[], PATIENCE).ok()?;
        let status = answer.status;
        Some((status, answer.text().ok()?))
    }

    /// Imports a raw disk as an AMI and returns its id.
    #[track_caller]
    pub fn import_disk(&self, disk: &Path) -> String {
        let file = File::open(disk).unwrap_or_else(|error| panic!("{}: {error}", disk.display()));
        let events = self.events();
        let request = json!({"DiskContainers": [{"Format": "raw", "Url": "fd:0"}]});
        let task = self.call_with("ImportImage", &request, &[file]);
        let task = task["ImportTaskId"].clone();
        let describe = || self.call("DescribeImportImageTasks", &json!({"ImportTaskIds": [task]}));
        let done = events.until(Duration::from_secs(300), &format!("import {task}"), || {
            let task = describe()["ImportImageTasks"][0].clone();
            match task["Status"].as_str() {
                Some("completed") => Some(task),
                Some("active") => None,
                _ => panic!("The import failed: {task}"),
            }
        });
        text(&done["ImageId"])
    }

    /// Launches instances; returns their ids.
    #[track_caller]
    pub fn run(&self, request: &Value) -> Vec<String> {
        let answer = self.call("RunInstances", request);
        let instances = answer["Instances"].as_array().cloned().unwrap_or_default();
        instances.iter().map(|instance| text(&instance["InstanceId"])).collect()
    }

    /// Describes one instance.
    #[track_caller]
    pub fn instance(&self, id: &str) -> Value {
        let answer = self.call("DescribeInstances", &json!({"InstanceIds": [id]}));
        answer["Reservations"][0]["Instances"][0].clone()
    }

    /// The name of an instance's state.
    #[track_caller]
    pub fn state(&self, id: &str) -> String {
        text(&self.instance(id)["State"]["Name"])
    }

    /// Waits until an instance is in a state.
    #[track_caller]
    pub fn wait_for_state(&self, id: &str, state: &str, patience: Duration) -> Value {
        self.events().until(patience, &format!("{id} to be {state}"), || {
            Some(self.instance(id)).filter(|instance| instance["State"]["Name"] == state)
        })
    }

    /// Ends instances and waits until they are gone. Those that went first may be forgotten before the last one is gone.
    #[track_caller]
    pub fn terminate(&self, ids: &[String]) {
        self.call("TerminateInstances", &json!({"InstanceIds": ids}));
        let left = json!({"Filters": [
            {"Name": "instance-id", "Values": ids},
            {"Name": "instance-state-name", "Values": ["pending", "running", "shutting-down", "stopping", "stopped"]},
        ]});
        self.events()
            .until(Duration::from_secs(180), &format!("{ids:?} to be gone"), || {
                let answer = self.call("DescribeInstances", &left);
                answer["Reservations"]
                    .as_array()
                    .filter(|left| left.is_empty())
                    .map(drop)
            });
    }

    /// What happens from now on.
    #[track_caller]
    pub fn events(&self) -> Events {
        let answer = http::send(&self.socket, "GET /events HTTP/1.1\r\n", "", &[], PATIENCE)
            .unwrap_or_else(|error| panic!("/events got no answer: {error}"));
        assert_eq!(answer.status, 200, "GET /events was refused");
        Events { lines: answer.lines() }
    }

    /// The serial console of an instance, from its first byte on.
    #[track_caller]
    pub fn console(&self, id: &str) -> Console {
        let head = format!("GET /instances/{id}/console HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: kiln-console\r\n");
        let answer = http::send(&self.socket, &head, "", &[], PATIENCE)
            .unwrap_or_else(|error| panic!("The console of {id} got no answer: {error}"));
        if answer.status != 101 {
            panic!("The console of {id} was refused: {}", answer.text().unwrap_or_default());
        }
        Console::new(id, answer.body)
    }
}

/// A text member.
#[track_caller]
fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} should be text"))
        .to_owned()
}

/// The daemon's stream of events.
pub struct Events {
    lines: std::io::BufReader<http::Chunks>,
}

impl Events {
    /// Looks now, and again after each event, until there is something to see.
    #[track_caller]
    pub fn until<T>(mut self, patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "Waited {patience:?} in vain for {what}");
            self.next(left);
        }
    }

    /// Waits for one event at most so long.
    fn next(&mut self, patience: Duration) {
        let connection = self.lines.get_ref().connection();
        connection
            .set_read_timeout(Some(patience))
            .expect("The time is not zero");
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(0) => panic!("The stream of events ended"),
            Ok(_) => {}
            // The time is up, which the caller notices.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("The stream of events broke: {error}"),
        }
    }
}
