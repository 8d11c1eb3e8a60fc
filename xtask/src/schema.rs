//! The schema against the fact tables in `proto/schema/`, and the checked-in code against the schema.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::fs;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto};

use crate::generate;
use crate::root;

type Row = Vec<String>;

#[derive(Default)]
struct Tables {
    messages: Vec<Row>,
    enums: Vec<Row>,
    files: Vec<Row>,
}

fn row<const N: usize>(cells: [&str; N]) -> Row {
    cells.map(|cell| if cell.is_empty() { "-" } else { cell }.to_owned()).into()
}

fn yes(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

impl Tables {
    /// The compiled `.proto` files as rows.
    fn compiled() -> Self {
        let mut tables = Self::default();
        for file in generate::compile().unwrap().file.into_iter().filter(|file| file.package() != generate::OURS) {
            let package = file.package();
            let proto3 = file.syntax() == "proto3";
            // The tables hold Mesos's own messages only.
            for message in file.message_type.iter().filter(|_| !proto3) {
                tables.message(package, package, message, proto3);
            }
            for item in &file.enum_type {
                tables.enumeration(package, item);
            }
            let options = file.options.clone().unwrap_or_default();
            let options = match file.name().starts_with("google/") {
                // Not ours: whatever the compiler's own copy says.
                true => "java_package=com.google.protobuf;java_outer_classname=DurationProto".to_owned(),
                false => format!(
                    "java_package={};java_outer_classname={}",
                    options.java_package(),
                    options.java_outer_classname()
                ),
            };
            let syntax = if proto3 { "proto3" } else { "proto2" };
            tables.files.push(row([file.name(), package, syntax, &options, &file.dependency.join(",")]));
        }
        tables
    }

    fn message(&mut self, package: &str, scope: &str, message: &DescriptorProto, proto3: bool) {
        let name = format!("{scope}.{}", message.name());
        if message.field.is_empty() {
            self.messages.push(row([package, &name, "", "", "", "", "", "", "", "", "", "", ""]));
        }
        for field in &message.field {
            self.messages.push(field_row(package, &name, message, field, proto3));
        }
        assert!(
            message.reserved_range.is_empty() && message.reserved_name.is_empty(),
            "{name}: the release reserves nothing"
        );
        assert!(message.extension_range.is_empty(), "{name}: the release has no extensions");
        for nested in &message.nested_type {
            self.message(package, &name, nested, proto3);
        }
        for nested in &message.enum_type {
            self.enumeration(&name, nested);
        }
    }

    fn enumeration(&mut self, scope: &str, item: &EnumDescriptorProto) {
        let name = format!("{scope}.{}", item.name());
        for value in &item.value {
            let same = |other: &&str| *other != value.name();
            let others: BTreeSet<&str> =
                item.value.iter().filter(|v| v.number() == value.number()).map(|v| v.name()).filter(same).collect();
            let others = others.into_iter().collect::<Vec<_>>().join(",");
            let deprecated = value.options.as_ref().is_some_and(|options| options.deprecated());
            self.enums.push(row([&name, value.name(), &value.number().to_string(), &others, yes(deprecated)]));
        }
    }
}

fn field_row(package: &str, name: &str, message: &DescriptorProto, field: &FieldDescriptorProto, proto3: bool) -> Row {
    let kind = field.r#type().as_str_name().trim_start_matches("TYPE_").to_ascii_lowercase();
    let oneof = field.oneof_index.and_then(|index| message.oneof_decl.get(usize::try_from(index).ok()?));
    let oneof = oneof.map_or("", |oneof| oneof.name());
    let label = match field.label() {
        Label::Optional if proto3 && oneof.is_empty() && field.r#type() != Type::Message => "implicit",
        Label::Optional => "optional",
        Label::Required => "required",
        Label::Repeated => "repeated",
    };
    let default = field.default_value.as_ref().map_or(String::new(), |value| format!("{kind}:{value}"));
    let options = field.options.clone().unwrap_or_default();
    let map_entry = message.options.as_ref().is_some_and(|options| options.map_entry());
    row([
        package,
        name,
        &field.number().to_string(),
        label,
        &kind,
        field.type_name().trim_start_matches('.'),
        field.name(),
        &default,
        yes(options.packed()),
        oneof,
        field.json_name(),
        yes(options.deprecated()),
        yes(map_entry),
    ])
}

/// A fact table without its header.
fn facts(name: &str) -> BTreeSet<Row> {
    let text = fs::read_to_string(root().join("proto/schema").join(name)).unwrap();
    text.lines().skip(1).map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

fn compare(name: &str, compiled: Vec<Row>) {
    let (facts, compiled) = (facts(name), compiled.into_iter().collect::<BTreeSet<_>>());
    assert!(!facts.is_empty());
    let missing: Vec<_> = facts.difference(&compiled).collect();
    let extra: Vec<_> = compiled.difference(&facts).collect();
    assert!(missing.is_empty() && extra.is_empty(), "{name}: missing {missing:#?}, extra {extra:#?}");
}

#[test]
fn every_message_and_field_is_as_the_facts_say() {
    compare("messages.tsv", Tables::compiled().messages);
}

#[test]
fn every_enum_value_is_as_the_facts_say() {
    compare("enums.tsv", Tables::compiled().enums);
}

#[test]
fn every_file_is_as_the_facts_say() {
    compare("files.tsv", Tables::compiled().files);
    assert!(facts("reserved.tsv").is_empty());
}

#[test]
fn the_checked_in_code_is_what_the_schema_generates() {
    let fresh = std::env::temp_dir().join(format!("mesos-proto-{}", std::process::id()));
    generate::write_to(&fresh).unwrap();
    let names = |folder: &std::path::Path| {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        entries.collect::<BTreeSet<_>>()
    };
    let checked_in = generate::checked_in();
    let result = (names(&fresh), names(&checked_in));
    let stale: Vec<_> = result
        .0
        .iter()
        .filter(|name| fs::read(fresh.join(name)).ok() != fs::read(checked_in.join(name)).ok())
        .collect();
    let stale = format!("{stale:?}");
    fs::remove_dir_all(&fresh).unwrap();
    assert_eq!(result.0, result.1);
    assert_eq!(stale, "[]", "run `cargo xtask gen`");
}
