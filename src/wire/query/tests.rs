//! The codec against botocore's own, both ways, over every operation of which the model has the shapes.

use super::parameters::Pairs;
use super::{answer, request};
use crate::api::RequestId;
use crate::wire::model::EC2;
use crate::wire::tests::python;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

/// How many values are made of each shape.
const ROUNDS: &str = "5";

fn operations() -> Vec<&'static str> {
    EC2.names().filter(|name| EC2.input(name).is_some()).collect()
}

/// What kiln makes of what botocore says.
fn answered(line: &Value) -> Value {
    let operation = line["operation"].as_str().unwrap();
    match line["form"].as_str() {
        Some(form) => {
            let tree = Pairs::parse(b"", form.as_bytes()).and_then(Pairs::tree).unwrap();
            request::request(EC2.input(operation).unwrap(), &tree).unwrap_or_else(|error| panic!("{form}: {error}"))
        }
        None => answer::answer(operation, &line["answer"], RequestId(1)).into(),
    }
}

#[test]
fn every_shape_is_read_and_written_as_botocore_writes_and_reads_it() {
    let mut botocore = python("codec.py")
        .arg(ROUNDS)
        .args(operations())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, output) = (botocore.stdin.take().unwrap(), botocore.stdout.take().unwrap());
    let mut lines = 0;
    for line in BufReader::new(output).lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        writeln!(input, "{}", answered(&line)).unwrap();
        lines += 1;
    }
    drop(input);
    assert!(botocore.wait().unwrap().success(), "botocore disagrees: see above");
    assert!(lines > operations().len(), "{lines} lines");
}
