//! Short words for what the rules here are made of, in the types of the `nftables` crate.

use ipnet::Ipv4Net;
use nftables::expr::{
    CT, Expression, Meta, MetaKey, NamedExpression, Payload, PayloadField, Prefix, Range, SetItem, Verdict,
};
use nftables::stmt::{JumpTarget, Match, Operator, Statement, VerdictMap};
use std::ops::RangeInclusive;

/// A rule's statements, or an expression in one; nothing in them is borrowed.
pub(super) type Rule = Vec<Statement<'static>>;
pub(super) type Value = Expression<'static>;

/// What the kernel knows about a packet beside its bytes.
pub(super) fn meta(key: MetaKey) -> Value {
    Expression::Named(NamedExpression::Meta(Meta { key }))
}

/// A header's field by its names, `ip` and `saddr` for instance.
pub(super) fn field(protocol: &'static str, name: &'static str) -> Value {
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(PayloadField {
        protocol: protocol.into(),
        field: name.into(),
    })))
}

/// What conntrack thinks of the packet.
pub(super) fn connection_state() -> Value {
    Expression::Named(NamedExpression::CT(CT {
        key: "state".into(),
        family: None,
        dir: None,
    }))
}

/// A name, an address or another word.
pub(super) fn text(text: impl ToString) -> Value {
    Expression::String(text.to_string().into())
}

/// The members of a named set, on the right of a match.
pub(super) fn set(name: &str) -> Value {
    text(format!("@{name}"))
}

/// A block of addresses. All of them are best not matched at all.
pub(super) fn block(block: Ipv4Net) -> Value {
    match block.prefix_len() {
        32 => text(block.addr()),
        length => Expression::Named(NamedExpression::Prefix(Prefix {
            addr: Box::new(text(block.addr())),
            len: length.into(),
        })),
    }
}

/// A number.
pub(super) fn number(number: impl Into<u32>) -> Value {
    Expression::Number(number.into())
}

/// A number, or all from one to another.
pub(super) fn range(numbers: &RangeInclusive<u16>) -> Value {
    match (*numbers.start(), *numbers.end()) {
        (first, last) if first == last => number(first),
        (first, last) => Expression::Range(Box::new(Range {
            range: [number(first), number(last)],
        })),
    }
}

/// Several values side by side; one stands for itself.
pub(super) fn concat(mut values: Vec<Value>) -> Value {
    match values.len() {
        1 => values.swap_remove(0),
        _ => Expression::Named(NamedExpression::Concat(values)),
    }
}

/// That it is this.
pub(super) fn is(left: Value, right: Value) -> Statement<'static> {
    compare(left, Operator::EQ, right)
}

/// That it is not this.
pub(super) fn is_not(left: Value, right: Value) -> Statement<'static> {
    compare(left, Operator::NEQ, right)
}

/// That it is one of these, of which there must be one.
pub(super) fn is_one_of(left: Value, values: impl IntoIterator<Item = Value>) -> Statement<'static> {
    let values = values.into_iter().map(SetItem::Element).collect();
    is(left, Expression::Named(NamedExpression::Set(values)))
}

fn compare(left: Value, op: Operator, right: Value) -> Statement<'static> {
    Statement::Match(Match { left, right, op })
}

/// On in the chain that belongs to a value, of which there must be one, and back after it.
pub(super) fn jumps(key: Value, chains: impl IntoIterator<Item = (Value, String)>) -> Statement<'static> {
    let verdict = |chain: String| Expression::Verdict(Verdict::Jump(target(chain)));
    let map = chains
        .into_iter()
        .map(|(value, chain)| SetItem::Mapping(value, verdict(chain)));
    Statement::VerdictMap(VerdictMap {
        key,
        data: Expression::Named(NamedExpression::Set(map.collect())),
    })
}

/// Nothing looks at the packet any more in this hook.
pub(super) fn accept() -> Statement<'static> {
    Statement::Accept(None)
}

/// The packet is gone.
pub(super) fn drop() -> Statement<'static> {
    Statement::Drop(None)
}

/// Back to where this chain was jumped to from.
pub(super) fn back() -> Statement<'static> {
    Statement::Return(None)
}

/// On in another chain, and back after it.
pub(super) fn jump(chain: String) -> Statement<'static> {
    Statement::Jump(target(chain))
}

fn target(chain: String) -> JumpTarget<'static> {
    JumpTarget { target: chain.into() }
}
