//! Requests made by chance along the model's shapes, for tests: right in form more often than not, so that they reach
//! the handlers.

use super::{Bounds, Member, Model, Shape};
use serde_json::{Map, Value, json};

/// Chance, from a seed.
pub struct Random {
    bytes: [u8; 32],
    next: u64,
}

/// Words that mean something somewhere.
const WORDS: [&str; 24] = [
    "",
    "*",
    "self",
    "amazon",
    "name",
    "state",
    "tag:Name",
    "tag-key",
    "key",
    "fd:0",
    "fd:9",
    "raw",
    "kernel",
    "t3.micro",
    "local-1a",
    "/dev/sda1",
    "i-00000000000000001",
    "ami-00000000000000001",
    "vol-00000000000000001",
    "i-1",
    "snap-00000000000000001",
    "aki-00000000000000001",
    "\u{0}\u{202e}é",
    "import-ami-00000000000000001",
];

impl Random {
    pub fn new(bytes: [u8; 32]) -> Self {
        Self { bytes, next: 0 }
    }

    fn below(&mut self, bound: usize) -> usize {
        use sha2::{Digest, Sha256};
        self.next += 1;
        let sum = Sha256::new()
            .chain_update(self.bytes)
            .chain_update(self.next.to_le_bytes())
            .finalize();
        let number = u32::from_le_bytes([sum[0], sum[1], sum[2], sum[3]]);
        number as usize % bound.max(1)
    }

    /// A value of that shape, as a rule.
    pub fn value(&mut self, model: &Model, shape: &Shape) -> Value {
        self.nested(model, shape, 0)
    }

    fn nested(&mut self, model: &Model, shape: &Shape, depth: usize) -> Value {
        if self.below(100) == 0 {
            return [json!(null), json!(-1), json!("x"), json!([]), json!({})][self.below(5)].clone();
        }
        match shape {
            Shape::Structure { members, required } => {
                let mut object = Map::new();
                for (name, member) in members {
                    let likely = required.contains(name) || self.below(members.len().min(10)) == 0;
                    // A dry run would end before most of what is to be tested.
                    if likely && depth < 6 && *name != "DryRun" {
                        object.insert((*name).into(), self.member(model, member, depth));
                    }
                }
                Value::Object(object)
            }
            Shape::List { member, .. } => (0..self.below(4)).map(|_| self.member(model, member, depth)).collect(),
            Shape::String { values, .. } => match values.len() {
                0 => WORDS[self.below(WORDS.len())].into(),
                count => values[self.below(count)].into(),
            },
            Shape::Integer(bounds) | Shape::Long(bounds) => self.integer(bounds),
            Shape::Double | Shape::Float => json!(0.5),
            Shape::Boolean => (self.below(2) == 0).into(),
            Shape::Blob => "aGk=".into(),
            Shape::Timestamp => "2026-01-02T03:04:05Z".into(),
        }
    }

    fn member(&mut self, model: &Model, member: &Member, depth: usize) -> Value {
        let shape = model.shape(member.shape).unwrap();
        self.nested(model, shape, depth + 1)
    }

    fn integer(&mut self, bounds: &Bounds) -> Value {
        let some = [0, 1, 5, 8, 1000, -1, i64::from(i32::MAX), i64::from(i32::MIN)][self.below(8)];
        some.clamp(bounds.min.unwrap_or(i64::MIN), bounds.max.unwrap_or(i64::MAX))
            .into()
    }
}
