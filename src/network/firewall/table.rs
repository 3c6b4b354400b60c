//! A table under construction.

use super::language::{Rule, Value};
use nftables::schema::{Chain, NfCmd, NfListObject, NfObject, Set, SetFlag, SetType, SetTypeValue, Table};
use nftables::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};
use std::borrow::Cow;
use std::collections::HashSet;

/// What all our tables are called.
const NAME: &str = "kiln";

/// A table that takes the place of the one with its name, with all that is in it.
pub(super) struct NewTable {
    family: NfFamily,
    sets: Vec<NfListObject<'static>>,
    chains: Vec<NfListObject<'static>>,
    rules: Vec<NfListObject<'static>>,
}

/// Where a chain is hooked into the kernel's handling of packets.
pub(super) struct Hook {
    pub kind: NfChainType,
    pub hook: NfHook,
    /// Lower ones come first. Conntrack is at -200, filters are at 0.
    pub priority: i32,
    /// What becomes of a packet at the chain's end.
    pub policy: NfChainPolicy,
}

impl NewTable {
    /// A table with nothing in it.
    pub(super) const fn new(family: NfFamily) -> Self {
        Self {
            family,
            sets: Vec::new(),
            chains: Vec::new(),
            rules: Vec::new(),
        }
    }

    /// Adds a set of values that lie side by side, as many as there are types; blocks only where it has `blocks`.
    pub(super) fn set(&mut self, name: &str, types: &[SetType], blocks: bool, elements: Vec<Value>) {
        let set_type = match types {
            [one] => SetTypeValue::Single(*one),
            several => SetTypeValue::Concatenated(Cow::Owned(several.to_vec())),
        };
        self.sets.push(NfListObject::Set(Box::new(Set {
            family: self.family,
            table: NAME.into(),
            name: name.to_owned().into(),
            set_type,
            flags: blocks.then(|| HashSet::from([SetFlag::Interval])),
            elem: (!elements.is_empty()).then_some(elements.into()),
            ..Set::default()
        })));
    }

    /// Adds a chain that others lead to.
    pub(super) fn chain(&mut self, name: impl Into<String>, rules: Vec<Rule>) {
        self.add_chain(name.into(), None, rules);
    }

    /// Adds a chain that the kernel hands packets to.
    pub(super) fn base_chain(&mut self, name: &'static str, hook: Hook, rules: Vec<Rule>) {
        self.add_chain(name.into(), Some(hook), rules);
    }

    fn add_chain(&mut self, name: String, hook: Option<Hook>, rules: Vec<Rule>) {
        let rules = rules.into_iter().map(|expr| {
            NfListObject::Rule(nftables::schema::Rule {
                family: self.family,
                table: NAME.into(),
                chain: name.clone().into(),
                expr: expr.into(),
                ..nftables::schema::Rule::default()
            })
        });
        self.rules.extend(rules);
        let mut chain = Chain {
            family: self.family,
            table: NAME.into(),
            name: name.into(),
            ..Chain::default()
        };
        if let Some(hook) = hook {
            chain._type = Some(hook.kind);
            chain.hook = Some(hook.hook);
            chain.prio = Some(hook.priority);
            chain.policy = Some(hook.policy);
        }
        self.chains.push(NfListObject::Chain(chain));
    }

    /// The commands that put it in place of the one that may be there: sets and chains before the rules that name them.
    pub(super) fn commands(self) -> impl Iterator<Item = NfObject<'static>> {
        let table = || {
            NfListObject::Table(Table {
                family: self.family,
                name: NAME.into(),
                handle: None,
            })
        };
        // Deleting what is not there is an error, so it is added first.
        let replace = [NfCmd::Add(table()), NfCmd::Delete(table()), NfCmd::Add(table())];
        let content = self.sets.into_iter().chain(self.chains).chain(self.rules);
        replace
            .into_iter()
            .chain(content.map(NfCmd::Add))
            .map(NfObject::CmdObject)
    }
}
